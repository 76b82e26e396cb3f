// A small plot over time: lines with an area, a grid, and the values under the pointer. Drawn as SVG;
// who cannot see it hears the newest values.

import { h, s, fill } from "./dom.js";
import { clock } from "./format.js";

const W = 600;
const H = 130;
const LEFT = 40;
const BOTTOM = 18;
const TOP = 6;

// 1, 2 or 5 times a power of ten, not below.
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= value - 1e-9);
}

// lines: [{name, tone}]; show({at: [ms], values: [[...]]}) draws. A value of null is a gap.
export function plot({ title, lines, unit, write }) {
  const now = h("span.now");
  const svg = s("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const axes = h("span.sr");
  const legend = lines.length > 1
    ? lines.map((line) => [h(`span.key.${line.cls || ""}`, { "aria-hidden": "true" }), line.name]) : null;
  const element = h("figure.card.plot", h("figcaption", h("h3", title), now), svg, axes);
  let data = null;
  let hover = null;

  const words = (n) => lines.map((line, k) => {
    const value = data.values[k][n];
    const text = value === null || value === undefined ? "–" : write(value);
    return lines.length > 1 ? `${line.name} ${text}` : text;
  }).join(" · ");

  function draw() {
    const width = svg.clientWidth || W;
    svg.setAttribute("viewBox", `0 0 ${width} ${H}`);
    const count = data.at.length;
    const all = data.values.flat().filter((it) => it !== null && it !== undefined);
    const top = nice(Math.max(...all, 0));
    const x = (n) => LEFT + (count > 1 ? n / (count - 1) : 1) * (width - LEFT - 2);
    const y = (value) => TOP + (1 - value / top) * (H - TOP - BOTTOM);
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const at = y(top * part);
      parts.push(s("line.grid", { x1: LEFT, x2: width, y1: at, y2: at }));
      parts.push(s("text.axis", { x: LEFT - 6, y: at + 3.5, "text-anchor": "end" }, write(top * part)));
    }
    const places = width > 420 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1];
    if (count > 1) {
      for (const part of places) {
        const n = Math.round(part * (count - 1));
        const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
        parts.push(s("text.axis", { x: x(n), y: H - 4, "text-anchor": anchor }, clock(data.at[n]).slice(0, 5)));
      }
    }
    data.values.forEach((values, k) => {
      let d = "";
      let area = "";
      let open = false;
      values.forEach((value, n) => {
        if (value === null || value === undefined) {
          if (open) area += `L${x(n - 1)} ${y(0)}Z`;
          open = false;
          return;
        }
        d += `${open ? "L" : "M"}${x(n).toFixed(1)} ${y(value).toFixed(1)}`;
        area += open ? `L${x(n).toFixed(1)} ${y(value).toFixed(1)}` : `M${x(n).toFixed(1)} ${y(0)}L${x(n).toFixed(1)} ${y(value).toFixed(1)}`;
        open = true;
      });
      if (open) area += `L${x(values.length - 1).toFixed(1)} ${y(0)}Z`;
      const tone = lines[k].tone ?? k;
      if (lines[k].area !== false) parts.push(s(`path.area.a${tone}`, { d: area }));
      parts.push(s(`path.l${tone}`, { d }));
    });
    if (hover !== null && hover < count) parts.push(s("line.cursor", { x1: x(hover), x2: x(hover), y1: TOP, y2: H - BOTTOM }));
    svg.replaceChildren(...parts);
    const n = hover !== null && hover < count ? hover : count - 1;
    if (count) fill(now, hover === null ? "now " : `${clock(data.at[n])} `, words(n), ` ${unit}`);
    fill(axes, count ? `${title}, newest: ${words(count - 1)} ${unit}` : `${title}: nothing yet`);
  }
  svg.addEventListener("pointermove", (event) => {
    if (!data) return;
    const box = svg.getBoundingClientRect();
    const part = (event.clientX - box.left - LEFT) / (box.width - LEFT - 2);
    hover = Math.max(0, Math.min(data.at.length - 1, Math.round(part * (data.at.length - 1))));
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    hover = null;
    if (data) draw();
  });
  return {
    element,
    legend,
    show(next) {
      data = next;
      draw();
    },
  };
}
