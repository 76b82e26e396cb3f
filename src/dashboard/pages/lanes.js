// The lanes: one a backend, one call at a time. What waits in each, why one stands, and what may be
// done about it.

import { h } from "../dom.js";
import { get } from "../api.js";
import { number, ago, badge, span } from "../format.js";
import { head, link, act, forced } from "../parts.js";
import { table } from "../table.js";
import { heldTickets } from "./held.js";

// A word for the lane's state, with its tone.
export function laneState(lane) {
  if (lane.pause) return ["paused", "bad"];
  if (lane.gait === "hung") return ["hangs", "bad"];
  if (lane.breaker_open) return ["breaker open", "bad"];
  if (lane.held) return ["holds back", "warn"];
  if (lane.in_flight || lane.gait === "working") return ["working", "busy"];
  return ["ready", "ok"];
}

// How long ago a test alarm came through to this backend, and its event was confirmed.
function canaryCell(it) {
  if (!it) return h("span.none", "–");
  const title = it.dead ? `no further than ${it.stage}${it.said ? `: ${it.said}` : ""}` : `${it.rounds} came through since the start, ${it.given_up} were given up`;
  return h("span", { title }, it.dead ? badge("dead", "bad") : span(it.age_ms));
}

const filtered = (lane, state, n) => (n ? link(`requests?backend=${encodeURIComponent(lane.id)}${state}`, number(n)) : h("span.none", "0"));

export const laneColumns = () => [
  { name: "id", label: "Backend", cell: (lane) => h("strong", lane.id), sort: (lane) => lane.id },
  { name: "state", label: "State", cell: (lane) => badge(...laneState(lane)) },
  { name: "due", label: "Alarms due", num: true, cell: (lane) => number(lane.due_alarms), sort: (lane) => lane.due_alarms },
  { name: "pending", label: "Pending", num: true, cell: (lane) => filtered(lane, "", lane.pending), sort: (lane) => lane.pending },
  { name: "flight", label: "In flight", num: true, cell: (lane) => number(lane.intent), sort: (lane) => lane.intent },
  { name: "doubt", label: "In doubt", num: true, cell: (lane) => filtered(lane, "&state=in_doubt", lane.in_doubt), sort: (lane) => lane.in_doubt },
  { name: "undecided", label: "Undecided", num: true, cell: (lane) => (lane.undecided ? link(`undecided?backend=${encodeURIComponent(lane.id)}`, h("span.badge.ask", lane.undecided)) : h("span.none", "0")), sort: (lane) => lane.undecided },
  { name: "calls", label: "Calls", num: true, cell: (lane) => number(lane.calls), sort: (lane) => lane.calls },
  { name: "canary", label: "Canary", num: true, cell: (lane) => canaryCell(lane.canary), sort: (lane) => lane.canary?.age_ms },
  { name: "success", label: "Last success", cell: (lane) => ago(lane.last_success), sort: (lane) => lane.last_success },
  { name: "why", label: "Why it stands, or its last error", wide: true, cell: (lane) => (lane.pause ? `${lane.pause.reason} (by ${lane.pause.by})` : lane.held || (lane.last_error ? [ago(lane.last_error_at), h("span.muted", ` ${lane.last_error}`)] : h("span.none", "–"))) },
];

function acts(lane, again) {
  const role = "operator";
  const backend = lane.id;
  return h("div.acts",
    (lane.held || lane.pause) && act("Resume…", role, () => forced({
      title: `Resume the lane to ${backend}`, verb: "Resume", danger: false, path: ["lanes", backend, "resume"], after: again,
      text: `Calls to ${backend} go on at once, with what has waited longest. If the reason for the stop is still there, the lane stops again after one call.`,
      done: `The lane to ${backend} goes on.`,
    }), { backend }),
    !lane.pause && act("Pause…", role, () => forced({
      title: `Pause the lane to ${backend}`, verb: "Pause", path: ["lanes", backend, "pause"], after: again,
      text: [`No call to ${backend} is begun from now on; one that is under way ends as it began. Alarms and commands are still taken, and wait.`, "It stays paused, over restarts too, until a person resumes it."],
      done: `The lane to ${backend} is paused.`,
    }), { backend, danger: false }));
}

export const lanes = {
  name: "lanes", title: "Lanes", path: "lanes", key: "l",
  open(root, ctx) {
    const columns = [...laneColumns(), { name: "acts", label: "", cell: (lane) => acts(lane, () => kept.now()) }];
    const grid = table({ label: "Lanes", columns, key: (lane) => lane.id, empty: "No backend is configured. Add a [[backend]] to the config: “ticketgate presets” shows ready ones." });
    root.append(head("Lanes", "One lane a backend, and one call in it at a time. A lane that holds back looks again by itself; a paused one waits for a person."), grid.element);
    const kept = ctx.keep(async (signal) => {
      const wanted = ctx.query.get("backend");
      const told = await get("/api/v1/lanes", {}, { signal });
      grid.show(wanted ? told.items.filter((lane) => lane.id === wanted) : told.items);
    }, 3000);
    heldTickets(root, ctx);
  },
};
