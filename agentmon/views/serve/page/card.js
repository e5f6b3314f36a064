// <agent-telemetry-card>: one agent as a card, live.
//
// On any page, with nothing else than this module:
//
//   <script type="module" src="http://127.0.0.1:8765/static/card.js"></script>
//   <agent-telemetry-card src="ws://127.0.0.1:8765/ws/teams/web" agent="crew.py"></agent-telemetry-card>
//
// Attributes:
//   src    the WebSocket: `/ws` or `/ws/teams/TEAM` of a server, absolute or relative to the page. Cards with the same
//          src share one connection. A page of another origin must be allowed there (`--allow-origin`).
//   run    only this run (its whole id); without it, the newest one that fits
//   agent  only this agent
//   team   only this team
//   href   where the card's name leads; by default the agent's page on the server of `src`
//
// Property `telemetry`: the object itself (AgentTelemetry), for a page that has it already; then leave out `src`.
// Event `telemetry-change` (bubbles, detail: the telemetry) after each change. Colours are custom properties (--card,
// --ink, --muted, --line, --cpu, --memory, --good, --warn, --bad): set them on the element.

import sheet from "./card_style.js";
import { eachFrame, h, mark, say } from "./elements.js";
import { Sparkline } from "./sparkline.js";
import { isLive, sharedStream } from "./stream.js";
import { SIGNS, UNKNOWN, alertWords, fate, gitChange, gitWords, hourly, lasted, mebibytes, money, oneLine, percent, short } from "./words.js";

const RECENT = 4; // rows of activity

/** The page of an agent, below an address. */
export const pageOf = (agent, base = "") =>
  `${base}#/run/${encodeURIComponent(agent.run_id)}/${encodeURIComponent(agent.agent_id)}`;

/** The newest run's own agent is the greatest. */
const rank = (agent) => (agent.started_at ?? 0) + (agent.is_main ? 0.0005 : 0);

