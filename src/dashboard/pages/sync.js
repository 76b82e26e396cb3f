// The two-way sync: where each one stands, what the last run did, and what a person may do.

import { h, fill } from "../dom.js";
import { get, maybe, post, send, at } from "../api.js";
import { ago, badge, number, plain, time, word, DASH } from "../format.js";
import { act, emptyBox, facts, forced, head, link, ticketLink } from "../parts.js";
import { table } from "../table.js";
import { dialog, field, toast } from "../dialog.js";

// As the service counts them, in the order in which a person asks for them.
const COUNTERS = ["read", "created", "merged", "unchanged", "written", "deleted", "skipped", "failed", "contacts", "conflicts"];
const LISTED = ["read", "written", "unchanged", "skipped", "failed", "contacts", "conflicts"];
const BY = { cursor: "a feed, by its own cursor", time: "a feed, by the time of change", scan: "a scan of everything, compared here" };
const HELD = { skipped: ["skipped", "none"], under_way: ["waits for a request", "busy"], unreadable: ["cannot be taken", "bad"] };
// What is held, and was told, on one page.
const HELD_SHOWN = 100;

// Where it stands, in a word.
function standing(it) {
  const run = it.last_run || {};
  if (it.masked) return badge("masked", "none");
  if (run.error) return badge("stopped early", "bad");
  if (run.begun_at && !run.ended_at) return badge("under way, or torn", "busy");
  if (!run.begun_at) return badge(it.from === "connector" ? "nothing heard yet" : "has not run yet", "none");
  if (run.counters?.failed) return badge("some cannot be taken", "warn");
  return badge("in step", "ok");
}
const lastRun = (it) => it.last_run?.ended_at || it.last_run?.begun_at;
const place = (it) => (it.cursor ? h("code", it.cursor) : it.watermark ? time(it.watermark) : h("span.none", "at the beginning"));
const isFeed = (it) => it.from === "feed";

export const sync = {
  name: "sync", title: "Sync", path: "sync", key: "y",
  open(root, ctx) {
    const holder = h("div");
    root.append(head("Sync", "What keeps tickets in step with another side: one for each source and organizer."), holder);
    const grid = table({ label: "Sync", key: (it) => it.name, empty: "No sync is configured.", columns: [
      { name: "name", label: "Sync", cell: (it) => link(`sync/${encodeURIComponent(it.name)}`, it.name), sort: (it) => it.name },
      { name: "state", label: "State", cell: standing },
      { name: "between", label: "From, into", cell: (it) => (it.target === it.backend ? it.backend : `${it.backend} → ${it.target}`) },
      { name: "organizer", label: "Organizer", cell: (it) => plain(it.organizer) },
      { name: "last", label: "Last run", cell: (it) => ago(lastRun(it)) },
      ...LISTED.map((name) => ({ name, label: word(name), num: true, cell: (it) => number(it.counters[name]), sort: (it) => it.counters[name] })),
      { name: "waiting", label: "Waiting", num: true, cell: (it) => (isFeed(it) ? h("span.none", DASH) : number(it.waiting)) },
      { name: "cursor", label: "Goes on from", wide: true, cell: (it) => (isFeed(it) ? place(it) : h("span.none", DASH)) },
    ] });
    ctx.keep(async (signal) => {
      const { items } = await get("/api/v1/sync", {}, { signal });
      if (!items.length) fill(holder, emptyBox("There is no sync", "A [[sync]] in the config keeps tickets in step with a ticketing system that tells what changed, or with a connector that sends messages."));
      else {
        if (!grid.element.isConnected) fill(holder, grid.element);
        grid.show(items);
      }
    }, 4000);
  },
};

