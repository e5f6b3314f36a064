// Grid: every agent as a card; sums per team above, filters beside them.

import { pageOf } from "./card.js";
import { arrange, h, mark, say } from "./elements.js";
import { isLive } from "./stream.js";
import { hourly, many, mebibytes, money, oneLine, percent, short } from "./words.js";

const STATUSES = ["running", "stalled", "error", "lost", "stopped"];
const ORDERS = {
  status: ["running first", (a, b) => live(a) - live(b) || (live(a) ? ended(b) - ended(a) : 0)],
  newest: ["newest first", () => 0],
  cost: ["by cost", (a, b) => cost(b) - cost(a)],
  name: ["by name", (a, b) => order(a.agent_id, b.agent_id)],
};
const live = (agent) => (isLive(agent) ? 0 : 1);
const ended = (agent) => agent.ended_at ?? agent.last_updated ?? 0;
const cost = (agent) => agent.token_usage?.cost_usd ?? -1;
const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Sums over agents. Processes belong to a run and count once; usage is the run's on its main agent's card. */
export function sums(agents) {
  const all = { agents: 0, live: 0, failed: 0, cpu: null, memory: null, input: null, output: null, cost: null, rate: null };
  const add = (name, value) => {
    if (typeof value === "number") all[name] = (all[name] ?? 0) + value;
  };
  const runs = new Map();
  for (const agent of agents) {
    all.agents += 1;
    all.live += isLive(agent) ? 1 : 0;
    all.failed += agent.status === "error" || agent.status === "lost" ? 1 : 0;
    if (!runs.has(agent.run_id)) runs.set(agent.run_id, []);
    runs.get(agent.run_id).push(agent);
  }
  for (const run of runs.values()) {
    const main = run.find((agent) => agent.is_main);
    const tree = run.find((agent) => agent.process_metrics)?.process_metrics;
    if (tree && tree.status !== "dead" && isLive(run[0])) {
      add("cpu", tree.tree?.cpu_percent);
      add("memory", tree.tree?.memory_mb);
    }
    for (const agent of main ? [main] : run) {
      const use = agent.token_usage ?? {};
      add("input", use.input_tokens);
      add("output", use.output_tokens);
      add("cost", use.cost_usd);
      if (isLive(agent)) add("rate", use.cost_per_hour);
    }
  }
  return all;
}

