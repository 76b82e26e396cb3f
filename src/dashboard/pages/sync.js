// The two-way sync: where each one stands, what the last run did, and what a person may do.

import { h, fill } from "../dom.js";
import { get, maybe, post, at } from "../api.js";
import { ago, number, plain, state, time, word } from "../format.js";
import { act, emptyBox, facts, forced, head, link } from "../parts.js";
import { table } from "../table.js";
import { dialog, field, toast } from "../dialog.js";

const COUNTERS = ["read", "written", "unchanged", "skipped", "failed", "contacts", "conflicts"];
const nameOf = (it) => it.id || it.name || it.backend || it.source;
const counters = (it) => it.counters || it.last_run?.counters || {};
const skipsOf = (it) => (it.skips || it.skip || it.skipped || []).map((one) => (typeof one === "object" ? one : { id: String(one) }));

export const sync = {
  name: "sync", title: "Sync", path: "sync", key: "y",
  open(root, ctx) {
    const holder = h("div");
    root.append(head("Sync", "What keeps two systems in step: one active function for each source and organizer."), holder);
    const grid = table({ label: "Sync", key: nameOf, empty: "No sync is configured.", columns: [
      { name: "name", label: "Sync", cell: (it) => link(`sync/${encodeURIComponent(nameOf(it))}`, nameOf(it)) }, { name: "state", label: "State", cell: (it) => state(it.state || it.status) },
      { name: "last", label: "Last run", cell: (it) => ago(it.last_run?.ended_at || it.last_run?.started_at || it.last_run_at) },
      ...COUNTERS.map((name) => ({ name, label: word(name), num: true, cell: (it) => number(counters(it)[name]) })),
      { name: "cursor", label: "Cursor", cell: (it) => h("code", plain(it.cursor)) },
    ] });
    ctx.keep(async (signal) => {
      const told = await maybe("/api/v1/sync", {}, { signal });
      if (!told) fill(holder, emptyBox("This service has no sync", "None is configured, or this version has none."));
      else {
        if (!grid.element.isConnected) fill(holder, grid.element);
        grid.show(told.items || []);
      }
    }, 4000);
  },
};

export const syncOne = {
  name: "sync-one", under: "sync", title: "Sync",
  open(root, ctx) {
    const name = ctx.parts[1];
    const top = h("div");
    const body = h("div");
    const outcome = h("section", { "aria-live": "polite" });
    root.append(top, body, outcome);

    async function dryRun() {
      fill(outcome, h("p.muted", "Reading one batch, and writing nothing…"));
      try {
        const told = await post(at("sync", name, "dry-run"));
        fill(outcome, h("h2", "What a run would do now"), h("pre.card", JSON.stringify(told, null, 2)));
      } catch (error) {
        fill(outcome);
        toast(error.message, "bad");
      }
    }
    const skip = async () => {
      const id = h("input", { type: "text", required: true, autocomplete: "off" });
      const done = await dialog({ title: "Skip a ticket", verb: "Skip", inputs: { id }, body: [h("p", "The sync passes this ticket over, counts it as skipped, and lists it here, until it is taken off."), field("Ticket ID", id)], act: (values) => post(at("sync", name, "skip"), { ids: [values.id], reason: values.reason }), done: "It is skipped from the next run on." });
      if (done) kept.now();
    };
    const kept = ctx.keep(async (signal) => {
      const told = await get("/api/v1/sync", {}, { signal });
      const it = (told.items || []).find((one) => nameOf(one) === name);
      if (!it) {
        fill(body, emptyBox("There is no such sync", `None is called ${name}.`));
        return;
      }
      const again = () => kept.now();
      fill(top, head([`${name} `, state(it.state || it.status)], null, [
        act("Run now…", "operator", () => forced({ title: `Run ${name} now`, verb: "Run", danger: false, path: ["sync", name, "run"], after: again, text: "It reads from its cursor on, as the schedule would. Beside a run that is active this is refused.", done: "The run is started." }), { small: false }),
        act("Dry run", "operator", dryRun, { small: false }), act("Skip a ticket…", "operator", skip, { small: false }),
      ], [link("sync", "Sync"), " /"]));
      const skips = skipsOf(it);
      fill(body, h("div.grid2",
        h("section.card", h("h2", "Where it stands"), facts([["Cursor", h("code", plain(it.cursor))], ["Last run", time(it.last_run?.ended_at || it.last_run?.started_at || it.last_run_at)], ["Next run", time(it.next_run_at)], it.last_error && ["Last error", plain(it.last_error)]])),
        h("section.card", h("h2", "Counters"), facts(Object.entries(counters(it)).map(([key, value]) => [word(key), number(value)])))),
      h("section", h("h2", "Skip list"), skips.length ? h("ul.found", skips.map((one) => h("li", h("code", one.id), " ", one.reason && h("span.muted", one.reason), " ",
        act("Take off…", "operator", () => forced({ title: `Take ${one.id} off the skip list`, verb: "Take off", danger: false, path: ["sync", name, "unskip"], body: { ids: [one.id] }, after: again, text: "The ticket is read again with the next run.", done: "It is read again." }))))) : h("p.muted", "No ticket is skipped.")),
      h("section", h("h2", "Conflicts"), Array.isArray(it.conflicts) && it.conflicts.length ? h("pre.card", JSON.stringify(it.conflicts, null, 2)) : h("p.muted", "None that is told here. A conflict is also an event, with both values.")));
    }, 4000);
  },
};