// What a run would do: each ticket, with the fields that would change here and there.
function dryTable() {
  const fields = (map) => {
    const pairs = Object.entries(map || {});
    return pairs.length ? pairs.map(([name, value]) => h("div", h("span.muted", `${name}: `), plain(value))) : h("span.none", DASH);
  };
  return table({ label: "What a run would do", key: (it) => it.id, empty: "Nothing: the source has nothing new from there.", columns: [
    { name: "id", label: "Ticket there", cell: (it) => h("code", it.id) },
    { name: "what", label: "What", cell: (it) => badge(word(it.what), { created: "ok", merged: "busy", deleted: "warn", held: "warn" }[it.what] || "none"), sort: (it) => it.what },
    { name: "here", label: "Changes here", wide: true, cell: (it) => fields(it.here) },
    { name: "written", label: "Would be written", wide: true, cell: (it) => fields(it.written) },
  ] });
}

const skip = (name, after) => {
  const ids = h("input", { type: "text", required: true, autocomplete: "off" });
  return dialog({
    title: "Skip tickets", verb: "Skip", inputs: { ids }, done: "They are left alone from now on.",
    body: [h("p", "The sync passes these tickets over, and counts them as skipped, until they are taken off. What is told of them meanwhile is kept, and taken in then."), field("Ticket IDs", ids, "As the source has them; several with commas between.")],
    act: async (values) => {
      const answer = await post(at("sync", name, "skip"), { ids: values.ids.split(",").map((it) => it.trim()).filter(Boolean), reason: values.reason });
      after();
      return answer;
    },
  });
};

const replay = (name, after) => {
  const file = h("input", { type: "file", accept: ".json,application/json", required: true });
  return dialog({
    title: "Replay a file", verb: "Replay", body: [h("p", "The file is taken as if the source had sent it just now: a page of its feed, or a connector's message. The cursor stays where it is."), field("File", file)],
    act: async (values) => {
      const answer = await send(at("sync", name, "replay"), await file.files[0].text(), "application/json", { reason: values.reason });
      after();
      return answer;
    },
    done: (answer) => `Taken: ${COUNTERS.filter((it) => answer.last_run?.counters?.[it]).map((it) => `${it} ${answer.last_run.counters[it]}`).join(", ") || "nothing in it was new"}.`,
  });
};

// A feed by time: from which time on it is read again.
const moveTime = (it, after) => {
  const since = h("input", { type: "text", placeholder: "2026-11-22T08:00:00Z", autocomplete: "off" });
  return dialog({
    title: `Move where ${it.name} goes on`, verb: "Move", danger: true, inputs: { since }, done: "The next run begins there.",
    body: [h("p", "The next run reads what has changed at the source since this time. Empty: everything. What is equal on both sides makes no event."), field("Changed since", since, "RFC 3339.")],
    act: async (values) => {
      const answer = await post(at("sync", it.name, "cursor"), { watermark: values.since || null, reason: values.reason });
      after();
      return answer;
    },
  });
};

