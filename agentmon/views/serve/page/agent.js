// Agent: one agent of one run, live or past: its figures, curves, git, models, alerts and log.

import { pageOf } from "./card.js";
import { Charts, SIGNS as ACTS } from "./chart.js";
import { eachFrame, h, mark, say } from "./elements.js";
import { Log } from "./log.js";
import { ask, pathOf } from "./rest.js";
import { isLive } from "./stream.js";
import {
  SIGNS, UNKNOWN, acts, bytes, clock, dated, fate, gitChange, gitWords, hourly, lasted, many, mebibytes, money, oneLine, percent, visible, whole,
} from "./words.js";

const POINTS = 400;
const GROWN = 1200; // then the series is asked for anew, thinned out by the server
const GIT_SHOWN = 200;
const AGAIN_MS = 4000;
const READING_MS = 700;
const CALLS = 300; // the last ones tell who told the figures
const COLUMNS = ["cpu_percent", "cpu_max", "memory_mb", "processes", "threads", "input_tokens", "output_tokens", "cost_usd"];

export function showAgent(place, { run, agent: name }, { stream, tell }) {
  const view = new AgentView(place, run, name, stream, tell);
  view.start();
  return () => view.stop();
}

class AgentView {
  constructor(place, run, name, stream, tell) {
    Object.assign(this, { place, run, name, stream, tell, telemetry: null, series: null, acts: [], row: null, told: new Map(), asked: new AbortController() });
    this.charts = new Charts({ onwindow: (since, until, all) => this._refine(since, until, all), onact: (act) => this._toAct(act) });
    this._draw = eachFrame(() => this._drawn());
    this._redraw = eachFrame(() => this.series && !this.charts.window && this.charts.show(this.series, this.acts));
  }

  get key() {
    return `${this.run}\n${this.name}`;
  }

