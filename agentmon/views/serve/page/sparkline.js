// Sparkline: the last samples as one small curve. It decorates a figure that stands beside it as text.

import { mark, svg } from "./elements.js";

const WIDTH = 120;
const HEIGHT = 28;

export class Sparkline {
  /** least: what the top stands for at least, so that noise near zero stays low. */
  constructor(kind, least) {
    this.least = least;
    this.area = svg("path", { class: "area" });
    this.curve = svg("path", { class: "curve" });
    this.element = svg(
      "svg",
      { class: `spark ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.area,
      this.curve,
    );
  }

  show(values) {
    if (values === this.shown) return;
    this.shown = values;
    const last = (values ?? []).slice(-WIDTH);
    const known = last.filter((value) => value !== null);
    const top = Math.max(this.least, ...known) * 1.08;
    const step = WIDTH / Math.max(1, Math.max(last.length, 30) - 1);
    const first = WIDTH - (last.length - 1) * step;
    const points = [];
    last.forEach((value, n) => {
      if (value !== null) points.push(`${(first + n * step).toFixed(1)} ${(HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1)}`);
    });
    if (points.length < 2) points.length = 0;
    const from = points[0]?.split(" ")[0];
    mark(this.curve, "d", points.length ? `M${points.join("L")}` : null);
    mark(this.area, "d", points.length ? `M${from} ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z` : null);
  }
}
