// What is going on, and what needs a person. Every figure leads to its rows.

import { h, fill } from "../dom.js";
import { get, maybe } from "../api.js";
import { recentEvents, listen } from "../live.js";
import { number, span, age, time, state, word } from "../format.js";
import { section, link, ticketLink, alarmLink } from "../parts.js";
import { table } from "../table.js";
import { plot } from "../plot.js";
import { laneColumns, laneState } from "./lanes.js";

// Older than this, what is not settled is worth a colour; a delay of policy may still be the reason.
const OLD_MS = 10 * 60_000;
const VERY_OLD_MS = 60 * 60_000;
// Events that are shown.
const EVENTS = 12;

const tile = (what, path) => {
  const figure = h("span.figure", "–");
  const note = h("span.note", "\u00a0");
  const element = h(path === null ? "div.tile" : "a.tile", path === null ? {} : { href: `/#/${path}` }, h("span.what", what), figure, note);
  return { element, show(value, more, tone) {
    figure.className = `figure ${tone ? `tone-${tone}` : ""}`;
    fill(figure, value);
    fill(note, more || "\u00a0");
    note.title = typeof more === "string" ? more : "";
  } };
};

// What only a person can mend, the gravest first.
function needs(lanes, beats, about) {
  const rows = [];
  for (const lane of lanes) {
    if (lane.undecided) rows.push(["ask", `${lane.undecided} undecided at ${lane.id}: it cannot be known whether the backend did it, and only a person can say.`, `undecided?backend=${encodeURIComponent(lane.id)}`, "Settle"]);
    if (lane.pause || lane.held) rows.push([laneState(lane)[1] === "bad" ? "bad" : "warn", `The lane to ${lane.id} makes no calls: ${lane.pause?.reason || lane.held}.`, "lanes", "Lanes"]);
    if (lane.canary?.dead) rows.push(["bad", `The flow to ${lane.id} is dead: a test alarm came no further than “${word(lane.canary.stage)}”${lane.canary.said ? ` (${lane.canary.said})` : ""}.`, "lanes", "Lanes"]);
    if (lane.gait === "hung") rows.push(["bad", `The lane to ${lane.id} hangs.`, "lanes", "Lanes"]);
  }
  for (const beat of beats) {
    if (beat.verdict === "expired") rows.push(["bad", `${beat.origin} has gone silent${beat.last_heard_at ? "" : ": it was never heard"}.`, "heartbeats", "Heartbeats"]);
  }
  if (about?.parked) rows.push(["warn", `${number(about.parked)} messages could not be read, and are parked.`, "parked", "Look"]);
  if (about && about.bus_connected === false) rows.push(["bad", `The broker is not connected${about.bus_trouble ? ` (${about.bus_trouble})` : ""}: no alarms come in over it, and events wait here until it is.`, "heartbeats", "Heartbeats"]);
  const weight = { bad: 0, ask: 1, warn: 2 };
  return rows.sort((one, other) => weight[one[0]] - weight[other[0]]);
}

const eventRow = (event) => {
  const alarm = event.alarm || {};
  const ticket = event.ticket || {};
  return h("tr", h("td", time(event.at)), h("td", state(event.event)), h("td", ticket.backend || "–"),
    h("td", ticketLink(ticket.key, ticket.backend_id || "no number yet")), h("td", alarm.source ? alarmLink(alarm.source, alarm.id) : h("span.none", "–")));
};

const OPS = { create: "created", update: "updated", close: "closed", reopen: "reopened" };
function ended(row) {
  const [source, ...id] = String(row.alarm || "").split("/");
  const alarm = row.alarm ? { source, id: id.join("/") } : {};
  const unmade = { adopted: "adopted", cancelled: "cancelled", rejected: "rejected" };
  return { at: row.ended_at, event: unmade[row.state] || (row.status === "Failed" ? "failed" : OPS[row.operation] || row.operation), alarm, ticket: { backend: row.backend, key: row.ticket, backend_id: row.backend_id } };
}