  async start() {
    this.title = h("span");
    this.badge = h("span", { class: "badge" });
    this.about = h("dl", { class: "about" });
    this.tiles = h("dl", { class: "tiles" });
    this.trouble = h("p", { class: "empty", role: "status" }, "Loading…");
    this.parts = h("div", { hidden: true });
    this.place.replaceChildren(
      h("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, h("a", { href: "#/" }, "All agents")),
      h("div", { class: "agent-head" }, h("h1", { tabindex: "-1" }, this.title, " ", this.badge)), this.trouble, this.parts);
    say(this.title, oneLine(this.name ?? this.run, 120));
    const { signal } = this.asked;
    try {
      await this._find(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 404) {
        say(this.trouble, "There is no such agent: its run was never here, or its log is gone.");
        return;
      }
      say(this.trouble, `This agent could not be read (${oneLine(error.message)}). Trying again.`);
      this.again = setTimeout(() => this.start(), AGAIN_MS);
      return;
    }
    this.trouble.remove();
    this._build();
    this._listen();
    this._drawn();
    this._wide(signal);
    this.log.load();
    this._gitAndRun(signal);
  }

  stop() {
    this.asked.abort();
    clearTimeout(this.again);
    clearTimeout(this.rereading);
    clearTimeout(this.refining);
    clearInterval(this.ticking);
    this._draw.cancel();
    this._redraw.cancel();
    this.unlisten?.();
    this.log?.stop();
  }

  async _find(signal) {
    if (this.name === null) {
      this.row = await ask(pathOf("runs", this.run), {}, signal);
      this.name = this.row.agent_id ?? this.row.agents?.[0]?.agent_id ?? this.row.agents?.[0];
      history.replaceState(null, "", pageOf({ run_id: this.run, agent_id: this.name }));
    }
    const live = this.stream.agents.get(this.key);
    this.telemetry = live ?? await ask(`${pathOf("runs", this.run)}/agents`, { agent: this.name }, signal);
    say(this.title, oneLine(this.name, 120));
    document.title = `${oneLine(this.name, 60)} · agentmon`;
  }

  _build() {
    this.log = new Log({ run: this.run, agent: this.telemetry.is_main ? null : this.name, main: this.name, tell: this.tell });
    this.gitRows = h("ol", { class: "git", role: "list" });
    this.gitCounts = h("small");
    this.gitNote = h("p", { class: "state" });
    this.git = h("section", { "aria-labelledby": "git-title" }, h("h2", { id: "git-title" }, "Git", this.gitCounts), this.gitNote, h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Git timeline" }, this.gitRows));
    this.models = h("section", { "aria-labelledby": "models-title", hidden: true }, h("h2", { id: "models-title" }, "Models"));
    this.modelTable = h("div", { class: "table" });
    this.models.append(this.modelTable);
    this.alerts = h("section", { "aria-labelledby": "alerts-title", hidden: true }, h("h2", { id: "alerts-title" }, "Alerts"));
    this.alertTable = h("div", { class: "table" });
    this.alerts.append(this.alertTable);
    this.others = h("section", { "aria-labelledby": "others-title", hidden: true });
    this.chartNote = h("p", { class: "state" }, "Loading…");
    this.curves = h("section", { "aria-labelledby": "curves-title" }, h("h2", { id: "curves-title" }, "Over time"), this.chartNote, this.charts.element);
    this.charts.element.hidden = true;
    this.parts.replaceChildren(this.about, this.tiles, this.alerts, this.curves,
      h("div", { class: "two" }, this.git, h("div", {}, this.models, this.others)), this.log.element);
    this.parts.hidden = false;
  }

  _listen() {
    this.unlisten = this.stream.listen((kind, what) => {
      if (kind === "agents" && what.has(this.key)) {
        const now = this.stream.agents.get(this.key);
        if (!now) return; // it left the live board: what was seen last stays
        const ended = isLive(this.telemetry) && !isLive(now);
        this.telemetry = now;
        this._grow();
        this._draw();
        if (ended) {
          this.tell(`${oneLine(this.name, 60)}: ${fate(now)}`);
          this._wide(this.asked.signal);
          this._gitAndRun(this.asked.signal);
        }
      }
      if (kind === "event" && what.run_id === this.run) this._event(what);
      if (kind === "omitted" && what.key === this.key) this.log.omit(what.logs);
      if (kind === "state" && what === "open" && this.wasAway) {
        this.wasAway = false;
        this._wide(this.asked.signal);
        this._gitAndRun(this.asked.signal);
        this.log.load();
      }
      if (kind === "state" && what === "waiting") this.wasAway = true;
    });
    this.ticking = setInterval(() => isLive(this.telemetry) && this._draw(), 1000);
  }

  _event(event) {
    const own = event.agent_id === this.name || this.telemetry.is_main;
    if (!own) return;
    this.log.take(event);
    if (event.event === "llm_call") this._told(event);
    if (event.event === "git_activity" && event.data?.git_activity) {
      this.acts = reconciled([...this.acts, { ...event.data.git_activity, timestamp: event.timestamp, agent_id: event.agent_id }]);
      this._gitDrawn();
      this._redraw();
    }
  }

  /** Who told the figures of a model: where there is an exact source, what was printed does not count. */
  _told({ data: { token_usage: usage } = {} }) {
    if (!usage) return;
    for (const model of [usage.model ?? "", ...Object.keys(usage.models ?? {})]) {
      const told = this.told.get(model) ?? { sources: new Set(), costs: new Set() };
      told.sources.add(usage.source);
      if (usage.cost_source) told.costs.add(usage.cost_source);
      this.told.set(model, told);
    }
  }

  // ---- curves

  async _wide(signal) {
    try {
      const series = await ask(`${pathOf("runs", this.run)}/series`, { points: POINTS, agent: this.telemetry.is_main ? null : this.name }, signal);
      this.series = filled(series);
      if (!this.acts.length) this.acts = reconciled(series.git ?? []);
      const any = this.series.timestamp.length > 0;
      const reading = series.reading ?? null;
      say(this.chartNote, reading !== null ? `Reading the log: ${Math.round(reading * 100)} %` : any ? "" : "No samples were taken.");
      if (reading !== null) this.rereading = setTimeout(() => this._wide(signal), READING_MS);
      this.charts.element.hidden = !any;
      if (any && !this.charts.window) this.charts.show(this.series, this.acts);
    } catch (error) {
      if (!signal.aborted && !this.series) say(this.chartNote, `The curves could not be read: ${oneLine(error.message)}`);
    }
  }

  /** A live run's curves grow with its frames. */
  _grow() {
    const { series, telemetry } = this;
    const at = telemetry.last_updated;
    if (!series || !at || at <= (series.timestamp.at(-1) ?? 0)) return;
    const tree = telemetry.process_metrics?.status === "dead" ? null : telemetry.process_metrics?.tree;
    const use = telemetry.token_usage ?? {};
    series.timestamp.push(at);
    const values = { ...tree, cpu_max: tree?.cpu_percent, input_tokens: use.input_tokens, output_tokens: use.output_tokens, cost_usd: use.cost_usd };
    for (const name of COLUMNS) series[name].push(values[name] ?? null);
    series.until = at;
    if (series.timestamp.length > GROWN) {
      this._wide(this.asked.signal);
      this.series = null;
      return;
    }
    say(this.chartNote, "");
    this.charts.element.hidden = false;
    this._redraw();
  }

  /** What is looked at, in more detail. */
  _refine(since, until, all) {
    clearTimeout(this.refining);
    if (all) {
      this.charts.show(this.series, this.acts);
      return;
    }
    this.refining = setTimeout(async () => {
      const { signal } = this.asked;
      try {
        const fine = filled(await ask(`${pathOf("runs", this.run)}/series`,
          { points: POINTS, since, until, agent: this.telemetry.is_main ? null : this.name }, signal));
        const { window } = this.charts;
        if (!window || window[0] !== since || fine.timestamp.length < 3) return;
        this.charts.show(spliced(this.series, fine), this.acts);
      } catch {
        // the coarse curves stay
      }
    }, 200);
  }

  // ---- git, models, alerts

  async _gitAndRun(signal) {
    const own = this.telemetry.is_main ? null : this.name;
    const eventsOf = (event, limit) => ask(`${pathOf("runs", this.run)}/events`, { event, agent: own, order: "desc", limit }, signal);
    const [events, row, calls] = await Promise.allSettled([eventsOf("git_activity", GIT_SHOWN), ask(pathOf("runs", this.run), {}, signal), eventsOf("llm_call", CALLS)]);
    if (signal.aborted) return;
    if (events.status === "fulfilled") {
      this.acts = reconciled(events.value.events.map((event) => ({ ...event.data.git_activity, timestamp: event.timestamp, agent_id: event.agent_id })).reverse());
      this.moreGit = Boolean(events.value.next);
    }
    if (row.status === "fulfilled") this.row = row.value;
    if (calls.status === "fulfilled") for (const event of calls.value.events) this._told(event);
    this._gitDrawn();
    this._redraw();
    this._drawn();
  }

  _gitDrawn() {
    const counts = Object.entries(this.telemetry.git_operations ?? {}).map(([name, n]) => acts(name, n));
    say(this.gitCounts, oneLine(counts.join(", ")));
    say(this.gitNote, this.acts.length ? (this.moreGit ? `The last ${this.acts.length} are shown.` : "") : "No git activity was seen.");
    this.gitRows.replaceChildren(...this.acts.toReversed().map((act) => {
      const row = h("li", { tabindex: "-1" },
        h("span", { class: "sign", "aria-hidden": "true" }, ACTS[act.operation] ?? "○"),
        h("time", { title: dated(act.timestamp) }, clock(act.timestamp)),
        h("b", {}, oneLine(act.operation, 30).replaceAll("_", " ")),
        act.branch ? h("code", {}, oneLine(act.branch, 80)) : null,
        act.sha ? h("code", { class: "sha" }, oneLine(act.sha).slice(0, 8)) : null,
        h("span", { class: "change" }, gitChange(act)),
        act.message ? h("p", { dir: "auto" }, visible(act.message, 500)) : null);
      act.row = row;
      return row;
    }));
  }

  _toAct(act) {
    act.row?.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    act.row?.focus({ preventScroll: true });
  }

  _drawn() {
    const agent = this.telemetry;
    mark(this.badge, "class", `badge ${Object.hasOwn(SIGNS, agent.status) ? agent.status : "stopped"}`);
    say(this.badge, `${SIGNS[agent.status] ?? "·"} ${fate(agent)}`);
    pairs(this.about, this._facts(agent));
    pairs(this.tiles, this._headline(agent));
    this._modelsDrawn(agent);
    this._alertsDrawn(agent);
    this._othersDrawn(agent);
  }

  _facts(agent) {
    const labels = Object.entries(agent.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
    const parent = agent.parent_run_id;
    return [
      ["team", oneLine(agent.team_id)], ["command", (agent.argv ?? []).map((word) => visible(word, 2000)).join(" ")],
      ["in", agent.cwd ? `${oneLine(agent.cwd)}${agent.host ? ` on ${oneLine(agent.host)}` : ""}` : ""], ["labels", oneLine(labels)],
      ["started", agent.started_at ? dated(agent.started_at) : ""], ["ended", agent.ended_at && !isLive(agent) ? dated(agent.ended_at) : ""],
      ["run", oneLine(agent.run_id)], ["inside of", parent ? h("a", { href: `#/run/${encodeURIComponent(parent)}` }, oneLine(parent)) : ""],
      ["missing", agent.lost_events ? many(agent.lost_events, "event") : ""],
    ].filter(([, value]) => value);
  }

  _headline(agent) {
    const metrics = agent.process_metrics;
    const alive = isLive(agent) && metrics && metrics.status !== "dead";
    const tree = metrics?.tree ?? {};
    const use = agent.token_usage ?? {};
    const about = use.estimated ? "~" : "";
    const told = (value) => (value == null ? UNKNOWN : about + (value < 1e6 ? whole(value) : `${(value / 1e6).toFixed(2)}M`));
    const seconds = isLive(agent) && agent.started_at ? this.stream.now() - agent.started_at : agent.duration_s;
    const list = [
      ["time", lasted(seconds)], ["tokens in", told(use.input_tokens)], ["cached", told(use.cache_read_tokens)], ["tokens out", told(use.output_tokens)],
      ["calls", use.calls == null ? UNKNOWN : whole(use.calls) + (use.calls_unknown ? ` + ${use.calls_unknown} unknown` : "")],
      ["cost", use.cost_usd == null ? UNKNOWN : about + money(use.cost_usd)],
      ["cost rate", hourly(use.cost_per_hour)],
    ];
    const process = alive
      ? [["CPU", percent(tree.cpu_percent)], ["memory", mebibytes(tree.memory_mb)], ["processes", whole(tree.processes)], ["threads", whole(tree.threads)]]
      : [["peak memory", mebibytes(Math.max(this.row?.peak_memory_mb ?? 0, metrics?.status === "dead" ? metrics.memory_mb : 0) || null)]];
    if (tree.read_bytes != null || tree.write_bytes != null) process.push(["read", bytes(tree.read_bytes)], ["written", bytes(tree.write_bytes)]);
    return [...process, ...list];
  }

  _modelsDrawn(agent) {
    const rows = modelRows(agent, this.row, this.told);
    this.models.hidden = !rows.length;
    const shown = JSON.stringify(rows);
    if (shown === this.modelsShown) return;
    this.modelsShown = shown;
    const head = ["model", "calls", "in", "cached", "out", "cost", "source"];
    const kept = head.map((_, n) => n).filter((n) => n !== 1 || rows.some((row) => row[n] !== UNKNOWN)); // of a live run they are not told
    this.modelTable.replaceChildren(table(kept.map((n) => head[n]), rows.map((row) => kept.map((n) => row[n])), new Set(kept.flatMap((n, at) => (n > 0 && n < 6 ? [at] : [])))));
  }

  _alertsDrawn(agent) {
    const rows = (agent.alerts ?? []).toReversed().slice(0, 100).map((alert) => [
      dated(alert.timestamp), oneLine(alert.rule), oneLine(alert.severity), whole2(alert.value), whole2(alert.limit), oneLine(alert.action)]);
    this.alerts.hidden = !rows.length;
    const shown = JSON.stringify(rows);
    if (shown === this.alertsShown) return;
    this.alertsShown = shown;
    this.alertTable.replaceChildren(table(["at", "rule", "severity", "value", "limit", "action"], rows, new Set([3, 4])));
  }

  /** The other agents of the same run. */
  _othersDrawn() {
    const names = new Set((this.row?.agents ?? []).map((one) => one.agent_id ?? one));
    for (const one of this.stream.agents.values()) if (one.run_id === this.run) names.add(one.agent_id);
    names.delete(this.name);
    this.others.hidden = !names.size;
    const shown = [...names].join("\n");
    if (shown === this.othersShown) return;
    this.othersShown = shown;
    this.others.replaceChildren(h("h2", { id: "others-title" }, "Other agents of this run"),
      h("ul", { class: "links", role: "list" }, [...names].map((name) => h("li", {}, h("a", { href: pageOf({ run_id: this.run, agent_id: name }) }, oneLine(name, 60))))));
  }
}

const whole2 = (value) => (value == null ? UNKNOWN : Number(value.toPrecision(6)).toLocaleString("en-US"));

/** Per model, with who told the figures where the server says so. */
function modelRows(agent, row, told) {
  const use = agent.token_usage ?? {};
  const models = { ...use.models };
  const rest = (name) => {
    const named = Object.values(use.models ?? {}).reduce((sum, one) => sum + (one[name] ?? 0), 0);
    return use[name] > named + 1e-9 ? use[name] - named : null;
  };
  if (rest("total_tokens") !== null) {
    const names = ["input_tokens", "cache_read_tokens", "output_tokens", "cost_usd"];
    models[""] = { estimated: use.estimated, ...Object.fromEntries(names.map((name) => [name, rest(name)])) };
  }
  const calls = (name) => isLive(agent) ? null : row?.models?.find((one) => (one.model ?? "") === name)?.calls;
  const origin = (name) => {
    const { sources = new Set(), costs = new Set() } = told.get(name) ?? {};
    const exact = [...sources].filter((source) => source !== "output");
    const by = { tool: "the tool's own cost", prices: "cost by price list" };
    return [...(exact.length ? exact : sources), ...[...costs].map((one) => by[one] ?? one)].join(", ");
  };
  return Object.entries(models).map(([name, sums]) => {
    const about = sums.estimated ? "~" : "";
    const figure = (value, words = whole) => (value == null ? UNKNOWN : about + words(value));
    const many = sums.calls ?? calls(name);
    return [name === "" ? "not named" : oneLine(name, 100), many == null ? UNKNOWN : whole(many), figure(sums.input_tokens), figure(sums.cache_read_tokens), figure(sums.output_tokens),
      figure(sums.cost_usd, money), [sums.estimated ? "estimated" : "", oneLine(origin(name))].filter(Boolean).join(", ") || UNKNOWN];
  });
}

/** A table of text; on a narrow screen every cell tells its own name. */
export function table(head, rows, right = new Set()) {
  return h("table", {}, h("thead", {}, h("tr", {}, head.map((name, n) => h("th", { scope: "col", class: right.has(n) ? "number" : null }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, n) => h("td", { "data-name": head[n], class: right.has(n) ? "number" : null }, cell))))));
}

function pairs(list, wanted) {
  const names = wanted.map(([name]) => name).join("\n");
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(...wanted.map(([name]) => h("div", {}, h("dt", {}, name), h("dd"))));
  }
  wanted.forEach(([, value], n) => {
    const place = list.children[n].lastElementChild;
    if (typeof value === "string") say(place, value);
    else if (place.textContent !== value.textContent) place.replaceChildren(value);
  });
}

/** Where git itself speaks, what was only printed does not count. Each act gets its words. */
function reconciled(acts) {
  const exact = acts.some((act) => act.source === "trace2");
  const seen = new Set();
  return acts.filter((act) => {
    const key = `${act.timestamp} ${act.operation} ${act.sha}`;
    if ((exact && act.source === "output") || seen.has(key)) return false;
    seen.add(key);
    return true;
  }).map((act) => ({ ...act, words: `${clock(act.timestamp)} ${gitWords(act)}` })).slice(-GIT_SHOWN);
}

/** All columns, each as long as the times. */
function filled(series) {
  const { timestamp = [] } = series;
  const all = { ...series, timestamp: [...timestamp] };
  for (const name of COLUMNS) all[name] = timestamp.map((_, i) => series[name]?.[i] ?? null);
  return all;
}

/** The coarse series with a part of it in detail. */
function spliced(coarse, fine) {
  const [since, until] = [fine.timestamp[0], fine.timestamp.at(-1)];
  const before = coarse.timestamp.filter((time) => time < since).length;
  const after = coarse.timestamp.findIndex((time) => time > until);
  const joined = { ...coarse };
  for (const name of ["timestamp", ...COLUMNS]) {
    joined[name] = [...coarse[name].slice(0, before), ...fine[name], ...(after < 0 ? [] : coarse[name].slice(after))];
  }
  return joined;
}
