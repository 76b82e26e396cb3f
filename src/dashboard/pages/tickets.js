// Tickets as we know them; one with its fields, its requests and its alarm.

import { h, fill } from "../dom.js";
import { get, at } from "../api.js";
import { plain, state, time, DASH } from "../format.js";
import { act, alarmLink, facts, head, link, list, outside, section, ticketLink } from "../parts.js";
import { table } from "../table.js";
import { requestColumns } from "./requests.js";
import { hold, release } from "./held.js";
import { timeline } from "./alarms.js";

const STATUSES = ["acknowledged", "inProgress", "pending", "held", "resolved", "closed", "cancelled", "rejected"];

const columns = [
  { name: "changed", label: "Changed", cell: (it) => time(it.changed_at), sort: (it) => it.changed_at },
  { name: "backend", label: "Backend", cell: (it) => it.backend, sort: (it) => it.backend },
  { name: "id", label: "Ticket", cell: (it) => ticketLink(it.key, it.backend_id || "no number yet"), sort: (it) => it.backend_id },
  { name: "kind", label: "Kind", cell: (it) => it.kind },
  { name: "status", label: "Status", cell: (it) => state(it.status), sort: (it) => it.status },
  { name: "summary", label: "Summary", wide: true, cell: (it) => plain(it.fields?.summary) },
  { name: "alarm", label: "Alarm", cell: (it) => alarmLink(it.fields?.alarm_source, it.fields?.alarm_id) || h("span.none", DASH) },
  { name: "made", label: "", cell: (it) => (it.adopted ? h("span.muted", "found") : "") },
];

export const tickets = {
  name: "tickets", title: "Tickets", path: "tickets", key: "t",
  open(root, ctx) {
    root.append(head("Tickets", "What we made or found at the backends, as it is now. A ticket of which we know nothing is not here: link it to its alarm, or import it.", h("a.button", { href: "/new-ticket" }, "Create ticket…")));
    list(root, ctx, {
      url: "/api/v1/tickets", label: "Tickets", columns, key: (it) => it.key,
      filters: { backend: { label: "Backend", names: true }, status: { label: "Status", options: [["", "all"], ...STATUSES] } },
      empty: "No ticket matches. Tickets appear here when an alarm, or a command, has made one.",
    });
  },
};

export const ticket = {
  name: "ticket", under: "tickets", title: "Ticket",
  open(root, ctx) {
    const [, key] = ctx.parts;
    const top = h("div");
    const cards = h("div.grid2");
    const grid = table({ label: "Requests of this ticket", columns: requestColumns(false), key: (it) => it.id, empty: "No request of this ticket is kept any more." });
    const story = h("section");
    root.append(top, cards, section("Requests", grid.element), story);
    const kept = ctx.keep(async (signal) => {
      const it = await get(at("tickets", key), {}, { signal });
      const requests = await get("/api/v1/requests", { ticket: key, limit: 100 }, { signal });
      const again = () => kept.now();
      document.title = `${it.backend_id || "Ticket"} · Ticketgate`;
      const held = it.held && typeof it.held === "object" ? it.held : null;
      fill(top, head([it.backend_id || "A ticket without a number yet", " ", state(it.status)], held && `Held by ${held.by}: ${held.reason}`, [
        outside(it.url, "Open there"),
        held ? act("Release…", "operator", () => release(it, again), { small: false, backend: it.backend }) : act("Hold…", "operator", () => hold(it, again), { small: false, backend: it.backend }),
      ], [link("tickets", "Tickets"), " / ", it.backend]));
      const fields = Object.entries(it.fields || {});
      // A link each time: an element stands in one place alone.
      const alarm = () => alarmLink(it.fields?.alarm_source, it.fields?.alarm_id);
      fill(cards,
        h("section.card", h("h2", "Ticket"), facts([
          ["Backend", it.backend], ["Kind", it.kind], ["Status", [state(it.status), it.backend_status && h("span.muted", ` theirs: ${it.backend_status}`)]],
          ["Alarm", alarm() || "none is named"], ["Made or found", it.adopted ? "found at the backend" : "made by us"], ["Accepted", time(it.accepted_at)], ["Changed", time(it.changed_at)],
          ["Events", it.sequence], ["Our key", h("code", it.key)], ["Search text", h("code", it.correlation_key)], ["Home node", plain(it.home_node)],
        ])),
        h("section.card", h("h2", "Fields, as last sent or seen"), fields.length ? facts(fields.map(([name, value]) => [name, plain(value)])) : h("p.muted", "None.")));
      grid.show(requests.items);
      const steps = requests.items.flatMap((request) => request.steps.map((step) => ({ ...step, of: `${request.op} ${request.id}` })));
      steps.sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
      fill(story, h("h2", "What happened"), steps.length ? timeline(steps) : h("p.muted", "Nothing yet."), alarm() && h("p.muted", "The whole story, with the alarm's own steps and the events, is on the alarm's page: ", alarm(), "."));
    }, 4000);
  },
};
