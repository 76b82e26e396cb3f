// Alarms, and the whole story of one: why there is, or is not, a ticket.

import { h, fill } from "../dom.js";
import { get, post, at, may, Problem } from "../api.js";
import { badge, clock, day, local, plain, state, time, DASH } from "../format.js";
import { act, emptyBox, facts, forced, head, alarmLink, link, list, outside, requestLink, section, select, ticketLink } from "../parts.js";
import { dialog, field } from "../dialog.js";
import { backendNames } from "./names.js";

export const whatIs = (alarm) => alarm.specific_problem || alarm.probable_cause || alarm.alarm_type || DASH;

// Where an alarm stands, in a word; its ticket's number, where it has one.
function standing(alarm) {
  const number = alarm.backend_id;
  if (alarm.no_ticket) return badge("no ticket wanted");
  if (alarm.request_state === "undecided") return [badge("undecided", "ask"), number && [" ", ticketLink(alarm.ticket, number)]];
  if (alarm.ticket && !number && ["cancelled", "rejected"].includes(alarm.ticket_status)) {
    return badge(alarm.ticket_status === "cancelled" ? "no ticket (dropped)" : "no ticket (create failed)", "warn");
  }
  if (alarm.ticket && alarm.wanted_version === alarm.settled_version) return badge("settled", "ok");
  if (alarm.wanted_version > alarm.settled_version) return badge(alarm.request ? "request under way" : alarm.due_at ? "waits" : "to do", "busy");
  return badge("no ticket", "warn");
}

const numberOf = (alarm) => (alarm.backend_id && alarm.request_state !== "undecided" ? [ticketLink(alarm.ticket, alarm.backend_id), " "] : null);

const columns = [
  { name: "changed", label: "Changed", cell: (it) => time(it.changed_at), sort: (it) => it.changed_at },
  { name: "alarm", label: "Alarm", cell: (it) => alarmLink(it.source, it.id), sort: (it) => `${it.source}/${it.id}` },
  { name: "stands", label: "Ticket", cell: (it) => [numberOf(it), standing(it)] },
  { name: "severity", label: "Severity", cell: (it) => state(it.severity), sort: (it) => it.severity },
  { name: "state", label: "State", cell: (it) => state(it.state), sort: (it) => it.state },
  { name: "object", label: "Object", cell: (it) => it.object_name || it.object, sort: (it) => it.object },
  { name: "what", label: "What", wide: true, cell: (it) => [whatIs(it), it.text && h("span.muted", ` ${it.text}`)] },
  { name: "why", label: "Last said", wide: true, cell: (it) => h("span.muted", it.reason || DASH) },
];

export const alarms = {
  name: "alarms", title: "Alarms", path: "alarms", key: "a",
  open(root, ctx) {
    root.append(head("Alarms", "Every occurrence of every alarm. Open one to see why it has a ticket, or none."));
    list(root, ctx, {
      url: "/api/v1/alarms", label: "Alarms", columns, key: (it) => `${it.source} ${it.id} ${it.occurrence}`,
      filters: { source: { label: "Source", placeholder: "its exact name" }, state: { label: "State", options: [["", "all"], "active", "cleared"] }, ticket: { label: "Ticket", options: [["", "all"], ["none", "without one"]] } },
      empty: "No alarm matches. If an alarm is missing that should be here, look at the parked messages: what cannot be read is put there.",
    });
  },
};

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const TONE = [
  [/undecided/, "ask"], [/doubt|not known|wait|tried again|paused|busy|held/, "warn"],
  [/reject|refus|fail|lost|duplicate|error|answered the .* with [45]/, "bad"],
  [/^done|adopted|created|closed|confirmed|settled/, "ok"], [/sent|accepted|attempt/, "busy"],
];
export const toneOf = (text) => TONE.find(([is]) => is.test(text))?.[1] || "";

