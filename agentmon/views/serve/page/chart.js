// Charts: CPU, memory, tokens and cost over one common stretch of time, with one cross-hair through all of them.
//
// Drag over a chart, or the keys and buttons, to look at a part; each chart is a slider for the keyboard and tells the
// figures at its place. Marks of git stand on the axis below.

import { h, mark, say, svg } from "./elements.js";
import { UNKNOWN, clock, day, mebibytes, money, percent, short, whole } from "./words.js";

const WIDTH = 1000;
const HEIGHT = 200;
const LABELS = 4;
const LEAST_SPAN_S = 0.5;
const APART = 26; // pixels; marks nearer than this become one
const LINED = 60; // acts with a line through the chart
const ROWS = 40; // of the table

const memoryTop = (most) => [...Array(40).keys()].flatMap((n) => [2 ** n, 1.5 * 2 ** n]).find((top) => top >= most) ?? most;

/** A round number not below `most`. */
export function roundTop(most, least) {
  const needed = Math.max(most, least);
  const power = 10 ** Math.floor(Math.log10(needed));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((top) => top >= needed * 0.9999) ?? needed;
}

const KINDS = [
  {
    name: "cpu", title: "CPU", format: percent, top: (most) => roundTop(most, 10),
    lines: [{ kind: "cpu", of: (s) => s.cpu_max, filled: true }, { kind: "cpu", of: (s) => s.cpu_percent, lined: true }],
    told: (s, i) => {
      const [mean, peak] = [s.cpu_percent[i], s.cpu_max?.[i]];
      return mean == null ? UNKNOWN : peak > mean + 0.5 ? `${percent(mean)}, peak ${percent(peak)}` : percent(mean);
    },
  },
  {
    name: "memory", title: "Memory", format: mebibytes, top: (most) => memoryTop(Math.max(4, most)),
    lines: [{ kind: "memory", of: (s) => s.memory_mb, lined: true, filled: true }],
    told: (s, i) => {
      const counts = [["processes", s.processes], ["threads", s.threads]].filter(([, c]) => c?.[i] != null).map(([n, c]) => `${c[i]} ${n}`);
      return [mebibytes(s.memory_mb[i]), ...counts].join(", ");
    },
  },
  {
    name: "tokens", title: "Tokens", format: short, top: (most) => roundTop(most, 10), key: ["input", "output"],
    lines: [
      { kind: "output", of: both, base: (s) => s.input_tokens, steps: true, lined: true, filled: true },
      { kind: "input", of: (s) => s.input_tokens, steps: true, lined: true, filled: true },
    ],
    told: (s, i) => (s.input_tokens[i] == null && s.output_tokens[i] == null ? UNKNOWN
      : `${whole(s.input_tokens[i] ?? 0)} in, ${whole(s.output_tokens[i] ?? 0)} out`),
  },
  {
    name: "cost", title: "Cost", format: money, top: (most) => roundTop(most, 0.0001),
    lines: [{ kind: "cost", of: (s) => s.cost_usd, steps: true, lined: true, filled: true }],
    told: (s, i) => money(s.cost_usd[i]),
  },
];

function both(s) {
  return s.timestamp.map((_, i) => {
    const [given, made] = [s.input_tokens[i], s.output_tokens[i]];
    return given == null && made == null ? null : (given ?? 0) + (made ?? 0);
  });
}

export const SIGNS = { commit: "●", merge: "◆", push: "▲" };
const OTHER = "○";

export class Charts {
  /** onwindow(since, until, whole): another stretch is looked at. onact(mark): a mark was chosen. */
  constructor({ onwindow, onact }) {
    this.onwindow = onwindow;
    this.onact = onact;
    this.at = -1;
    this.window = null; // [since, until]; null is all
    this.series = null;
    const button = (sign, title, work) => h("button", { type: "button", "aria-label": title, title, onclick: work }, sign);
    this.all = button("All", "Show all of it (0)", () => this.zoom(null));
    this.range = h("span", { class: "range" });
    this.plots = KINDS.map((kind) => this._figure(kind));
    this.table = h("details", { class: "numbers" }, h("summary", {}, "These figures as a table"));
    this.table.addEventListener("toggle", () => this._tabulate());
    new ResizeObserver(() => this.series && this.draw()).observe(this.plots[0].slider);
    this.note = h("p", { class: "marks" }, "git: ● commit  ◆ merge  ▲ push  ○ other");
    this.element = h("div", {},
      h("div", { class: "tools", role: "group", "aria-label": "Stretch of time" },
        button("−", "Zoom out (−)", () => this.scale(2)), button("+", "Zoom in (+)", () => this.scale(0.5)),
        button("‹", "Earlier (Page Up)", () => this.pan(-0.5)), button("›", "Later (Page Down)", () => this.pan(0.5)), this.all, this.range),
      h("div", { class: "charts" }, this.plots.map((plot) => plot.figure)), this.note, this.table);
  }

