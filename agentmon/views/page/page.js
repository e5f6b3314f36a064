"use strict";
// The page is complete without this: here is only the crosshair that tells the figures at one moment.
(() => {
  const points = JSON.parse(document.getElementById("points").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const words = plots.map((plot) => plot.closest("figure").querySelector("output"));
  let chosen = -1;

  const grouped = (value) => Math.round(value).toLocaleString("en-US");
  const told = {
    cpu: (i) => percent(points.cpu[i], points.cpu_peak[i]),
    memory: (i) => points.memory[i] === null ? "" : `${grouped(points.memory[i])} MiB`,
    tokens: (i) => points.input[i] === null && points.output[i] === null ? "" :
      `${grouped(points.input[i] ?? 0)} in, ${grouped(points.output[i] ?? 0)} out`,
    cost: (i) => points.cost[i] === null ? "" : `$${points.cost[i].toFixed(4)}`,
  };

  function percent(mean, peak) {
    if (mean === null) return "";
    return peak > mean + 0.5 ? `${grouped(mean)} %, peak ${grouped(peak)} %` : `${grouped(mean)} %`;
  }

  function offset(share) {
    if (points.span < 60) return `+${(share * points.span).toFixed(1)} s`;
    const seconds = Math.floor(share * points.span);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor(seconds / 60) % 60;
    return hours ? `+${hours}:${two(minutes)}:${two(seconds % 60)}` : `+${minutes}:${two(seconds % 60)}`;
  }

  function nearest(share) {
    let best = 0;
    points.times.forEach((time, i) => {
      if (Math.abs(time - share) < Math.abs(points.times[best] - share)) best = i;
    });
    return best;
  }

  function show(index) {
    chosen = index;
    plots.forEach((plot, n) => {
      const cross = plot.querySelector(".cross");
      cross.style.display = index < 0 ? "none" : "block";
      words[n].textContent = "";
      if (index < 0) return;
      cross.style.left = `${points.times[index] * 100}%`;
      const text = told[plot.dataset.chart](index);
      words[n].textContent = text ? `${offset(points.times[index])}  ${text}` : offset(points.times[index]);
    });
  }

  plots.forEach((plot) => {
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      show(nearest((event.clientX - box.left) / box.width));
    });
    plot.addEventListener("pointerleave", () => show(-1));
    plot.addEventListener("blur", () => show(-1));
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(Math.min(points.times.length - 1, Math.max(0, chosen + step)));
    });
  });
})();
