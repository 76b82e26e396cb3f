// Tickets as we know them; one with its fields, its requests and its alarm.

import { h, fill } from "../dom.js";
import { get, at } from "../api.js";
import { badge, number, plain, state, time, DASH } from "../format.js";
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
    const twins = table({ label: "Kept in step", key: (it) => it.sync, empty: "", columns: [
      { name: "sync", label: "Sync", cell: (it) => link(`sync/${encodeURIComponent(it.sync)}`, it.sync) },
      { name: "stands", label: "Stands", cell: (it) => (it.gone ? badge("gone there", "warn") : it.verified_at ? badge("in step", "ok") : badge(it.said_at ? "differs, or not looked at since" : "never told of there", "busy")) },
      { name: "verified", label: "Verified at", cell: (it) => time(it.verified_at) }, { name: "said", label: "Changed there", cell: (it) => time(it.said_at) },
      { name: "waits", label: "Waits for its connector", cell: (it) => (it.waits ? state(it.waits) : h("span.none", DASH)) },
      { name: "theirs", label: "What they said last", wide: true, cell: (it) => (Object.keys(it.theirs || {}).length ? h("details", h("summary", `${Object.keys(it.theirs).length} fields`), facts(Object.entries(it.theirs).map(([name, value]) => [name, plain(value)]))) : h("span.none", DASH)) },
    ] });
    const versions = table({ label: "History", key: (it) => `${it.version} ${it.field}`, empty: "No field of it has changed since it was made.", columns: [
      { name: "version", label: "Version", num: true, cell: (it) => number(it.version), sort: (it) => it.version }, { name: "at", label: "At", cell: (it) => time(it.at), sort: (it) => it.at },
      { name: "user", label: "By", cell: (it) => it.user, sort: (it) => it.user }, { name: "field", label: "Field", cell: (it) => it.field, sort: (it) => it.field },
      { name: "change", label: "Change", cell: (it) => badge(it.change, { added: "ok", changed: "busy", deleted: "warn" }[it.change]) },
      { name: "value", label: "Value", wide: true, cell: (it) => plain(it.value) },
    ] });
    const inStep = h("section", { hidden: true }, h("h2", "Kept in step"), twins.element);
    const past = h("section", { hidden: true }, h("h2", "History: versions of its fields"), versions.element);
    root.append(top, cards, inStep, section("Requests", grid.element), past, story);
    const kept = ctx.keep(async (signal) => {
      const it = await get(at("tickets", key), {}, { signal });
      const requests = await get("/api/v1/requests", { ticket: key, limit: 100 }, { signal });
      const changes = await get(at("tickets", key, "changes"), {}, { signal });
      twins.show(changes.sync);
      versions.show([...changes.items].reverse());
      inStep.hidden = !changes.sync.length;
      past.hidden = !changes.items.length;
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
