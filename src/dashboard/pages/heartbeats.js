// Who beats, and who has gone silent; the canary, where one flies.

import { h } from "../dom.js";
import { get } from "../api.js";
import { ago, number, plain, span, state } from "../format.js";
import { head } from "../parts.js";
import { table } from "../table.js";

const MEANS = { ok: "heard in time", slow: "the gap since its last beat is over the limit", expired: "silent over its time-out", unknown: "not heard since our start" };

function detail(beat) {
  if (!beat.detail) return h("span.none", beat.expected ? "expected by the config" : "–");
  const problems = Array.isArray(beat.detail.problems) ? beat.detail.problems : [];
  const held = Object.entries(beat.detail.lanes || {}).filter(([, lane]) => lane.held).map(([name, lane]) => `${name}: ${lane.held}`);
  const words = [...problems.map((it) => (typeof it === "string" ? it : JSON.stringify(it))), ...held];
  return [words.length ? words.join("; ") : h("span.muted", "no problem told"),
    h("details", h("summary", "all that it says"), h("pre", JSON.stringify(beat.detail, null, 2)))];
}

export const heartbeats = {
  name: "heartbeats", title: "Heartbeats", path: "heartbeats", key: "h",
  open(root, ctx) {
    const grid = table({ label: "Heartbeats", key: (it) => it.origin, empty: "Nobody beats. Heartbeats are off in this config, or no beat has come since the start.", columns: [
      { name: "origin", label: "Origin", cell: (it) => [h("strong", it.origin), it.expected && h("span.muted", " expected")] },
      { name: "verdict", label: "Verdict", cell: (it) => h("span", { title: MEANS[it.verdict] }, state(it.verdict)) }, { name: "status", label: "Its own word", cell: (it) => (it.status ? state(it.status) : h("span.none", "–")) },
      { name: "silent", label: "Silent for", num: true, cell: (it) => span(it.silent_ms) }, { name: "heard", label: "Last heard", cell: (it) => ago(it.last_heard_at) },
      { name: "interval", label: "Interval", num: true, cell: (it) => span(it.interval_ms) }, { name: "beats", label: "Beats", num: true, cell: (it) => number(it.beats) },
      { name: "sequence", label: "Sequence", num: true, cell: (it) => plain(it.sequence) }, { name: "outages", label: "Outages", num: true, cell: (it) => number(it.outages) }, { name: "detail", label: "What it says", wide: true, cell: detail },
    ] });
    root.append(head("Heartbeats", "This service's own beats, and those of whoever else beats on the exchange. Lateness is judged by our clock, not the sender's."), grid.element);
    ctx.keep(async (signal) => grid.show((await get("/api/v1/heartbeats", {}, { signal })).items), 2000, false);
  },
};
