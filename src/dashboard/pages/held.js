// Tickets that a person holds back in their lanes; shown where the service tells of them.

import { h } from "../dom.js";
import { maybe, at } from "../api.js";
import { time } from "../format.js";
import { ticketLink, act, forced } from "../parts.js";
import { table } from "../table.js";

export const hold = (ticket, after) => forced({
  title: `Hold ${ticket.backend_id || "this ticket"}`, verb: "Hold", path: ["lanes", ticket.backend, "hold"], body: { ticket: ticket.key }, after,
  text: [`Nothing more is sent about this ticket; what comes for it waits. All other tickets of ${ticket.backend} go on.`, "It stays held, over restarts too, until a person releases it."],
  done: "The ticket is held.",
});

export const release = (ticket, after) => forced({
  title: `Release ${ticket.backend_id || "this ticket"}`, verb: "Release", danger: false, path: ["lanes", ticket.backend, "release"], body: { ticket: ticket.key }, after,
  text: "What waited for this ticket is sent, in its order.",
  done: "The ticket is released.",
});

export function heldTickets(root, ctx) {
  const holder = h("section", { hidden: true }, h("h2", "Tickets held by a person"));
  root.append(holder);
  const grid = table({ label: "Tickets held by a person", key: (it) => it.ticket, empty: "No ticket is held.", columns: [
    { name: "backend", label: "Backend", cell: (it) => it.backend },
    { name: "ticket", label: "Ticket", cell: (it) => ticketLink(it.ticket) },
    { name: "since", label: "Since", cell: (it) => time(it.since) },
    { name: "by", label: "By", cell: (it) => it.by },
    { name: "why", label: "Reason", wide: true, cell: (it) => it.reason },
    { name: "acts", label: "", cell: (it) => h("div.acts", act("Release…", "operator", () => release({ key: it.ticket, backend: it.backend }, () => kept.now()), { backend: it.backend })) },
  ] });
  holder.append(grid.element);
  const kept = ctx.keep(async (signal) => {
    const lanes = await maybe("/api/v1/lanes", {}, { signal });
    const some = (lanes?.items || []).filter((lane) => lane.held_tickets);
    const lists = await Promise.all(some.map(async (lane) => {
      const told = await maybe(at("lanes", lane.id, "held"), {}, { signal });
      return (told?.items || []).map((it) => ({ ...it, backend: lane.id }));
    }));
    const rows = lists.flat();
    holder.hidden = !rows.length;
    grid.show(rows);
  }, 5000);
}
