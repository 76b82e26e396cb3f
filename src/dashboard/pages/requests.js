// External requests: what waits for execution or a retry, what is in doubt or undecided; and one
// request with its story.

import { h, fill } from "../dom.js";
import { get, maybe, at } from "../api.js";
import { ago, plain, state, time, DASH } from "../format.js";
import { act, alarmLink, facts, forced, head, link, list, requestLink, ticketLink } from "../parts.js";
import { timeline } from "./alarms.js";
import { choices } from "./undecided.js";

const STATES = [
  ["", "all that are open"], ["accepted", "wait for their turn"], ["wait", "wait to retry"], ["intent", "being sent"], ["acknowledged", "taken, answered later"],
  ["in_doubt", "in doubt"], ["undecided", "undecided"], ["failed", "failed"], ["rejected", "rejected"], ["done", "done"], ["adopted", "adopted"], ["cancelled", "cancelled"], ["superseded", "superseded"],
];

export function madeFor(request) {
  if (request.made_by === "alarm") return alarmLink(request.made_for.source, request.made_for.id);
  if (request.made_by === "sync") return h("span.muted", "sync ", link(`sync/${encodeURIComponent(request.made_for.name)}`, request.made_for.name));
  return h("span.muted", "a command");
}
export const whyOf = (request) => request.doubt?.reason || request.error?.description || request.error?.reason || request.steps?.at(-1)?.why || request.steps?.at(-1)?.what;

export const requestColumns = (withTicket = true) => [
  { name: "accepted", label: "Accepted", cell: (it) => time(it.accepted_at), sort: (it) => it.accepted_at },
  { name: "id", label: "Request", cell: (it) => requestLink(it.id) },
  { name: "backend", label: "Backend", cell: (it) => it.backend, sort: (it) => it.backend },
  { name: "op", label: "What", cell: (it) => it.op, sort: (it) => it.op },
  { name: "state", label: "State", cell: (it) => state(it.state), sort: (it) => it.state },
  { name: "attempts", label: "Calls", num: true, cell: (it) => it.attempts, sort: (it) => it.attempts },
  withTicket && { name: "ticket", label: "Ticket", cell: (it) => ticketLink(it.ticket) },
  withTicket && { name: "for", label: "For", cell: madeFor },
  { name: "next", label: "Next call", cell: (it) => (["accepted", "wait"].includes(it.state) ? ago(it.ready_at) : h("span.none", DASH)), sort: (it) => it.ready_at },
  { name: "why", label: "Last said", wide: true, cell: (it) => h("span.muted", plain(whyOf(it))) },
].filter(Boolean);

export const requests = {
  name: "requests", title: "External requests", path: "requests", key: "r",
  open(root, ctx) {
    root.append(head("External requests", "Writes to the backends that have not ended: waiting for execution or a retry, in doubt, or undecided. Choose a state to see those that have."));
    list(root, ctx, {
      url: "/api/v1/requests", label: "External requests", columns: requestColumns(), key: (it) => it.id,
      fixed: ctx.query.get("state") ? {} : { open: "true" }, every: 3000,
      filters: { backend: { label: "Backend", names: true }, state: { label: "State", options: STATES } },
      empty: "Nothing waits: every request has ended.",
    });
  },
};

const AFTER_CANCEL = {
  alarm: "Its alarm makes another one only when it changes again.",
  command: "Whoever sent the command hears that it was cancelled.",
  sync: "What was merged here stays. The sync writes it only when the other side changes it again.",
};
const CAN_CANCEL = ["accepted", "wait"];

export const request = {
  name: "request", under: "requests", title: "Request",
  open(root, ctx) {
    const [, id] = ctx.parts;
    const top = h("div");
    const doubt = h("div");
    const cards = h("div.grid2");
    const story = h("section");
    root.append(top, doubt, cards, story);
    let signature = "";
    const kept = ctx.keep(async (signal) => {
      const it = await get(at("requests", id), {}, { signal });
      const now = JSON.stringify(it);
      if (now === signature) return;
      const ticket = it.state === "undecided" ? await maybe(at("tickets", it.ticket), {}, { signal }) : null;
      signature = now;
      const again = () => kept.now();
      fill(top, head([`${it.op} at ${it.backend} `, state(it.state)], null, [
        act("Cancel…", "operator", () => forced({
          title: "Cancel this request", verb: "Cancel the request", path: ["requests", id, "cancel"], after: again,
          text: [`The ${it.op} is not sent. No call of it is under way, and none was done.`, AFTER_CANCEL[it.made_by]],
          done: "The request is cancelled.",
        }), { small: false, backend: it.backend, why: CAN_CANCEL.includes(it.state) ? null : "only what waits can be cancelled" }),
        act("Try again…", "operator", () => forced({
          title: "Try this request again", verb: "Try again", danger: false, path: ["requests", id, "retry"], after: again,
          text: `The backend refused or failed this ${it.op}, so nothing was done there. It is sent once more, as a fresh request with the same fields.`,
          done: (answer) => `A fresh request was accepted${answer?.id ? `: …${answer.id.slice(-8)}` : ""}.`,
        }), { small: false, backend: it.backend, why: it.state === "failed" && !it.retried_by ? null : "only a failed one can be tried again" }),
      ], [link("requests", "External requests"), " /"]));
      fill(doubt, it.state === "undecided" && h("div.card.doubt", h("h2", "A person must say what became of it"), choices(it, ticket, again)));
      fill(cards,
        h("section.card", h("h2", "Request"), facts([
          ["For", madeFor(it)], ["Ticket", ticketLink(it.ticket)], ["Accepted", time(it.accepted_at)], ["Ended", time(it.ended_at)], ["Calls", it.attempts],
          it.refusals ? ["Refused so far", it.refusals] : null, it.service && ["Service", it.service], ["Next call not before", time(it.ready_at)],
          it.retry_of && ["Tries again", requestLink(it.retry_of)], it.retried_by && ["Tried again by", requestLink(it.retried_by)],
          ["Id", h("code", it.id)],
          it.error && ["Error", [it.error.reason, it.error.http_status && h("span.muted", ` (HTTP ${it.error.http_status})`)]], it.error?.code && ["Their code", it.error.code], it.error?.description && ["Their words", it.error.description],
          it.doubt && ["In doubt since", time(it.doubt.since)], it.doubt && ["Why", it.doubt.reason], it.doubt && ["Looks that found nothing", it.doubt.absent_looks],
        ])),
        h("section.card", h("h2", "What is sent"), facts(Object.entries(it.fields || {}).map(([name, value]) => [name, plain(value)]))));
      fill(story, h("h2", "What happened"), timeline(it.steps.map((step) => ({ ...step, of: it.op }))));
    }, 3000);
  },
};