  _figure(kind) {
    const plot = { kind };
    plot.output = h("output", { "aria-hidden": "true" });
    plot.words = h("span");
    plot.y = h("div", { class: "y", "aria-hidden": "true" }, [0, 1, 2].map(() => h("span")));
    plot.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    plot.cross = h("div", { class: "cross" });
    plot.chosen = h("div", { class: "chosen" });
    plot.slider = h("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": `${kind.title} over time`, "aria-valuemin": 0 },
      plot.svg, plot.chosen, plot.cross);
    plot.lane = h("div", { class: "lane" });
    plot.x = h("div", { class: "x", "aria-hidden": "true" }, Array.from({ length: LABELS + 1 }, () => h("span")));
    const keys = (kind.key ?? []).map((name) => h("span", { class: `key ${name}` }, name));
    plot.figure = h("figure", {},
      h("figcaption", {}, h("b", {}, kind.title), keys, plot.words, plot.output),
      h("div", { class: "chart" }, plot.y, plot.slider, plot.lane, plot.x));
    this._listen(plot);
    return plot;
  }

  _listen(plot) {
    const { slider } = plot;
    const share = (event) => {
      const box = slider.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    };
    let from = null;
    slider.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.series) return;
      from = share(event);
      slider.setPointerCapture(event.pointerId);
    });
    slider.addEventListener("pointermove", (event) => {
      const to = share(event);
      this.point(this._nearest(to));
      if (from !== null) this._choose(Math.min(from, to), Math.max(from, to));
    });
    const end = (event, zooms) => {
      if (from === null) return;
      const [low, high] = [from, share(event)].sort((a, b) => a - b);
      from = null;
      this._choose(0, 0);
      if (!zooms || high - low < 0.01) return;
      const [since, until] = this.span();
      this.zoom([since + low * (until - since), since + high * (until - since)]);
    };
    slider.addEventListener("pointerup", (event) => end(event, true));
    slider.addEventListener("pointercancel", (event) => end(event, false));
    slider.addEventListener("pointerleave", () => from === null && document.activeElement !== slider && this.point(-1));
    slider.addEventListener("focus", () => this.at < 0 && this.series && this.point(this.series.timestamp.length - 1));
    slider.addEventListener("blur", () => this.point(-1));
    slider.addEventListener("dblclick", () => this.zoom(null));
    slider.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || !this.series) return;
      const work = {
        ArrowLeft: () => (event.shiftKey ? this.pan(-0.25) : this.step(-1)), ArrowRight: () => (event.shiftKey ? this.pan(0.25) : this.step(1)),
        ArrowDown: () => this.step(-1), ArrowUp: () => this.step(1),
        Home: () => this.point(this._seen()[0]), End: () => this.point(this._seen()[1]),
        PageUp: () => this.pan(-0.5), PageDown: () => this.pan(0.5),
        "+": () => this.scale(0.5), "=": () => this.scale(0.5), "-": () => this.scale(2), 0: () => this.zoom(null), Escape: () => this.zoom(null),
      }[event.key];
      if (!work) return;
      event.preventDefault();
      work();
    });
  }

  _choose(low, high) {
    for (const { chosen } of this.plots) {
      chosen.style.left = `${low * 100}%`;
      chosen.style.width = `${(high - low) * 100}%`;
    }
  }

  /** All that there is: Unix seconds. */
  whole() {
    const times = this.series.timestamp;
    const since = Math.min(this.series.since ?? times[0], times[0]);
    const until = Math.max(this.series.until ?? since, times.at(-1));
    return [since, Math.max(until, since + 1)];
  }

  /** What is looked at. */
  span() {
    return this.window ?? this.whole();
  }

  zoom(window) {
    if (!this.series) return;
    const [first, last] = this.whole();
    if (window) {
      let [since, until] = window;
      const span = Math.min(last - first, Math.max(LEAST_SPAN_S, until - since));
      since = Math.min(Math.max(first, since), last - span);
      window = span >= (last - first) * 0.999 ? null : [since, since + span];
    }
    this.window = window;
    this.draw();
    this.onwindow(...this.span(), window === null);
  }

  scale(factor) {
    if (!this.series) return;
    const [since, until] = this.span();
    const at = this.at >= 0 ? this.series.timestamp[this.at] : (since + until) / 2;
    this.zoom([at - (at - since) * factor, at + (until - at) * factor]);
  }

  pan(share) {
    if (!this.series || !this.window) return;
    const [since, until] = this.window;
    this.zoom([since + (until - since) * share, until + (until - since) * share]);
  }

  step(by) {
    const [first, last] = this._seen();
    this.point(Math.min(last, Math.max(first, this.at < 0 ? last : this.at + by)));
  }

  _seen() {
    const [since, until] = this.span();
    const times = this.series.timestamp;
    const first = times.findIndex((time) => time >= since);
    const last = times.findLastIndex((time) => time <= until);
    return last < first || first < 0 ? [0, times.length - 1] : [first, last];
  }

  _nearest(share) {
    if (!this.series) return -1;
    const [since, until] = this.span();
    const at = since + share * (until - since);
    const times = this.series.timestamp;
    let [low, high] = [0, times.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] < at) low = middle;
      else high = middle;
    }
    return Math.abs(times[low] - at) <= Math.abs(times[high] - at) ? low : high;
  }

  /** The cross-hair there. */
  point(index) {
    this.at = index;
    const { series } = this;
    const [since, until] = series ? this.span() : [0, 1];
    for (const { kind, cross, output, slider } of this.plots) {
      cross.hidden = index < 0;
      if (index < 0 || !series) {
        say(output, "");
        continue;
      }
      const at = series.timestamp[index];
      const words = `${clock(at)}  ${kind.told(series, index)}`;
      cross.style.left = `${Math.min(1, Math.max(0, (at - since) / (until - since))) * 100}%`;
      say(output, words);
      mark(slider, "aria-valuenow", index);
      mark(slider, "aria-valuetext", words);
    }
  }

  /** series: columns of equal length; acts: git, oldest first. */
  show(series, acts) {
    if (!series.timestamp.length) return;
    this.series = series;
    this.acts = acts;
    this.at = Math.min(this.at, series.timestamp.length - 1);
    this.draw();
  }

  draw() {
    const { series } = this;
    const [since, until] = this.span();
    const marks = this._marks(since, until);
    const grid = [0, HEIGHT / 2, HEIGHT];
    const lined = this.acts.filter((act) => SIGNS[act.operation]).map((act) => ((act.timestamp - since) / (until - since)) * WIDTH)
      .filter((x) => x >= 0 && x <= WIDTH).slice(-LINED);
    for (const plot of this.plots) {
      const { kind } = plot;
      const lines = kind.lines.map((line) => ({ ...line, values: line.of(series) })).filter((line) => line.values);
      const [first, last] = this._seen();
      let most = 0;
      for (const { values } of lines) for (let i = Math.max(0, first - 1); i <= last; i++) most = Math.max(most, values[i] ?? 0);
      const known = lines.some(({ values }) => values.some((value) => value != null));
      plot.figure.classList.toggle("unknown", !known);
      say(plot.words, known ? kind.words?.(series) ?? "" : "not known");
      const top = kind.top(most);
      [top, top / 2, 0].forEach((value, n) => say(plot.y.children[n], known ? kind.format(value) : ""));
      plot.svg.replaceChildren(
        ...grid.map((y) => svg("line", { class: "rule", x1: 0, x2: WIDTH, y1: y, y2: y })),
        ...lined.map((x) => svg("line", { class: "act", x1: x, x2: x, y1: 0, y2: HEIGHT })),
        ...lines.flatMap((line) => paths(line, series, since, until, top, first, last)));
      mark(plot.slider, "aria-valuemax", series.timestamp.length - 1);
      mark(plot.slider, "aria-valuenow", this.at < 0 ? series.timestamp.length - 1 : this.at);
      mark(plot.slider, "aria-valuetext", `${clock(series.timestamp.at(-1))}  ${kind.told(series, series.timestamp.length - 1)}`);
      this._label(plot, since, until);
      this._lane(plot, marks);
    }
    this.note.hidden = !this.acts.length;
    this.all.disabled = this.window === null;
    say(this.range, `${day(since)} ${clock(since)} to ${day(until) === day(since) ? "" : `${day(until)} `}${clock(until)}`);
    this.point(this.at);
    if (this.table.open) this._tabulate();
  }

  _label(plot, since, until) {
    [...plot.x.children].forEach((label, n) => {
      const at = since + ((until - since) * n) / LABELS;
      say(label, until - since > 2 * 86400 ? day(at).slice(5) : until - since > 7200 ? clock(at).slice(0, 5) : clock(at));
    });
  }

  _marks(since, until) {
    const groups = [];
    const apart = APART / Math.max(100, this.plots[0].slider.clientWidth);
    for (const act of this.acts) {
      const at = (act.timestamp - since) / (until - since);
      if (at < 0 || at > 1) continue;
      if (groups.length && at - groups.at(-1)[0].at < apart) groups.at(-1).push({ at, act });
      else groups.push([{ at, act }]);
    }
    return groups.map((group) => {
      const chief = group.find(({ act }) => SIGNS[act.operation]) ?? group[0];
      const words = group.slice(0, 5).map(({ act }) => act.words);
      if (group.length > 5) words.push(`and ${group.length - 5} more`);
      return { at: group[0].at, act: chief.act, sign: SIGNS[chief.act.operation] ?? OTHER, words: words.join("\n") };
    });
  }

  _lane(plot, marks) {
    const wanted = marks.map((m) => `${m.at.toFixed(4)}${m.sign}${m.words}`).join();
    if (plot.lane.dataset.shown === wanted) return;
    plot.lane.dataset.shown = wanted;
    // one lane is for keyboard and reader: the marks of the other charts are the same
    const first = plot === this.plots[0];
    plot.lane.replaceChildren(...marks.map((m) => {
      const button = h("button", { type: "button", title: m.words, "aria-label": `git: ${m.words}`, onclick: () => this.onact(m.act),
        tabindex: first ? null : "-1", "aria-hidden": first ? null : "true" }, m.sign);
      button.style.left = `${m.at * 100}%`;
      return button;
    }));
  }

  _tabulate() {
    if (!this.table.open || !this.series) return;
    const { series } = this;
    const [first, last] = this._seen();
    const step = Math.max(1, Math.ceil((last - first + 1) / ROWS));
    const rows = [];
    for (let i = first; i <= last; i += step) {
      rows.push(h("tr", {}, h("th", { scope: "row" }, clock(series.timestamp[i])), h("td", {}, percent(series.cpu_percent[i])), h("td", {}, mebibytes(series.memory_mb[i])),
        h("td", {}, whole(series.input_tokens[i])), h("td", {}, whole(series.output_tokens[i])), h("td", {}, money(series.cost_usd[i]))));
    }
    const head = ["time", "CPU", "memory", "tokens in", "tokens out", "cost"].map((name) => h("th", { scope: "col" }, name));
    this.table.replaceChildren(this.table.firstElementChild,
      h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Figures over time" }, h("table", { class: "right" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))));
  }
}

