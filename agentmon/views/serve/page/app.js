// The page: which view its address names, the connection and whether it lives, and the alerts above all views.

import { showAgent } from "./agent.js";
import { pageOf } from "./card.js";
import { h, mark, say } from "./elements.js";
import { showGrid } from "./grid.js";
import { showHistory } from "./history.js";
import { ask } from "./rest.js";
import { Stream, isLive } from "./stream.js";
import { SIGNS, alertWords, many, oneLine } from "./words.js";

const ALERTS_SHOWN = 4;
const DISMISSED_KEPT = 500;

const address = new URL("ws", document.baseURI);
address.protocol = address.protocol.replace("http", "ws");
address.hash = "";
address.search = "";
const stream = new Stream(address.href);
const place = document.getElementById("content");
const link = document.getElementById("link");
const told = document.getElementById("told");

let leave = () => {};
let shown = null;
let version = null;

/** `#/run/ID/AGENT?q=…` as its parts and its query; what is no such address is the grid. */
function route() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function readdress(path) {
  return (given) => {
    const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
    history.replaceState(null, "", `#${path}${query.size ? `?${query}` : ""}`);
  };
}

function show() {
  if (location.hash === "#content") { // the skip link
    history.replaceState(null, "", shown ?? "#/");
    place.focus();
    return;
  }
  const first = shown === null;
  shown = location.hash;
  const { parts, query } = route();
  leave();
  document.body.dataset.view = parts[0] ?? "agents";
  if (parts[0] === "run" && parts.length >= 2) {
    leave = showAgent(place, { run: parts[1], agent: parts[2] ?? null, query }, { stream, readdress: readdress(location.hash.slice(1).split("?")[0]), tell });
  } else if (parts[0] === "history") {
    leave = showHistory(place, query, { readdress: readdress("/history") });
  } else {
    leave = showGrid(place, query, { stream, readdress: readdress("/") });
  }
  for (const one of document.querySelectorAll("nav[aria-label=Pages] a")) {
    mark(one, "aria-current", one.hash === `#/${parts[0] === "history" ? "history" : ""}` && parts[0] !== "run" ? "page" : null);
  }
  title();
  if (!first) {
    scrollTo(0, 0);
    place.querySelector("h1")?.focus({ preventScroll: true });
  }
}

function title() {
  const live = [...stream.agents.values()].filter(isLive).length;
  const { parts } = route();
  const name = parts[0] === "run" ? oneLine(parts[2] ?? parts[1], 60) : parts[0] === "history" ? "History" : live ? `${live} live` : "";
  const words = name ? `${name} · agentmon` : "agentmon";
  if (document.title !== words) document.title = words;
}

/** In the polite live region: for what has changed by itself. */
function tell(words) {
  say(told, words);
}

const WORDS = { connecting: "connecting…", open: "live", waiting: "reconnecting…" };
let wasOpen = false;
let slow = 0;

function connection(state) {
  clearTimeout(slow);
  if (state === "open") {
    linkShows("open", "live");
    if (wasOpen === "lost") tell("Connected again.");
    wasOpen = true;
    return;
  }
  if (state === "waiting" && wasOpen === true) {
    wasOpen = "lost";
    tell("The connection is lost; reconnecting…");
  }
  if (wasOpen === "lost") linkShows("waiting", WORDS.waiting);
  else slow = setTimeout(() => linkShows(state, WORDS[state]), 500);
  if (state === "waiting") why();
}

function linkShows(state, words) {
  mark(link, "data-state", state);
  say(link.firstElementChild, words);
}

/** A refused socket does not say why; the REST interface does. */
async function why() {
  try {
    await ask("teams");
  } catch (error) {
    if (error.status === 401 || error.status === 403) {
      linkShows("refused", "no access");
      link.title = oneLine(error.message);
      tell("The server wants a token: open the address that it printed when it started.");
    }
  }
}

const dismissed = new Set(kept());
let alertsShown = "";

/** What was dismissed in this tab; where the browser keeps nothing, that is all it knows. */
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem("dismissed") ?? "[]");
  } catch {
    return [];
  }
}

function keep(names) {
  try {
    sessionStorage.setItem("dismissed", JSON.stringify(names));
  } catch {
    // then they are dismissed until the page is loaded again
  }
}

function alerts() {
  const box = document.getElementById("alerts");
  const open = [];
  const seen = new Set();
  for (const agent of stream.agents.values()) {
    for (const alert of agent.alerts ?? []) {
      const same = JSON.stringify([agent.run_id, alert.rule, alert.timestamp, alert.value]); // the run's own card has all
      if (!isLive(agent) || dismissed.has(same) || seen.has(same)) continue;
      seen.add(same);
      open.push({ agent, alert, same });
    }
  }
  open.sort((a, b) => (b.alert.severity === "critical") - (a.alert.severity === "critical") || (b.alert.timestamp ?? 0) - (a.alert.timestamp ?? 0));
  const keys = open.map(({ same }) => same);
  if (keys.join() === alertsShown) return;
  const known = alertsShown;
  alertsShown = keys.join();
  box.hidden = !open.length;
  if (!open.length) return;
  const rows = open.slice(0, ALERTS_SHOWN).map(({ agent, alert }) =>
    h("li", { class: alert.severity === "critical" ? "critical" : "warning" },
      h("a", { href: pageOf(agent) }, oneLine(agent.agent_id, 60)), h("span", {}, ` ${oneLine(agent.team_id, 40)} `), alertWords(alert)));
  const dismiss = h("button", { type: "button", onclick: () => {
    keys.forEach((key) => dismissed.add(key));
    keep([...dismissed].slice(-DISMISSED_KEPT));
    alerts();
    place.focus({ preventScroll: true });
  } }, "Dismiss");
  if (!known.includes(keys[0])) tell(`Alert: ${oneLine(open[0].agent.agent_id, 60)}, ${alertWords(open[0].alert)}`);
  box.replaceChildren(h("strong", {}, `${SIGNS.error} ${many(open.length, "alert")}`), h("ul", { role: "list" }, rows,
    open.length > rows.length ? h("li", {}, `and ${open.length - rows.length} more`) : null), dismiss);
}

stream.listen((kind, what) => {
  if (kind === "state") connection(what);
  if (kind === "agents") {
    alerts();
    title();
  }
  if (kind === "hello") {
    if (version !== null && what.version !== version) tell("The server is another version now: reload this page.");
    version = what.version;
  }
});
addEventListener("hashchange", show);
stream.start();
connection(stream.state);
show();