// Steps with their times, days apart, the same moment not told twice.
export function timeline(steps, label = "What happened, in order") {
  let lastDay = null;
  let last = null;
  const rows = [];
  for (const step of steps) {
    if (day(step.at) !== lastDay) rows.push(h("li.day", (lastDay = day(step.at))));
    const shown = clock(step.at, true);
    const [op, id] = step.of.split(" ");
    rows.push(h("li", h("time", { datetime: step.at, title: `${step.at} (UTC)` }, shown === last ? "" : shown),
      h(`span.dot.${toneOf(`${step.what} ${step.why || ""}`)}`, { "aria-hidden": "true" }),
      h("span.of", id ? requestLink(id, op) : op),
      h("div.said", local(step.what), step.why && h("span.why", ` – ${local(step.why)}`))));
    last = shown;
  }
  return h("ol.story", { "aria-label": label }, rows);
}

export function verdictTone(alarm, text) {
  if (/must settle|cannot be known/.test(text)) return "ask";
  if (/^its .*(paused|makes only probes|makes no calls|tried again)|^it is not known/.test(text)) return "warn";
  if (/^it has ticket/.test(text)) return "ok";
  if (/rejected|failed|refused/.test(text)) return "bad";
  return alarm.state === "active" && /^it has no ticket:/.test(text) ? "warn" : "";
}

function pathOf(topology) {
  if (!topology) return null;
  const hops = topology.hops || topology;
  if (!Array.isArray(hops)) return h("p.muted", plain(topology));
  if (!hops.length) return h("p.muted", "The object is not in the topology.");
  return h("ol.path", hops.map((hop) => h("li", h("span.hop", { title: JSON.stringify(hop) }, [hop.node, hop.port].filter(Boolean).join(" "), hop.owner && h("span.muted", ` ${hop.owner}`)))));
}

function occurrence(one, newest) {
  const { alarm, ticket } = one;
  const properties = Object.entries(alarm.properties || {});
  const about = h("div.grid2",
    h("section.card", h("h2", "Alarm"), facts([
      ["State", [state(alarm.state), " ", state(alarm.severity)]], ["Object", [alarm.object, alarm.object_name && alarm.object_name !== alarm.object ? ` (${alarm.object_name})` : ""]],
      ["Problem", whatIs(alarm)], ["Text", plain(alarm.text)], alarm.value !== null && alarm.value !== undefined && ["Value", plain(alarm.value)],
      ["Raised", time(alarm.raised_at)], ["Last change", time(alarm.changed_at)], ["First heard", time(alarm.first_seen)], ["Events", alarm.events],
      ["Goes to", alarm.backend ? `${alarm.backend}, as ${alarm.kind}` : "no backend"], alarm.due_at && ["Looked at again", time(alarm.due_at)],
      ...properties.map(([name, value]) => [name, plain(value)]),
    ])),
    h("section.card", h("h2", "Ticket"), ticket ? facts([
      ["Number", [ticketLink(ticket.key, ticket.backend_id || "none yet"), ticket.url && [" ", outside(ticket.url, "open there")]]],
      ["Backend", ticket.backend], ["Status", [state(ticket.status), ticket.backend_status ? h("span.muted", ` theirs: ${ticket.backend_status}`) : ""]],
      ["Made or found", ticket.adopted ? "found at the backend" : "made by us"], ["Changed", time(ticket.changed_at)],
      ["Search text", h("code", ticket.correlation_key)],
    ]) : h("p.muted", "None."), one.earlier?.length ? [h("h3", "It was"), facts(one.earlier.map((left) => [left.backend, [ticketLink(left.key, left.backend_id || "none"), " ", state(left.status), h("span.muted", " left as it is")]]))] : null, one.topology && [h("h3", "Where the object lies"), pathOf(one.topology)]));
  const story = h("section", h("h2", "What happened"), timeline(one.steps));
  if (newest) return [about, story];
  return h("details.card", h("summary", `The occurrence that was raised ${day(alarm.raised_at)} ${clock(alarm.raised_at)}: ${one.verdict}`), about, story);
}

