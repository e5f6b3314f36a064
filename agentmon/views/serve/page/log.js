// Log: what an agent said. Pages come from the REST interface, the newest last; what is said meanwhile is appended.

import { eachFrame, h, mark, say } from "./elements.js";
import { ask, pathOf } from "./rest.js";
import { clock, dated, many, oneLine, visible } from "./words.js";

const PAGE = 200;
const KEPT = 3000; // rows in the page; older ones are loaded again when wanted
const ENOUGH = 50; // found entries are shown before the rest is searched
const TYPING_MS = 250;
const LEVELS = [["", "all levels"], ["warning,error", "warnings and errors"], ["error", "errors"]];

export class Log {
  /** agent: null for all of the run; then others than `main` are named. tell: says words to the polite live region. */
  constructor({ run, agent, main, tell }) {
    Object.assign(this, { run, agent, main, tell });
    this.before = null; // cursor of what is older
    this.seen = new Set();
    this.waiting = [];
    this.asked = new AbortController();
    this.loading = true;
    this.rows = h("ol", { class: "rows", role: "list" });
    this.older = h("button", { type: "button", class: "older", hidden: true, onclick: () => this._older() }, "Older entries");
    this.state = h("p", { class: "state" });
    this.box = h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": "Log", tabindex: "0" }, this.older, this.state, this.rows);
    this.newest = h("button", { type: "button", class: "newest", hidden: true, onclick: () => this._end() }, "↓ Newest");
    this.level = h("select", { id: "log-level", onchange: () => this.load() }, LEVELS.map(([value, title]) => h("option", { value }, title)));
    let typed = 0;
    this.text = h("input", { id: "log-text", type: "search", placeholder: "search the log…", autocomplete: "off", spellcheck: "false",
      oninput: () => {
        clearTimeout(typed);
        typed = setTimeout(() => this.load(), TYPING_MS);
      } });
    this.count = h("span", { class: "count" });
    this.element = h("section", { class: "log-part", "aria-labelledby": "log-title" },
      h("div", { class: "titled" }, h("h2", { id: "log-title" }, "Log"),
        h("div", { class: "fields" }, h("label", { for: "log-text" }, h("span", { class: "unseen" }, "Search the log"), this.text),
          h("label", { for: "log-level" }, h("span", { class: "unseen" }, "Level"), this.level), this.count)),
      h("div", { class: "log-box" }, this.box, this.newest));
    this.box.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this.follows = true;
    this._draw = eachFrame(() => this._append());
  }

  stop() {
    this.asked.abort();
    this._draw.cancel();
  }

  /** The newest page that fits the filters. */
  async load() {
    this.asked.abort();
    const { signal } = (this.asked = new AbortController());
    this.loading = true;
    mark(this.box, "aria-busy", "true");
    try {
      const page = await this._searched({}, signal);
      this.seen.clear();
      this.rows.replaceChildren(...this._rowsOf(page.events));
      this.before = page.next;
      this.loading = false;
      this._end();
      this._append();
      this._tally();
      say(this.state, this.rows.childElementCount ? "" : this._filtered() ? "Nothing fits these filters." : "Nothing was said yet.");
      if (this._filtered()) this.tell(this.count.textContent || this.state.textContent);
    } catch (error) {
      if (signal.aborted) return;
      this.loading = false;
      say(this.state, `The log could not be read: ${oneLine(error.message)}`);
    }
    this.older.hidden = !this.before;
    mark(this.box, "aria-busy", null);
  }

  _filtered() {
    return Boolean(this.level.value || this.text.value.trim());
  }

  _page(given, signal) {
    return ask(`${pathOf("runs", this.run)}/events`, {
      event: "log_entry", agent: this.agent, level: this.level.value.split(","), q: this.text.value.trim(), order: "desc", limit: PAGE, ...given,
    }, signal);
  }