export class AgentTelemetryCard extends HTMLElement {
  static observedAttributes = ["src", "run", "agent", "team", "href"];

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
    this._telemetry = null;
    this._render = eachFrame(() => this._show());
  }

  get telemetry() {
    return this._telemetry;
  }

  set telemetry(agent) {
    this._telemetry = agent;
    this._render();
  }

  connectedCallback() {
    this._connect();
    this._render();
  }

  disconnectedCallback() {
    this._disconnect();
  }

  // moved within its page (moveBefore): nothing ends and nothing begins
  connectedMoveCallback() {}

  attributeChangedCallback(name, before, after) {
    if (before === after || !this.isConnected) return;
    if (name === "src") {
      this._disconnect();
      this._connect();
    }
    if (name !== "href") this._choose();
    this._render();
  }

  /** What ticks with the clock alone. now: Unix seconds. */
  tick(now) {
    if (this._parts && this._telemetry && isLive(this._telemetry)) this._age(now);
  }

  _connect() {
    const src = this.getAttribute("src");
    if (!src || this._held) return;
    const url = new URL(src, document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this._base = new URL(url.pathname.replace(/\/ws(\/teams\/[^/]*)?\/?$/, "/"), url.href.replace(/^ws/, "http")).href;
    this._held = sharedStream(url.href);
    const { stream } = this._held;
    this._unlisten = stream.listen((kind) => {
      if (kind === "agents") this._choose();
      if (kind === "state" || kind === "hello" || kind === "refused") this._render();
    });
    this._clock = setInterval(() => this.tick(stream.now()), 1000);
    this._choose();
  }

  _disconnect() {
    if (!this._held) return;
    clearInterval(this._clock);
    this._unlisten();
    this._held.release();
    this._held = null;
  }

  _choose() {
    if (!this._held) return;
    const wanted = { run_id: this.getAttribute("run"), agent_id: this.getAttribute("agent"), team_id: this.getAttribute("team") };
    let found = null;
    for (const agent of this._held.stream.agents.values()) {
      if (Object.entries(wanted).some(([name, value]) => value !== null && agent[name] !== value)) continue;
      if (!found || rank(agent) > rank(found)) found = agent;
    }
    this.telemetry = found;
    if (found) this.dispatchEvent(new CustomEvent("telemetry-change", { bubbles: true, composed: true, detail: found }));
  }

  _build() {
    const figure = (name, title, kind) => {
      const value = h("dd");
      this._parts[name] = value;
      return h("div", { class: kind ?? name }, h("dt", {}, title), value);
    };
    const p = (this._parts = {
      name: h("a"), badge: h("span", { class: "badge" }), about: h("span", { class: "about" }), team: h("b"),
      rest: document.createTextNode(""), lasted: h("span", { class: "lasted" }), cpu_curve: new Sparkline("cpu", 25),
      memory_curve: new Sparkline("memory", 16), recent: h("ul", { class: "recent", role: "list" }), note: h("p", { class: "note" }),
    });
    p.about.append(p.team, p.rest);
    const cpu = figure("cpu", "CPU");
    cpu.append(p.cpu_curve.element);
    const memory = figure("memory", "Memory");
    memory.append(p.memory_curve.element);
    p.rows = Array.from({ length: RECENT }, () => {
      const row = { act: h("b"), words: h("span"), change: h("i") };
      row.element = h("li", {}, row.act, row.words, row.change);
      p.recent.append(row.element);
      return row;
    });
    p.body = [
      h("dl", { class: "use" }, cpu, memory),
      h("dl", { class: "figures" }, figure("input", "in"), figure("output", "out"), figure("cached", "cached"),
        figure("threads", "threads"), figure("cost", "cost"), figure("rate", "$ per hour")),
      p.recent,
    ];
    p.article = h("article", {}, h("header", {}, h("h2", {}, p.name), p.badge, p.about, p.lasted));
    this.shadowRoot.replaceChildren(p.article);
  }

  _show() {
    if (!this.isConnected) return;
    if (!this._parts) this._build();
    const p = this._parts;
    const agent = this._telemetry;
    const state = this._held?.stream.state;
    mark(this, "data-away", state && state !== "open" ? "" : null);
    if (!agent) {
      this._wait(state);
      return;
    }
    if (!p.recent.isConnected) p.article.replaceChildren(p.article.firstElementChild, ...p.body);
    mark(p.article, "class", Object.hasOwn(SIGNS, agent.status) ? agent.status : "stopped");
    say(p.name, oneLine(agent.agent_id, 120) || UNKNOWN);
    mark(p.name, "href", this.getAttribute("href") ?? pageOf(agent, this._base));
    mark(p.name, "title", oneLine(agent.agent_id).length > 28 ? oneLine(agent.agent_id) : null);
    mark(p.badge, "data-sign", SIGNS[agent.status] ?? "·");
    say(p.badge, fate(agent));
    this._figures(agent);
    this._age(this._held ? this._held.stream.now() : Date.now() / 1000);
    this._activity(agent);
  }

  _wait(state) {
    const p = this._parts;
    const wanted = this.getAttribute("agent") ?? this.getAttribute("run") ?? "";
    mark(p.article, "class", "stopped");
    say(p.name, oneLine(wanted, 120) || "agent");
    mark(p.name, "href", null);
    say(p.badge, "");
    mark(p.badge, "data-sign", "");
    say(p.note, state === "open" ? "Nothing seen of it yet." : state === "waiting" ? "The server does not answer; trying again." : "Connecting.");
    if (!p.note.isConnected) p.article.replaceChildren(p.article.firstElementChild, p.note);
  }

  _figures(agent) {
    const p = this._parts;
    const metrics = agent.process_metrics;
    const alive = metrics && metrics.status !== "dead" && isLive(agent);
    const tree = metrics?.tree ?? {};
    const use = agent.token_usage ?? {};
    const about = use.estimated ? "~" : "";
    const tokens = (value) => (value == null ? UNKNOWN : about + short(value));
    say(p.cpu, alive ? percent(tree.cpu_percent) : UNKNOWN);
    say(p.memory, alive ? mebibytes(tree.memory_mb) : metrics?.memory_mb ? `peak ${mebibytes(metrics.memory_mb)}` : UNKNOWN);
    say(p.threads, alive && tree.threads != null ? String(tree.threads) : UNKNOWN);
    say(p.input, tokens(use.input_tokens));
    say(p.output, tokens(use.output_tokens));
    say(p.cached, use.cache_read_tokens == null ? UNKNOWN : about + short(use.cache_read_tokens));
    say(p.cost, use.cost_usd == null ? UNKNOWN : about + money(use.cost_usd));
    say(p.rate, use.cost_per_hour == null ? UNKNOWN : hourly(use.cost_per_hour).replace("/h", ""));
    p.cpu_curve.show(agent.samples?.cpu_percent);
    p.memory_curve.show(agent.samples?.memory_mb);
    say(p.team, oneLine(agent.team_id, 60));
    const labels = Object.entries(agent.labels ?? {}).map(([name, value]) => oneLine(`${name}=${value}`, 40));
    const rest = [use.model ? oneLine(use.model, 60) : "", ...labels].filter(Boolean).map((word) => ` · ${word}`).join("");
    if (p.rest.data !== rest) p.rest.data = rest;
  }

  _age(now) {
    const agent = this._telemetry;
    const seconds = isLive(agent) && agent.started_at ? Math.max(0, now - agent.started_at) : agent.duration_s;
    say(this._parts.lasted, seconds == null ? "" : lasted(seconds));
  }

  /** The newest alert, the last act in git, and then what was said last. */
  _activity(agent) {
    const told = [];
    const alert = agent.alerts?.at(-1);
    if (alert) told.push(["alert", alertWords(alert)]);
    const act = agent.git_activities?.at(-1);
    if (act) told.push(["git", gitWords({ ...act, operation: "" }), gitChange(act), gitWords({ operation: act.operation })]);
    const logs = (agent.activity_logs ?? []).slice(-(RECENT - told.length));
    for (const entry of logs) told.push([`log ${entry.level === "info" ? "" : entry.level}`.trim(), oneLine(entry.message)]);
    this._parts.rows.forEach((row, n) => {
      const [kind, text, change = "", act = ""] = told[n] ?? ["", ""];
      mark(row.element, "class", ["log", "git", "alert", "log warning", "log error"].includes(kind) ? kind : "log");
      say(row.act, act);
      say(row.words, act ? ` ${text} ` : text);
      say(row.change, change);
      row.element.hidden = !told[n];
    });
  }
}

customElements.define("agent-telemetry-card", AgentTelemetryCard);