export const overview = {
  name: "overview", title: "Overview", path: "", key: "o",
  open(root, ctx) {
    const tiles = {
      rate: tile("Tickets made", "history/tickets"), oldest: tile("Oldest unsettled", "alarms?state=active"), waiting: tile("Waiting requests", "requests"),
      doubt: tile("In doubt", "requests?state=in_doubt"), undecided: tile("Undecided", "undecided"), parked: tile("Parked", "parked"),
      events: tile("Events to publish", null), canary: tile("Canary", "lanes"),
    };
    tiles.canary.element.hidden = true;
    const todo = h("ul.needs", { "aria-live": "polite" });
    const madePlot = plot({ title: "Tickets made", lines: [{ name: "made" }], unit: "a minute", write: (n) => (n < 10 && n % 1 ? n.toFixed(1) : number(Math.round(n))) });
    const latencyPlot = plot({ title: "Answer time", lines: [{ name: "mean", tone: 0 }, { name: "longest", tone: 2, area: false }], unit: "", write: (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`) });
    const failedPlot = plot({ title: "Calls that failed", lines: [{ name: "failed", tone: 1 }], unit: "a minute", write: (n) => (n < 10 && n % 1 ? n.toFixed(1) : number(Math.round(n))) });
    const lanesTable = table({ label: "Lanes", columns: laneColumns(), key: (lane) => lane.id, empty: "No backend is configured. Add a [[backend]] to the config: “ticketgate presets” shows ready ones." });
    const beatsTable = table({ label: "Heartbeats", key: (beat) => beat.origin, empty: "Nobody beats. Heartbeats are off in this config.", columns: [
      { name: "origin", label: "Origin", cell: (beat) => beat.origin }, { name: "verdict", label: "Verdict", cell: (beat) => state(beat.verdict) },
      { name: "silent", label: "Silent for", num: true, cell: (beat) => span(beat.silent_ms) },
    ] });
    const events = h("tbody");
    const eventsTable = h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Latest events" }, h("table", h("thead", h("tr", ["At", "Event", "Backend", "Ticket", "Alarm"].map((it) => h("th", { scope: "col" }, it)))), events));
    const plots = h("div.plots", madePlot.element, latencyPlot.element, failedPlot.element);
    const plotsNote = h("p.muted");

    root.append(h("h1.sr", "Overview"), section("Needs you", todo),
      section("Flow", h("div.tiles", Object.values(tiles).map((it) => it.element))),
      h("section", h("div.bar", h("h2", "Trends"), plotsNote), plots),
      h("section", h("div.bar", h("h2", "Lanes"), h("span.end", link("lanes", "All about the lanes"))), lanesTable.element),
      h("div.two", section("Latest events", eventsTable), section("Heartbeats", beatsTable.element)));

    // What the stream has told since the page was opened, and before that what ended last.
    let before = [];
    const drawEvents = () => {
      const live = recentEvents();
      const rows = [...live, ...before.filter((it) => !live.length || it.at < live.at(-1).at)].slice(0, EVENTS);
      fill(events, rows.length ? rows.map(eventRow) : h("tr.empty", h("td", { colspan: "5" }, "Nothing has happened yet. Send an alarm: the README shows how.")));
    };
    maybe("/api/v1/history", { list: "status", limit: EVENTS }).then((told) => {
      before = (told?.items || []).map(ended);
      drawEvents();
    }).catch(() => drawEvents());
    ctx.onStop(listen((what) => what.type === "event" && drawEvents()));

    ctx.keep(async (signal) => {
      const [lanes, beats, about] = await Promise.all([
        get("/api/v1/lanes", {}, { signal }), maybe("/api/v1/heartbeats", {}, { signal }), maybe("/api/v1/overview", {}, { signal }),
      ]);
      const rows = lanes.items;
      const sum = (name) => rows.reduce((all, lane) => all + (lane[name] || 0), 0);
      lanesTable.show(rows);
      beatsTable.show(beats?.items || []);
      const pending = needs(rows, beats?.items || [], about);
      fill(todo, pending.length
        ? pending.map(([tone, text, path, verb]) => h(`li.${tone}`, h("span", text), link(path, verb)))
        : h("li.ok", h("span", "Nothing. Every lane makes its calls, nothing is undecided, nothing is parked.")));
      tiles.waiting.show(number(sum("pending")), `${number(sum("due_alarms"))} alarms are due`);
      tiles.doubt.show(number(sum("in_doubt")), sum("in_doubt") ? "being found out" : "nothing to find out", sum("in_doubt") ? "warn" : "");
      tiles.undecided.show(number(sum("undecided")), sum("undecided") ? "a person must say" : "nobody is asked", sum("undecided") ? "ask" : "");
      // The worst of them: a flow that is dead, else the one that was not heard of for the longest time.
      const flown = rows.filter((lane) => lane.canary).sort((one, other) => other.canary.dead - one.canary.dead || other.canary.age_ms - one.canary.age_ms);
      tiles.canary.element.hidden = !flown.length;
      if (flown.length) {
        const [{ id, canary }] = flown;
        tiles.canary.show(span(canary.age_ms), canary.dead ? `dead: ${id}` : canary.rounds ? `oldest: ${id}` : `none yet: ${id}`, canary.dead ? "bad" : "");
        tiles.canary.element.title = "How long ago a test alarm came the whole way to the backend for which that is longest ago";
      }
      if (!about) return;
      tiles.parked.element.hidden = about.parked === null;
      tiles.events.element.hidden = about.unsent_events === null;
      tiles.parked.show(number(about.parked), about.parked ? "could not be read" : "all could be read", about.parked ? "warn" : "");
      tiles.events.show(number(about.unsent_events), about.bus_connected ? "broker connected" : "the broker is away", about.bus_connected ? "" : "bad");
      const old = about.oldest ? age(about.oldest.since) : null;
      tiles.oldest.show(old === null ? "none" : span(old), about.oldest ? about.oldest.what : sum("undecided") ? "but for what a person must say" : "all is settled", old > VERY_OLD_MS ? "bad" : old > OLD_MS ? "warn" : "");
    }, 4000);

    ctx.keep(async (signal) => {
      const told = await maybe("/api/v1/series", { points: 360 }, { signal });
      plots.hidden = !told;
      fill(plotsNote, told ? `the last ${span(told.at.length * told.step_ms)}, in steps of ${span(told.step_ms)}; kept in memory for ${span(told.kept_ms)}` : "No trends are kept for you: your token is limited to backends that have none.");
      if (!told) return;
      const minute = 60_000 / told.step_ms;
      const per = (values) => values.map((it) => it * minute);
      madePlot.show({ at: told.at, values: [per(told.made)] });
      failedPlot.show({ at: told.at, values: [per(told.failed)] });
      latencyPlot.show({ at: told.at, values: [told.mean_ms, told.longest_ms] });
      const last = told.made.slice(-Math.max(1, Math.round(minute))).reduce((all, it) => all + it, 0);
      const calls = told.calls.slice(-Math.max(1, Math.round(minute))).reduce((all, it) => all + it, 0);
      tiles.rate.show(`${number(last)}/min`, `${number(calls)} calls a minute`);
    }, 10_000, false);
  },
};