/** The view. context: stream, and the address of a page with other filters. */
export function showGrid(place, filters, { stream, readdress }) {
  const wanted = { team: "", status: "", q: "", sort: "status", ...filters };
  const cards = new Map(); // key -> {item, card, agent}
  const tiles = new Tiles();
  const teams = h("ul", { class: "teams", role: "list" });
  const teamsBox = h("nav", { class: "teams-box", "aria-label": "Teams" }, teams);
  const list = h("ul", { class: "grid", role: "list" });
  const empty = h("div", { class: "empty", hidden: true });
  const shownCount = h("span", { class: "count" });

  const choose = (change) => {
    Object.assign(wanted, change);
    readdress({ ...wanted, sort: wanted.sort === "status" ? "" : wanted.sort });
    everything();
  };
  const status = h("select", { id: "status", onchange: () => choose({ status: status.value }) },
    h("option", { value: "" }, "every status"), STATUSES.map((name) => h("option", { value: name }, name)));
  const sort = h("select", { id: "sort", onchange: () => choose({ sort: sort.value }) },
    Object.entries(ORDERS).map(([name, [title]]) => h("option", { value: name }, title)));
  const text = h("input", {
    id: "text", type: "search", placeholder: "name, model, text…", autocomplete: "off", spellcheck: "false",
    oninput: () => choose({ q: text.value }),
  });
  status.value = STATUSES.includes(wanted.status) ? wanted.status : "";
  wanted.status = status.value;
  sort.value = wanted.sort = Object.hasOwn(ORDERS, wanted.sort) ? wanted.sort : "status";
  text.value = wanted.q;

  place.replaceChildren(
    h("h1", { tabindex: "-1", class: "unseen" }, "Agents"),
    tiles.element,
    h("div", { class: "filters", role: "search", "aria-label": "Agents" }, teamsBox,
      h("div", { class: "fields" },
        h("label", { for: "text" }, h("span", { class: "unseen" }, "Filter by text"), text),
        h("label", { for: "status" }, h("span", { class: "unseen" }, "Status"), status),
        h("label", { for: "sort" }, h("span", { class: "unseen" }, "Order"), sort), shownCount)),
    list,
    empty,
  );

  function fits(agent) {
    if (wanted.team && agent.team_id !== wanted.team) return false;
    if (wanted.status && agent.status !== wanted.status) return false;
    if (!wanted.q) return true;
    const words = [agent.agent_id, agent.team_id, agent.run_id, agent.token_usage?.model, agent.cwd, agent.host,
      ...(agent.argv ?? []), ...Object.entries(agent.labels ?? {}).flat(), agent.git_activities?.at(-1)?.branch,
      agent.activity_logs?.at(-1)?.message];
    const hay = words.filter(Boolean).join("\n").toLowerCase();
    return wanted.q.toLowerCase().split(/\s+/).every((word) => hay.includes(word));
  }

  function drawn(key, agent) {
    let held = cards.get(key);
    if (!held) {
      const card = document.createElement("agent-telemetry-card");
      held = { card, item: h("li", {}, card) };
      cards.set(key, held);
    }
    if (held.agent !== agent || held.dirty) {
      held.agent = agent;
      held.dirty = false;
      held.card.setAttribute("href", pageOf(agent));
      held.card.telemetry = agent;
    }
    return held.item;
  }

  function everything() {
    const [, first] = ORDERS[wanted.sort];
    const found = [...stream.agents].filter(([, agent]) => fits(agent)).sort(([, a], [, b]) =>
      first(a, b) || (b.started_at ?? 0) - (a.started_at ?? 0) || order(b.run_id, a.run_id) ||
      (b.is_main ? 1 : 0) - (a.is_main ? 1 : 0) || order(a.agent_id, b.agent_id));
    for (const key of cards.keys()) if (!stream.agents.has(key)) cards.delete(key);
    arrange(list, found.map(([key, agent]) => drawn(key, agent)));
    head(found.length);
  }

  function head(shown) {
    const all = [...stream.agents.values()];
    tiles.show(sums(wanted.team ? all.filter((agent) => agent.team_id === wanted.team) : all));
    const byTeam = Map.groupBy ? Map.groupBy(all, (agent) => agent.team_id) : grouped(all);
    if (wanted.team && !byTeam.has(wanted.team)) byTeam.set(wanted.team, []);
    const names = [...byTeam.keys()].sort(order);
    arrange(teams, [teamItem("", null), ...names.map((name) => teamItem(name, sums(byTeam.get(name))))]);
    teamsBox.hidden = names.length < 2 && !wanted.team;
    say(shownCount, shown === all.length ? many(shown, "agent") : `${shown} of ${many(all.length, "agent")}`);
    empty.hidden = shown > 0;
    if (!shown) nothing(all.length);
  }

  const items = new Map();
  function teamItem(name, of) {
    let item = items.get(name);
    if (!item) {
      const title = h("b");
      const words = h("span");
      const button = h("button", { type: "button", onclick: () => choose({ team: wanted.team === name ? "" : name }) }, title, words);
      say(title, name === "" ? "All" : oneLine(name, 40));
      items.set(name, (item = { element: h("li", {}, button), button, words }));
    }
    mark(item.button, "aria-pressed", String(wanted.team === name));
    if (of) {
      const parts = [`${of.live} of ${of.agents} live`, of.failed ? `${of.failed} failed` : "", of.cost === null ? "" : money(of.cost)];
      say(item.words, parts.filter(Boolean).join(" · "));
    }
    return item.element;
  }

  function nothing(known) {
    if (known) {
      if (empty.dataset.kind !== "filtered") {
        empty.dataset.kind = "filtered";
        empty.replaceChildren(h("p", {}, "No agent fits these filters."),
          h("button", { type: "button", onclick: () => {
            text.value = status.value = "";
            choose({ team: "", status: "", q: "" });
          } }, "Show all"));
      }
      return;
    }
    const kind = stream.state === "open" ? "none" : "away";
    if (empty.dataset.kind === kind) return;
    empty.dataset.kind = kind;
    empty.replaceChildren(...(kind === "none"
      ? [h("p", {}, "No agent is running. Start one, and its card appears here:"), h("pre", {}, "agentmon run --team web -- python crew.py"),
        h("p", {}, h("a", { href: "#/history" }, "Runs so far"))]
      : [h("p", {}, "Connecting to the server…")]));
  }

  const unlisten = stream.listen((kind, what) => {
    if (kind === "agents") {
      for (const key of what) if (cards.has(key)) cards.get(key).dirty = true;
      everything();
    }
    if (kind === "state") {
      mark(list, "data-away", what === "open" ? null : "");
      everything();
    }
  });
  const clock = setInterval(() => {
    const now = stream.now();
    for (const { card } of cards.values()) card.tick?.(now);
  }, 1000);
  everything();
  return () => {
    unlisten();
    clearInterval(clock);
  };
}

function grouped(agents) {
  const groups = new Map();
  for (const agent of agents) groups.set(agent.team_id, [...(groups.get(agent.team_id) ?? []), agent]);
  return groups;
}

class Tiles {
  constructor() {
    this.values = {};
    const tile = (name, title) => h("div", {}, h("dt", {}, title), (this.values[name] = h("dd")));
    this.element = h("dl", { class: "tiles" }, tile("live", "live agents"), tile("cpu", "CPU"), tile("memory", "memory"),
      tile("input", "tokens in"), tile("output", "tokens out"), tile("cost", "cost"), tile("rate", "cost rate"));
  }

  show(all) {
    const { values } = this;
    say(values.live, `${all.live} of ${all.agents}`);
    say(values.cpu, percent(all.cpu));
    say(values.memory, mebibytes(all.memory));
    say(values.input, short(all.input));
    say(values.output, short(all.output));
    say(values.cost, money(all.cost));
    say(values.rate, hourly(all.rate));
  }
}
