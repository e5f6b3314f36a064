// History: what runs cost, per day, team and model, and the runs themselves.

import { table } from "./agent.js";
import { roundTop } from "./chart.js";
import { h, mark, say } from "./elements.js";
import { ask } from "./rest.js";
import { SIGNS, UNKNOWN, clock, dated, fate, lasted, many, money, oneLine, short, whole } from "./words.js";

const PAGE = 50;
const ROWS = 12;
const TYPING_MS = 300;
const INDEXING_MS = 800;
const PERIODS = { 7: "7 days", 30: "30 days", 90: "90 days", all: "all time" };
const MEASURES = { cost_usd: ["cost", money], total_tokens: ["tokens", short], runs: ["runs", whole] };
const STATES = ["running", "stopped", "error", "lost"];

export function showHistory(place, given, { readdress }) {
  const wanted = { period: "30", measure: "cost_usd", team: "", agent: "", state: "", ...given };
  if (!Object.hasOwn(PERIODS, wanted.period)) wanted.period = "30";
  if (!Object.hasOwn(MEASURES, wanted.measure)) wanted.measure = "cost_usd";
  let asked = new AbortController();
  let sums = {};
  let cursor = null;
  let again = 0;

  const select = (id, title, options, name) => {
    const field = h("select", { id, onchange: () => choose({ [name]: field.value }) },
      Object.entries(options).map(([value, words]) => h("option", { value }, words)));
    field.value = wanted[name];
    return h("label", { for: id }, h("span", {}, title), field);
  };
  const typed = (id, title, name) => {
    let pause = 0;
    const field = h("input", { id, type: "search", autocomplete: "off", spellcheck: "false", oninput: () => {
      clearTimeout(pause);
      pause = setTimeout(() => choose({ [name]: field.value.trim() }), TYPING_MS);
    } });
    field.value = wanted[name];
    return h("label", { for: id }, h("span", {}, title), field);
  };
  const tiles = h("dl", { class: "tiles" });
  const days = h("section", { class: "wide", "aria-labelledby": "days-title" });
  const teams = h("section", { "aria-labelledby": "teams-title" });
  const models = h("section", { "aria-labelledby": "models-title" });
  const trouble = h("p", { class: "state", role: "status" }, "Loading…");
  const runs = h("div", { class: "table" });
  const count = h("small");
  const more = h("button", { type: "button", hidden: true, onclick: () => nextRuns() }, "More runs");
  place.replaceChildren(
    h("h1", { tabindex: "-1" }, "History"),
    h("div", { class: "fields named", role: "search", "aria-label": "History" },
      select("period", "Period", PERIODS, "period"), select("measure", "Bars show", Object.fromEntries(Object.entries(MEASURES).map(([k, [t]]) => [k, t])), "measure"),
      typed("team", "Team", "team"), typed("agent", "Agent", "agent"),
      select("state", "Status", { "": "every status", ...Object.fromEntries(STATES.map((s) => [s, s])) }, "state")),
    trouble, tiles,
    h("div", { class: "bars-box" }, days, teams, models),
    h("section", { "aria-labelledby": "runs-title" }, h("h2", { id: "runs-title" }, "Runs", count), runs, more),
  );

  function choose(change) {
    Object.assign(wanted, change);
    readdress({ ...wanted, period: wanted.period === "30" ? "" : wanted.period, measure: wanted.measure === "cost_usd" ? "" : wanted.measure });
    Object.assign(given, change);
    if ("measure" in change) draw();
    else load();
  }

  const since = () => {
    if (wanted.period === "all") return null;
    const start = new Date();
    start.setHours(0, 0, 0, 0);
    start.setDate(start.getDate() - Number(wanted.period) + 1);
    return start.getTime() / 1000;
  };
  const filters = () => ({ team: wanted.team, agent: wanted.agent, since: since() });

  async function load() {
    asked.abort();
    clearTimeout(again);
    const { signal } = (asked = new AbortController());
    try {
      const [day, team, model, page] = await Promise.all([
        ...["day", "team", "model"].map((by) => ask("history", { by, ...filters() }, signal)),
        ask("runs", { ...filters(), state: wanted.state, limit: PAGE }, signal)]);
      sums = { day: day.rows, team: team.rows, model: model.rows };
      body.replaceChildren();
      add(page);
      const indexing = day.indexing ?? page.indexing;
      say(trouble, indexing ? `Reading run logs: ${whole(indexing.done)} of ${whole(indexing.total)}…` : "");
      if (indexing) again = setTimeout(load, INDEXING_MS);
      draw();
    } catch (error) {
      if (!signal.aborted) say(trouble, `The history could not be read: ${oneLine(error.message)}`);
    }
  }

  async function nextRuns() {
    const { signal } = asked;
    more.disabled = true;
    try {
      const first = body.childElementCount;
      add(await ask("runs", { ...filters(), state: wanted.state, limit: PAGE, cursor }, signal));
      body.children[first]?.querySelector("a")?.focus();
    } catch (error) {
      if (!signal.aborted) say(trouble, `More runs could not be read: ${oneLine(error.message)}`);
    }
    more.disabled = false;
  }

  const HEAD = ["started", "agent", "team", "status", "time", "tokens in", "tokens out", "cost", "commits", "errors"];
  const RIGHT = new Set([4, 5, 6, 7, 8, 9]);
  const frame = table(HEAD, [], RIGHT);
  const body = frame.tBodies[0];
  mark(frame, "class", "runs");
  runs.append(frame);

  function add(page) {
    const rows = page.runs.map((run) => {
      const about = run.estimated ? "~" : "";
      const figure = (value, words) => (value == null ? UNKNOWN : about + words(value));
      const status = { ...run, status: run.state };
      return [dated(run.started), h("a", { href: `#/run/${encodeURIComponent(run.run_id)}/${encodeURIComponent(run.agent_id ?? "")}` }, oneLine(run.agent_id, 80) || UNKNOWN),
        oneLine(run.team_id, 60), h("span", { class: `badge ${Object.hasOwn(SIGNS, run.state) ? run.state : "stopped"}` }, `${SIGNS[run.state] ?? "·"} ${fate(status)}`),
        lasted(run.duration_s), figure(run.input_tokens, short), figure(run.output_tokens, short), figure(run.cost_usd, money),
        run.commits ? whole(run.commits) : "", run.errors ? whole(run.errors) : ""];
    });
    body.append(...table(HEAD, rows, RIGHT).tBodies[0].children);
    cursor = page.next;
    more.hidden = !cursor;
    frame.hidden = !body.childElementCount;
    say(count, body.childElementCount ? `${body.childElementCount}${cursor ? " newest" : ""}` : "no run fits");
  }

  function draw() {
    const all = (name) => {
      const known = (sums.team ?? []).map((row) => row[name]).filter((value) => value != null);
      return known.length ? known.reduce((a, b) => a + b, 0) : null;
    };
    if (!("measure" in given) && all("cost_usd") === null && all("total_tokens") !== null) {
      document.getElementById("measure").value = wanted.measure = "total_tokens"; // nobody knows the cost of any run
    }
    const [title, words] = MEASURES[wanted.measure];
    const failed = all("failed");
    const figures = [["runs", whole(all("runs") ?? 0)], ["failed", failed === null ? UNKNOWN : whole(failed)], ["cost", money(all("cost_usd"))],
      ["tokens in", short(all("input_tokens"))], ["tokens out", short(all("output_tokens"))], ["calls", whole(all("calls"))]];
    tiles.replaceChildren(...figures.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    const unknown = all("cost_unknown");
    if (unknown) tiles.append(h("div", {}, h("dt", {}, "cost unknown of"), h("dd", {}, many(unknown, "run"))));
    columns(days, "days", `${title[0].toUpperCase()}${title.slice(1)} per day`, spread(sums.day ?? [], since()), wanted.measure, words);
    bars(teams, "teams", "Per team", sums.team ?? [], "team", wanted.measure, words, (name) => choose2("team", name));
    bars(models, "models", "Per model", sums.model ?? [], "model", wanted.measure, words, null);
  }

  function choose2(name, value) {
    document.getElementById(name).value = value;
    choose({ [name]: value });
  }

  load();
  return () => {
    asked.abort();
    clearTimeout(again);
  };
}

/** Every day of the stretch, also those without runs. */
function spread(rows, since) {
  if (!rows.length) return [];
  const known = new Map(rows.map((row) => [row.day, row]));
  const first = new Date(`${rows.reduce((a, b) => (a.day < b.day ? a : b)).day}T12:00:00`);
  const start = since === null ? first : new Date(Math.max(since * 1000 + 43200000, Math.min(first.getTime(), Date.now())));
  if (since !== null) start.setTime(since * 1000 + 43200000);
  const all = [];
  const today = new Date();
  for (const at = start; all.length < 400 && at <= new Date(today.getTime() + 43200000); at.setDate(at.getDate() + 1)) {
    const name = `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
    all.push(known.get(name) ?? { day: name, runs: 0 });
    known.delete(name);
  }
  return [...known.values(), ...all].sort((a, b) => (a.day < b.day ? -1 : 1));
}

const told = (row) => [money(row.cost_usd), `${short(row.total_tokens)} tokens`, many(row.runs ?? 0, "run"),
  row.cost_unknown ? `cost of ${row.cost_unknown} unknown` : ""].filter(Boolean).join(", ");

/** Columns, a day each: a list whose items tell their figures. */
function columns(place, id, title, rows, measure, words) {
  const most = Math.max(0, ...rows.map((row) => row[measure] ?? 0));
  const top = most ? roundTop(most, 0) : 0;
  const output = h("output", { "aria-hidden": "true" });
  const items = rows.map((row, n) => {
    const bar = h("span", { class: "bar" });
    bar.style.height = `${top ? ((row[measure] ?? 0) / top) * 100 : 0}%`;
    const text = `${row.day}: ${row.runs ? told(row) : "no runs"}`;
    const item = h("li", { class: row[measure] ? null : "none", onpointerenter: () => say(output, text), onpointerleave: () => say(output, "") }, bar, h("span", { class: "unseen" }, text));
    const every = Math.ceil(rows.length / 8);
    if (n % every === 0) item.append(h("span", { class: n % (2 * every) ? "tick odd" : "tick", "aria-hidden": "true" }, row.day.slice(5)));
    return item;
  });
  place.replaceChildren(h("h2", { id: `${id}-title` }, title, output),
    rows.length && top ? h("div", { class: "columns-box" }, h("div", { class: "y", "aria-hidden": "true" }, h("span", {}, words(top)), h("span", {}, words(top / 2)), h("span", {}, words(0))),
      h("ul", { class: "columns", role: "list" }, items))
      : h("p", { class: "state" }, rows.length ? "Nothing known of that." : "No runs in this period."));
}

/** Bars side by side with their names and figures. */
function bars(place, id, title, rows, name, measure, words, onchoose) {
  const sorted = [...rows].sort((a, b) => (b[measure] ?? -1) - (a[measure] ?? -1));
  const top = Math.max(0, ...rows.map((row) => row[measure] ?? 0));
  const items = sorted.slice(0, ROWS).map((row) => {
    const bar = h("span", { class: "bar" });
    bar.hidden = !row[measure];
    bar.style.width = `${top ? ((row[measure] ?? 0) / top) * 100 : 0}%`;
    const label = oneLine(row[name], 60) || "unknown";
    return h("tr", { title: told(row) },
      h("th", { scope: "row" }, onchoose ? h("button", { type: "button", onclick: () => onchoose(row[name]) }, label) : label),
      h("td", { class: "track", "aria-hidden": "true" }, bar), h("td", { class: "number" }, row[measure] == null ? UNKNOWN : words(row[measure])));
  });
  place.replaceChildren(h("h2", { id: `${id}-title` }, title, sorted.length > ROWS ? h("small", {}, `the first ${ROWS} of ${sorted.length}`) : null),
    items.length ? h("table", { class: "bars", "aria-labelledby": `${id}-title` }, h("tbody", {}, items)) : h("p", { class: "state" }, "None."));
}