async function linkTicket(source, id, after) {
  const names = await backendNames();
  const backend = select(names, names[0]);
  const theirs = h("input", { type: "text", required: true, maxlength: "256", autocomplete: "off" });
  const kind = select(["incident", "change", "problem"], "incident");
  await dialog({
    title: `Link ${source}/${id} to a ticket that exists`, verb: "Link", inputs: { backend, backend_id: theirs, kind },
    body: [h("p", "From now on this alarm's changes go to that ticket. Nothing is sent now, and the ticket that it had until now stays as it is. A ticket that nobody here knows is asked for there first: if it is not there, this is refused."),
      h("div.pair", field("Backend", backend), field("Ticket number there", theirs), field("Kind", kind))],
    act: (values) => post(at("alarms", source, id, "link"), values), done: "The alarm is linked.",
  });
  after();
}

export const alarm = {
  name: "alarm", under: "alarms", title: "Alarm",
  open(root, ctx) {
    const [, source, id] = ctx.parts;
    document.title = `${source}/${id} · Ticketgate`;
    const verdict = h("p.verdict", { "aria-live": "polite" }, "…");
    const acts = h("div.acts");
    const body = h("div");
    root.append(head(`${source}/${id}`, null, acts, [link("alarms", "Alarms"), " /"]), verdict, body);
    let signature = "";
    const kept = ctx.keep(async (signal) => {
      let told;
      try {
        told = await get(at("alarms", source, id, "explain"), {}, { signal });
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 404) throw error;
        fill(verdict, sentence(error.message), ".");
        verdict.className = "verdict bad";
        fill(body, emptyBox("Nothing of this alarm has ever arrived", [
          "Look at the ", link("parked", "parked messages"), ": what could not be read is there, with the reason. Then look at what the source itself publishes. If you have the alarm's values at hand, ",
          h("a", { href: `/new-ticket?${new URLSearchParams({ source, id })}` }, "register it and create a ticket"), "."]));
        fill(acts);
        return;
      }
      const now = JSON.stringify(told);
      if (now === signature) return;
      signature = now;
      const newest = told.occurrences.at(-1);
      const { alarm: it } = newest;
      fill(verdict, sentence(local(told.verdict)), ".");
      verdict.className = `verdict ${verdictTone(it, told.verdict)}`;
      const again = () => kept.now();
      const undecided = newest.requests.find((request) => request.state === "undecided");
      fill(acts,
        undecided && link(`undecided?request=${undecided.id}`, "Settle the doubt"),
        !it.ticket && may("submitter", it.backend) && h("a.button", { href: `/new-ticket?${new URLSearchParams({ source, id, object: it.object })}` }, "Create ticket…"),
        act("Link…", "operator", () => linkTicket(source, id, again), { small: false }),
        act("Unlink…", "operator", () => forced({
          title: `Unlink ${source}/${id} from its ticket`, verb: "Unlink", path: ["alarms", source, id, "unlink"], after: again,
          text: ["The ticket stays as it is at its backend: this alarm neither updates nor closes it any more.", "Policy decides anew at once: an active alarm will as a rule get another ticket. If it belongs to a ticket that exists, press “Link…” instead; if it is to have none, “No ticket…”."],
          done: "The alarm is unlinked.",
        }), { small: false, why: it.ticket ? null : "it has no ticket" }),
        act("No ticket…", "operator", () => forced({
          title: `No ticket for ${source}/${id}`, verb: "No ticket", path: ["alarms", source, id, "no-ticket"], after: again,
          text: ["No ticket will be made for this occurrence of the alarm. One that it has stays as it is at its backend, and this alarm neither updates nor closes it any more.", "If the alarm clears and is raised anew, that is a new occurrence, and policy decides again."],
          done: "It gets no ticket.",
        }), { small: false, why: it.no_ticket ? "that was said already" : null }));
      const older = told.occurrences.slice(0, -1).reverse();
      const open = [...body.querySelectorAll("details")].map((one) => one.open);
      fill(body, occurrence(newest, true), older.length ? section("Raised before", older.map((one) => occurrence(one, false))) : null);
      body.querySelectorAll("details").forEach((one, n) => {
        one.open = Boolean(open[n]);
      });
    }, 3000);
  },
};
