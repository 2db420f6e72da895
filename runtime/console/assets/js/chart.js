// Small charts.
import { el, svg, setText } from "./dom.js";
import { millis, rate } from "./format.js";

const seconds = 60;

// timeline shows numbers per second of the last minute, with failures in front.
export function timeline() {
  const width = 600;
  const height = 120;
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const failed = svg("path", { class: "failed" });
  const picture = svg("svg", { class: "timeline", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, area, line, failed);
  const text = el("p", { class: "legend" });
  const element = el("div", {}, picture, text);

  const path = (values, top) =>
    values.map((value, i) => {
      const x = width - ((values.length - 1 - i) * width) / (seconds - 1);
      const y = height - 2 - (value / top) * (height - 6);
      return `${i === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    }).join("");

  return {
    element,
    update(calls, failures) {
      const shown = calls.slice(-seconds);
      const top = Math.max(1, ...shown);
      const from = width - ((shown.length - 1) * width) / (seconds - 1);
      line.setAttribute("d", path(shown, top));
      area.setAttribute("d", shown.length > 1 ? `${path(shown, top)}L${width} ${height}L${from.toFixed(1)} ${height}Z` : "");
      failed.setAttribute("d", failures.some((n) => n > 0) ? path(failures.slice(-seconds), top) : "");
      setText(text, `Now ${rate(calls.at(-1) ?? 0)}, of which ${rate(failures.at(-1) ?? 0)} fail; at most ${rate(Math.max(0, ...shown))} in the last minute.`);
    },
  };
}

const perOctave = 4;

// histogram shows durations on an axis from 1 µs to 2 min, each step of which is twice the
// one before, the same for all actions, so that they can be compared.
export function histogram() {
  const bar = 4;
  const height = 22;
  const octaves = 27;
  const title = svg("title");
  const bars = Array.from({ length: octaves }, (_, i) => svg("rect", { x: i * bar, width: bar - 1, y: height, height: 0 }));
  const axis = svg("rect", { class: "axis", x: 0, y: height, width: octaves * bar, height: 1 });
  const element = svg("svg", { class: "histogram", role: "img", width: octaves * bar, height: height + 1 }, title, axis, bars);
  return {
    element,
    update(figures) {
      const sums = new Array(octaves).fill(0);
      figures.buckets.forEach((n, i) => (sums[Math.min(octaves - 1, Math.floor(i / perOctave))] += n));
      const top = Math.max(1, ...sums);
      sums.forEach((n, i) => {
        const tall = n === 0 ? 0 : Math.max(2, Math.round((n / top) * height));
        bars[i].setAttribute("y", height - tall);
        bars[i].setAttribute("height", tall);
      });
      setText(title, `durations from 1 µs to 2 min; half within ${millis(figures.quantile(0.5))}, 99 of 100 within ${millis(figures.quantile(0.99))}`);
    },
  };
}