export const syncOne = {
  name: "sync-one", under: "sync", title: "Sync",
  open(root, ctx) {
    const name = ctx.parts[1];
    document.title = `${name} · Ticketgate`;
    const top = h("div");
    const outcome = h("section", { "aria-live": "polite", hidden: true });
    const cards = h("section.grid2");
    const skips = h("section");
    const conflicts = table({ label: "Conflicts", key: (it) => `${it.at} ${it.ticket} ${it.field}`, empty: "No field was changed on both sides. Only a sync with three_way can tell.", columns: [
      { name: "at", label: "At", cell: (it) => time(it.at), sort: (it) => it.at },
      { name: "ticket", label: "Ticket", cell: (it) => ticketLink(it.ticket, it.backend_id || undefined) },
      { name: "field", label: "Field", cell: (it) => it.field, sort: (it) => it.field },
      { name: "ours", label: "Ours", wide: true, cell: (it) => plain(it.ours) }, { name: "theirs", label: "Theirs", wide: true, cell: (it) => plain(it.theirs) },
      { name: "kept", label: "Kept", cell: (it) => badge(it.kept, "none") },
    ] });
    const held = table({ label: "Told, and not merged", key: (it) => it.id, empty: "Everything that was told has been taken.", columns: [
      { name: "id", label: "Ticket there", cell: (it) => h("code", it.id) },
      { name: "because", label: "Because", cell: (it) => badge(...(HELD[it.because] || [it.because, "warn"])), sort: (it) => it.because },
      { name: "at", label: "Since", cell: (it) => time(it.at), sort: (it) => it.at },
      { name: "reason", label: "Why", wide: true, cell: (it) => it.reason },
      { name: "fields", label: "What was told", wide: true, cell: (it) => (it.fields ? h("details", h("summary", "fields"), h("pre", JSON.stringify(it.fields, null, 2))) : h("span.none", DASH)) },
    ] });
    const heldNote = h("p.muted");
    const conflictSection = h("section", h("h2", "Conflicts: fields that both sides had changed"), conflicts.element);
    const heldSection = h("section", h("h2", "Told, and not merged"), held.element, heldNote);
    root.append(top, outcome, cards, skips, heldSection, conflictSection);
    const dry = dryTable();

    // One page is read, and nothing is written; `cursor`: from there, and not from where it stands.
    async function dryRun(it, cursor) {
      outcome.hidden = false;
      fill(outcome, h("p.muted", "Reading one page, and writing nothing…"));
      try {
        const { items } = await post(at("sync", name, "dry-run"), cursor === undefined ? {} : { cursor });
        const counts = items.reduce((all, one) => all.set(one.what, (all.get(one.what) || 0) + 1), new Map());
        const words = [...counts].map(([what, n]) => `${n} ${word(what)}`).join(", ");
        dry.show(items);
        fill(outcome, h("div.bar", h("h2", cursor === undefined ? "What a run would do now" : "What a run from there would do"), h("span.muted", words ? `its next page: ${words}; nothing was written` : "nothing was written"),
          h("span.end", cursor !== undefined && act("Move it there…", "admin", () => forced({
            title: `Move the cursor of ${name}`, verb: "Move the cursor", path: ["sync", name, "cursor"], body: { cursor }, after: closeDry,
            text: [h("span", "It goes on from ", cursor ? h("code", cursor) : "the beginning", " with its next run."), "A wrong one leaves changes out that nobody will notice. The beginning is safe: what is equal on both sides makes no event."],
            done: "The next run begins there.",
          })), " ", h("button.small", { type: "button", onclick: () => closeDry() }, "Close"))), dry.element);
      } catch (error) {
        closeDry();
        toast(error.message, "bad");
      }
    }
    function closeDry() {
      outcome.hidden = true;
      fill(outcome);
      kept.now();
    }
    const moveCursor = async (it) => {
      if (it.by === "time") return moveTime(it, () => kept.now());
      const cursor = h("input", { type: "text", autocomplete: "off", value: it.cursor || "" });
      const told = await dialog({
        title: "Look before the cursor is moved", verb: "Dry run from there", reason: false, inputs: { cursor },
        body: [h("p", "The cursor is the source's own word. First look what a run from there would do; nothing is moved by that."), field("Cursor", cursor, "Empty: from the beginning.")], act: async (values) => values,
      });
      return told && dryRun(it, told.cursor);
    };

    let drawn = "";
    const kept = ctx.keep(async (signal) => {
      const it = await maybe(at("sync", name), {}, { signal });
      if (!it) {
        fill(top, head(name, null, null, [link("sync", "Sync"), " /"]));
        fill(cards, emptyBox("There is no such sync", `None is called ${name}, or it is not yours to see.`));
        [skips, heldSection, conflictSection].forEach((one) => (one.hidden = true));
        return;
      }
      const told = await get(at("sync", name, "held"), { limit: HELD_SHOWN }, { signal });
      const waits = told.items.filter((one) => one.because !== "skipped");
      held.show(waits);
      fill(heldNote, told.next ? `The first ${HELD_SHOWN} are shown; “ticketgate sync held ${name}” lists all.` : "");
      conflicts.show(it.conflicts || []);
      const now = JSON.stringify([it, told]);
      if (now === drawn) return;
      drawn = now;
      const again = () => kept.now();
      const why = it.masked ? "it is masked: out of use" : null;
      const whyNoFeed = why || (isFeed(it) ? null : "its connector comes to us");
      fill(top, head([`${name} `, standing(it)], it.target === it.backend ? `Keeps ${it.backend} and this store in step.` : `What ${it.backend} tells is written to ${it.target}.`, [
        act("Run now…", "operator", () => forced({ title: `Run ${name} now`, verb: "Run", danger: false, path: ["sync", name, "run"], after: again, text: "It reads from where it stands, as the schedule would. Beside a run that is active this is refused.", done: (answer) => `Run: read ${answer.last_run.counters.read}, failed ${answer.last_run.counters.failed}.` }), { small: false, backend: it.backend, why: whyNoFeed }),
        act("Dry run", "operator", () => dryRun(it), { small: false, backend: it.backend, why: whyNoFeed }),
        act("Replay a file…", "operator", () => replay(name, again), { small: false, backend: it.backend, why }),
        act("Move the cursor…", "admin", () => moveCursor(it), { small: false, backend: it.backend, why: whyNoFeed }),
      ], [link("sync", "Sync"), " /"]));
      const run = it.last_run;
      const counted = h("div.scroll", { tabindex: "0", role: "region", "aria-label": "What it counted" }, h("table", h("thead", h("tr", h("th", { scope: "col" }, "Tickets"), ["Last run", "Since it exists"].map((one) => h("th.num", { scope: "col" }, one)))),
        h("tbody", COUNTERS.map((one) => h("tr", { "data-key": one }, h("td", word(one)), h("td.num", number(run.counters[one])), h("td.num", number(it.counters[one])))))));
      fill(cards,
        h("section.card", h("h2", "Where it stands"), facts([
          isFeed(it) ? ["Goes on from", place(it)] : ["Waiting for its connector", `${number(it.waiting)}, at most ${number(it.credit)} at once`],
          ["Reads", isFeed(it) ? BY[it.by] : "messages of a connector"], ["Organizer", plain(it.organizer)],
          isFeed(it) && ["Runs", it.launch === "manual" ? "by hand only" : ["every ", it.every, it.notices ? ` and on notices, ${number(it.notices)} so far` : null, it.start && [" from ", time(it.start)], it.end && [" until ", time(it.end)]]],
          isFeed(it) && ["Batch", number(it.batch)], ["Three-way", it.three_way ? "yes" : "no"], ["Contacts", it.contacts ? "are created" : "no"],
          ["Last run", run.begun_at ? [time(run.begun_at), run.ended_at ? [" to ", time(run.ended_at)] : ", not ended yet, or torn"] : DASH], run.error && ["It stopped early", h("strong.tone-bad", run.error)],
        ])), h("div", counted));
      const kinds = new Map(told.items.map((one) => [one.id, one]));
      fill(skips, h("div.bar", h("h2", "Skip list"), h("span.end", act("Skip tickets…", "operator", () => skip(name, again), { backend: it.backend }))),
        it.skip.length ? h("ul.found", it.skip.map((id) => h("li", h("code", id), " ", h("span.muted", kinds.has(id) ? ["told of since ", time(kinds.get(id).at)] : "nothing told since"), " ",
          act("Take off…", "operator", () => forced({ title: `Take ${id} off the skip list`, verb: "Take off", danger: false, path: ["sync", name, "unskip"], body: { ids: [id] }, after: again, text: "It is kept in step again, and what was told of it meanwhile is taken in now.", done: "It is kept in step again." }), { backend: it.backend })))) : h("p.muted", "No ticket is skipped."));
    }, 4000);
  },
};
