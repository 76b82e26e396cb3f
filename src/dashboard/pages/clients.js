// Ticket clients: who holds which lock, what each is busy with, and what its last flow found.

import { h, fill } from "../dom.js";
import { get, at, limitedTo } from "../api.js";
import { age, number, plain, short, code, span, state, time, badge, DASH } from "../format.js";
import { act, facts, forced, head, link, outside, section } from "../parts.js";
import { table } from "../table.js";

const unlock = (n, after) => forced({
  title: `Force the unlock of client ${n}`, verb: "Force unlock", path: ["clients", String(n), "unlock"], after,
  text: ["Whoever holds this client loses it at once, and what that holder still sends under the old lock is refused. Requests that were accepted go on.", "Do this if a script has died with its lock. A lock also ends by itself at its time-out."],
  done: (answer) => (answer.was_locked ? `Client ${n} is free.` : `Client ${n} was free already.`),
});

const notBusy = (n, after) => forced({
  title: `Set client ${n} to not busy`, verb: "Set not busy", path: ["clients", String(n), "not-busy"], after,
  text: ["The read that it waits for is given up, and its flow runs again. The client keeps its lock; no lane is touched.", "Do this if it has been busy far longer than the backend's time-out."],
  done: (answer) => (answer.was_busy ? `Client ${n} is not busy any more.` : `Client ${n} was not busy.`),
});

const acts = (it, after) => [
  act("Force unlock…", "operator", () => unlock(it.client, after), { whole: true, why: it.lock_status === "locked" ? null : "it is free" }),
  act("Not busy…", "operator", () => notBusy(it.client, after), { whole: true, why: it.busy ? null : "it is not busy" }),
];

export const clients = {
  name: "clients", title: "Ticket clients", path: "clients", key: "c",
  open(root, ctx) {
    const summary = h("p.muted", { role: "status" });
    const grid = table({ label: "Ticket clients", key: (it) => it.client, empty: "There is no ticket client.", rowClass: (it) => (it.lock_status === "free" ? "dim" : ""), columns: [
      { name: "n", label: "Client", num: true, cell: (it) => link(`clients/${it.client}`, it.client), sort: (it) => it.client },
      { name: "lock", label: "Lock status", cell: (it) => state(it.lock_status), sort: (it) => it.lock_status },
      { name: "holder", label: "Holder", cell: (it) => plain(it.holder) },
      { name: "guid", label: "GUID", cell: (it) => (it.guid ? short(it.guid) : h("span.none", DASH)) },
      { name: "time", label: "Lock time", cell: (it) => time(it.lock_time), sort: (it) => it.lock_time },
      { name: "for", label: "Held for", num: true, cell: (it) => (it.lock_time ? span(age(it.lock_time)) : h("span.none", DASH)) },
      { name: "busy", label: "Busy", cell: (it) => (it.busy ? badge("busy", "busy") : h("span.none", "no")), sort: (it) => it.busy },
      { name: "processing", label: "Processing", wide: true, cell: (it) => plain(it.processing) },
      { name: "flows", label: "Flows", num: true, cell: (it) => number(it.flows), sort: (it) => it.flows },
      { name: "acts", label: "", cell: (it) => h("div.acts", acts(it, () => kept.now())) },
    ] });
    root.append(head("Ticket clients", "As many flows run at once as there are clients; the next one waits. A client is locked for one flow, or for a script that asked for it."), summary, grid.element);
    const kept = ctx.keep(async (signal) => {
      const { items } = await get("/api/v1/clients", {}, { signal });
      fill(summary, `${items.filter((it) => it.lock_status === "locked").length} of ${items.length} locked, ${items.filter((it) => it.busy).length} busy`);
      grid.show(items);
    }, 2000);
  },
};

export const client = {
  name: "client", under: "clients", title: "Ticket client",
  open(root, ctx) {
    const n = ctx.parts[1];
    document.title = `Client ${n} · Ticketgate`;
    const top = h("div");
    const about = h("section.card");
    const path = h("section");
    const results = table({ label: "Search results", key: (it) => `${it.backend_id}`, empty: "The last read found no ticket, or none was made. The next flow on this client replaces what is here.", columns: [
      { name: "id", label: "Ticket", cell: (it) => outside(it.url, it.backend_id) || it.backend_id }, { name: "status", label: "Status", cell: (it) => state(it.status) },
      { name: "theirs", label: "Their status", cell: (it) => plain(it.backend_status) }, { name: "key", label: "Search text", cell: (it) => code(it.correlation_key) },
      { name: "summary", label: "Summary", wide: true, cell: (it) => plain(it.fields?.summary) },
    ] });
    const responses = table({ label: "Response table", key: (it) => `${it.at} ${it.what} ${it.said}`, empty: "No search or query has gone out from this client yet. Writes go through the lanes: see the communication log.", columns: [
      { name: "at", label: "At", cell: (it) => time(it.at) }, { name: "backend", label: "Backend", cell: (it) => it.backend }, { name: "what", label: "Command", wide: true, cell: (it) => it.what },
      { name: "took", label: "Took", num: true, cell: (it) => `${number(it.took_ms)} ms` }, { name: "said", label: "Answer", wide: true, cell: (it) => it.said },
    ] });
    root.append(top, h("div.grid2", about, path), section("Search results", results.element), h("section", h("h2", "Communication: response table"), responses.element));
    // Read when the page is opened and when asked for, as it was on the old page: not live.
    const readPath = async (signal) => {
      if (limitedTo()) {
        fill(path, h("h2", "Network path of the last flow"), h("p.muted", "It may be of an alarm of any backend: shown to those who see all of them."));
        return;
      }
      const told = await get(at("clients", n, "path"), {}, { signal });
      const it = told.path;
      fill(path, h("div.bar", h("h2", "Network path of the last flow"), h("button.small.end", { type: "button", onclick: () => readPath() }, "Read again")),
        !it ? h("p.muted", "No flow has looked up a path on this client since the start.") : [
          facts([["Object", it.object], ["Flow", code(it.guid)], ["Read", time(it.at)]]),
          it.found ? h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Hops" }, h("table", h("thead", h("tr", ["Hop", "Node", "Port", "Owner", "Path"].map((name) => h("th", { scope: "col" }, name)))),
            h("tbody", it.hops.map((hop) => h("tr", [hop.hop, hop.node, hop.port, hop.owner, hop.path].map((value) => h("td", plain(value)))))))) : h("p.muted", "This object is not in the topology: that is an answer, and no error."),
        ]);
    };
    ctx.keep(readPath, 0, false);
    const kept = ctx.keep(async (signal) => {
      const [it, found, said] = await Promise.all([get(at("clients", n), {}, { signal }), get(at("clients", n, "results"), {}, { signal }), get(at("clients", n, "responses"), {}, { signal })]);
      fill(top, head([`Ticket client ${n} `, state(it.lock_status)], null, acts(it, () => kept.now()), [link("clients", "Ticket clients"), " /"]));
      fill(about, h("h2", "Lock"), facts([
        ["Lock status", state(it.lock_status)], ["LockGuidId", code(it.guid)], ["Lock time", it.lock_time ? [time(it.lock_time), ` (${span(age(it.lock_time))})`] : DASH], ["Ends at", time(it.expires_at)],
        ["Holder", plain(it.holder)], ["Fence", plain(it.fence)], ["Busy", it.busy ? badge("busy", "busy") : "no"], ["Client processing data", plain(it.processing)], ["Flows since the start", number(it.flows)],
      ]));
      results.show(found.items);
      responses.show(said.items);
    }, 2500);
  },
};