/** Area and curve, from one known value to the next; in steps, the last known holds. */
function paths(line, series, since, until, top, first, last) {
  const x = (i) => Math.min(2 * WIDTH, Math.max(-WIDTH, ((series.timestamp[i] - since) / (until - since)) * WIDTH));
  const y = (value) => (HEIGHT - (Math.min(value, top) / top) * HEIGHT).toFixed(1);
  const base = line.base?.(series);
  const run = { upper: [], lower: [] };
  let held = null;
  for (let i = Math.max(0, first - 1); i <= Math.min(series.timestamp.length - 1, last + 1); i++) {
    let value = line.values[i];
    if (value == null && line.steps) value = held;
    if (value == null) continue; // from one known value to the next
    const at = x(i).toFixed(1);
    if (line.steps && run.upper.length) {
      run.upper.push(`${at} ${run.y}`);
      run.lower.push(`${at} ${run.base}`);
    }
    run.y = y(value);
    run.base = y(base?.[i] ?? 0);
    run.upper.push(`${at} ${run.y}`);
    run.lower.push(`${at} ${run.base}`);
    held = value;
  }
  const { upper, lower } = run;
  if (!upper.length) return [];
  return [
    line.filled ? svg("path", { class: `area ${line.kind}`, d: `M${upper.join("L")}L${lower.reverse().join("L")}Z` }) : null,
    line.lined ? svg("path", { class: `curve ${line.kind}`, d: upper.length > 1 ? `M${upper.join("L")}` : `M${upper[0]}h1` }) : null,
  ].filter(Boolean);
}