  /** A page. Where a search takes long, the server gives what it has by then, and goes on when asked again. */
  async _searched(given, signal) {
    const page = await this._page(given, signal);
    while (page.complete === false && page.next && page.events.length < ENOUGH) {
      const { size, since } = page.scanned ?? {};
      say(this.state, `Searching${size ? `: ${Math.round((1 - since / size) * 100)} % looked at` : ""}…`);
      const more = await this._page({ before: page.next }, signal);
      Object.assign(page, more, { events: [...page.events, ...more.events] });
    }
    say(this.state, "");
    return page;
  }

  async _older() {
    const { signal } = this.asked;
    this.older.disabled = true;
    try {
      const page = await this._searched({ before: this.before }, signal);
      const height = this.box.scrollHeight;
      this.rows.prepend(...this._rowsOf(page.events));
      this.before = page.next;
      this.box.scrollTop += this.box.scrollHeight - height;
      this._tally();
      if (!page.next) this.box.focus({ preventScroll: true });
    } catch (error) {
      if (!signal.aborted) this.tell(`Older entries could not be read: ${oneLine(error.message)}`);
    }
    this.older.disabled = false;
    this.older.hidden = !this.before;
  }

  /** events: newest first. */
  _rowsOf(events) {
    return events.filter((event) => event.data?.activity_log && this._isNew(event)).map((event) => this._row(event)).reverse();
  }

  _isNew(event) {
    const key = `${event.seq}@${event.timestamp}`;
    if (this.seen.has(key)) return false;
    this.seen.add(key);
    return true;
  }

  _row({ data: { activity_log: entry }, agent_id: agent, timestamp }) {
    const level = entry.level === "error" || entry.level === "warning" ? entry.level : "info";
    const at = entry.timestamp ?? timestamp;
    return h("li", { class: level },
      h("time", { title: dated(at) }, clock(at)),
      h("span", { class: "level" }, level),
      agent !== this.main ? h("span", { class: "who" }, oneLine(agent, 40)) : null,
      h("span", { class: "message", dir: "auto" }, visible(entry.message), entry.truncated ? h("em", {}, " (cut)") : null));
  }

  /** One message of the stream, as it came. */
  take(event) {
    if (event.event !== "log_entry" || !event.data?.activity_log) return;
    this.waiting.push(event);
    if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
    this._draw();
  }

  /** logs: how many entries the server left out of its last frame. */
  omit(logs) {
    this.waiting.push({ omitted: logs });
    this._draw();
  }

  _append() {
    if (this.loading || !this.waiting.length) return;
    const found = this.waiting.filter((event) => event.omitted || (this._fits(event) && this._isNew(event)));
    this.waiting = [];
    if (!found.length) return;
    const rows = found.map((event) => (event.omitted ? this._gap(event.omitted) : this._row(event)));
    this.rows.append(...rows);
    say(this.state, "");
    if (this.follows) {
      while (this.rows.childElementCount > KEPT) this.rows.firstElementChild.remove();
      this._end();
    } else {
      this.newest.hidden = false;
    }
    this._tally();
  }

  _fits({ data: { activity_log: entry } }) {
    if (this.level.value && !this.level.value.split(",").includes(entry.level)) return false;
    const q = this.text.value.trim().toLowerCase();
    return !q || String(entry.message).toLowerCase().includes(q);
  }

  _gap(logs) {
    return h("li", { class: "gap" }, h("span", { class: "message" }, `${many(logs, "entry", "entries")} came too fast to be shown here. `,
      h("button", { type: "button", onclick: () => this.load() }, "Load them")));
  }

  _tally() {
    const shown = this.rows.querySelectorAll("li:not(.gap)").length;
    say(this.count, shown ? `${this.before ? "the last " : ""}${many(shown, "entry", "entries")}` : "");
  }

  _scrolled() {
    this.follows = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40;
    if (this.follows) this.newest.hidden = true;
  }

  _end() {
    this.follows = true;
    this.newest.hidden = true;
    this.box.scrollTop = this.box.scrollHeight;
  }
}
