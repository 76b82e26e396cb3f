// A ticket by hand, from the link of an alarm console: the alarm is registered if it was never seen, an
// existing ticket is found first (ours, then the backend's where it can be searched), the required fields
// are asked for, and the page closes when it is done. Its address holds all, so it survives the sign-in.

import { h, fill } from "../dom.js";
import { maybe, post, at, may, uuid, Problem } from "../api.js";
import { plain, state, time } from "../format.js";
import { act, alarmLink, facts, head, link, outside, select, ticketLink } from "../parts.js";
import { field } from "../dialog.js";
import { backendNames } from "./names.js";

const SEVERITIES = ["critical", "major", "minor", "warning", "indeterminate"];
const WAIT = "30s";
// A search at the backend may take so long; the form does not wait for it.
const SEARCH_WAIT = "10s";
const OPTIONAL = { client_impact: "Client impact" };
// Waiting for a ticket that policy has begun to make.
const ASK_EVERY_MS = 700;
const ASK_TIMES = 40;

const label = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function moment(text) {
  const at = new Date(text || Date.now());
  return Number.isNaN(at.getTime()) ? new Date().toISOString() : at.toISOString();
}

// The page's end: it was opened by a link, and closes; a page that may not close says so.
function finish(root, ticket, words, alarm) {
  const close = h("button.primary", { type: "button", onclick: () => window.close() }, "Close");
  fill(root, h("div.card.form", { role: "status" }, h("h1", words),
    facts([["Ticket", ticketLink(ticket.key, ticket.backend_id || "no number yet")], ["Backend", ticket.backend], ["Status", state(ticket.status)], alarm && ["Alarm", alarmLink(alarm.source, alarm.id)]]),
    h("div.actions", outside(ticket.url, "Open it there"), close), h("p.muted", "You can close this page.")));
  close.focus();
  // A page that a link has opened may close itself; one that was come to may not, and says so.
  if (window.opener || history.length <= 1) window.close();
}

async function existing(source, id) {
  const alarm = await maybe(at("alarms", source, id));
  const ticket = alarm?.ticket ? await maybe(at("tickets", alarm.ticket)) : null;
  return { alarm, ticket };
}

// Tickets at the backend about the same object, where it can be searched by it.
async function atBackend(backend, kind, form, object) {
  const by = form?.finds_by;
  if (!object || !form?.searchable || (by?.length && !by.includes("object"))) return null;
  const answer = await post("/api/v1/commands", { command: "search", id: uuid(), backend, kind, where: { object }, limit: 10 }, { wait: SEARCH_WAIT });
  return (answer.result?.tickets || []).filter((it) => !["closed", "resolved", "cancelled"].includes(it.status));
}

async function create(values, alarm, event) {
  if (!alarm) {
    // Policy hears of it too: with these wishes, whatever it makes is the ticket that was asked for.
    await post("/api/v1/alarms", { ...event, ticket: { backend: values.backend, kind: values.kind, fields: values.fields } });
  }
  const command = { command: "create", id: values.id, backend: values.backend, kind: values.kind, fields: values.fields, alarm: { source: event.source, id: event.id } };
  return post("/api/v1/commands", command, { wait: WAIT });
}

// Policy may have been quicker: then its ticket is the one.
async function policyMade(event) {
  let found = null;
  for (let n = 0; n < ASK_TIMES; n += 1) {
    found = (await existing(event.source, event.id)).ticket;
    if (!found || found.backend_id) return found;
    await pause(ASK_EVERY_MS);
  }
  return found;
}

export const newTicket = {
  name: "new-ticket", under: "tickets", title: "Create a ticket", path: "new-ticket",
  async open(root, ctx) {
    const asked = Object.fromEntries(["source", "id", "object", "object_name", "value", "root_time"].map((name) => [name, ctx.query.get(name) || ""]));
    fill(root, head("Create a ticket"), h("p.muted", { role: "status" }, "Looking for an existing ticket…"));
    try {
      if (!asked.source || !asked.id) whichAlarm(root, asked);
      else await form(root, asked);
    } catch (error) {
      fill(root, head("Create a ticket"), h("p.banner", { role: "alert" }, error.message));
    }
  },
};

function whichAlarm(root, asked) {
  const inputs = { source: h("input", { type: "text", required: true, value: asked.source }), id: h("input", { type: "text", required: true, value: asked.id }), object: h("input", { type: "text", value: asked.object }) };
  fill(root, head("Create a ticket", "For which alarm? An alarm console's link fills this in: examples/HyperLinks.xml shows how."),
    h("form.card.form", { onsubmit: (event) => {
      event.preventDefault();
      const values = { ...asked, ...Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()])) };
      location.assign(`/new-ticket?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`);
    } }, h("div.pair", field("Source", inputs.source), field("Alarm ID", inputs.id)), field("Object", inputs.object, "Needed for an alarm that was never seen here."), h("div.actions", h("button.primary", { type: "submit" }, "Go on"))));
}

async function form(root, asked) {
  const { alarm, ticket } = await existing(asked.source, asked.id);
  if (ticket && !["closed", "cancelled"].includes(ticket.status)) {
    fill(root, head("This alarm has a ticket already", "No other one is made."), h("div.card.form", facts([
      ["Ticket", ticketLink(ticket.key, ticket.backend_id || "no number yet: it is being made")], ["Backend", ticket.backend], ["Status", state(ticket.status)], ["Alarm", alarmLink(asked.source, asked.id)],
      ["Summary", plain(ticket.fields?.summary)], ["Changed", time(ticket.changed_at)],
    ]), h("div.actions", outside(ticket.url, "Open it there"), h("button.primary", { type: "button", onclick: () => window.close() }, "Close"))));
    return;
  }
  if (!alarm && !asked.object) return whichAlarm(root, asked);

  const known = alarm || {};
  const object = known.object || asked.object;
  const name = known.object_name || asked.object_name || object;
  const names = await backendNames();
  const backend = select(names, known.backend && names.includes(known.backend) ? known.backend : names[0]);
  const kind = select(["incident", "change", "problem"], known.kind || "incident");
  const severity = select(SEVERITIES, known.severity || "major");
  const summary = h("input", { type: "text", required: true, maxlength: "250", value: alarm ? `${alarm.severity}: ${alarm.specific_problem || alarm.probable_cause || alarm.alarm_type || alarm.text || "alarm"} on ${name}` : `${name}: ${asked.value || "alarm"}` });
  const description = h("textarea", { rows: "3", value: known.text || (asked.value ? `Alarm value: ${asked.value}` : "") });
  const needs = h("div.pair");
  const found = h("div", { "aria-live": "polite" });
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const go = h("button.primary", { type: "submit" }, "Create ticket");
  // One id for this form: pressing twice makes one ticket.
  const command = uuid();
  let wanted = {};
  let search = 0;

  async function describe() {
    const mine = (search += 1);
    const told = await maybe(at("backends", backend.value, "form"));
    if (mine !== search) return;
    const required = told?.needs || {};
    wanted = {};
    fill(needs, [...Object.entries(required), ...Object.keys(required).length ? Object.keys(OPTIONAL).filter((it) => !required[it]).map((it) => [it, null]) : []].map(([field_, values]) => {
      const must = values !== null;
      const input = values?.length ? select([["", "choose…"], ...values], "") : h("input", { type: "text" });
      if (must) input.required = true;
      wanted[field_] = input;
      return field(`${OPTIONAL[field_] || label(field_)}${must ? " (required)" : ""}`, input);
    }));
    fill(found, told?.searchable && h("p.muted", `Looking at ${backend.value} for tickets about ${object}…`));
    let tickets = null;
    let failed = null;
    try {
      tickets = await atBackend(backend.value, kind.value, told, object);
    } catch (error) {
      failed = error;
    }
    if (mine !== search) return;
    const theirs = backend.value;
    if (failed) fill(found, h("p.banner.warn", `${theirs} could not be searched for an existing ticket: ${failed.message}. Look there before you create one.`));
    else if (tickets === null) fill(found, h("p.muted", `${theirs} cannot be searched by object: look there first if you are not sure that there is no ticket.`));
    else if (!tickets.length) fill(found, h("p.muted", `${theirs} was searched: it has no open ticket about ${object}.`));
    else fill(found, h("p.banner.warn", `${theirs} has ${tickets.length === 1 ? "an open ticket" : `${tickets.length} open tickets`} about ${object}. ${alarm ? "Take that rather than making another." : "Look at it before you make another."}`),
      h("ul.found", tickets.map((it) => h("li.card", h("strong", outside(it.url, it.backend_id) || it.backend_id), " ", state(it.status), " ", plain(it.fields?.summary), " ",
        alarm && may("operator", theirs) ? h("button.small", { type: "button", onclick: () => take(it) }, "Take this one") : null))));
  }

  async function take(it, force = false) {
    try {
      const linked = await post(at("alarms", asked.source, asked.id, "link"), { backend: backend.value, backend_id: it.backend_id, kind: kind.value, force, reason: "found when a ticket was to be created by hand" });
      const ticket_ = await maybe(at("tickets", linked.ticket));
      finish(root, ticket_ || { ...it, key: linked.ticket, backend: backend.value }, "The alarm is linked to the existing ticket", asked);
    } catch (error) {
      fill(trouble, error.message, error.body?.may_be_forced && [" ", h("button.small", { type: "button", onclick: () => take(it, true) }, "Take it all the same")]);
      trouble.hidden = false;
    }
  }

  async function submit(event) {
    event.preventDefault();
    trouble.hidden = true;
    go.disabled = true;
    fill(go, "Creating…");
    const raised = moment(asked.root_time);
    const fields = { summary: summary.value.trim(), description: description.value.trim(), severity: severity.value, object, object_name: name, alarm_source: asked.source, alarm_id: asked.id, raised_at: known.raised_at || raised };
    const value = known.value || asked.value;
    if (value) fields.value = value;
    for (const [field_, input] of Object.entries(wanted)) if (input.value.trim()) fields[field_] = input.value.trim();
    const event_ = { source: asked.source, id: asked.id, state: "raised", severity: severity.value, raised_at: raised, object, object_name: name };
    if (asked.value) event_.value = asked.value;
    if (fields.description) event_.text = fields.description;
    try {
      const answer = await create({ id: command, backend: backend.value, kind: kind.value, fields }, alarm, event_);
      const key = answer.result?.key || answer.key;
      const made = key ? await maybe(at("tickets", key)) : null;
      const words = answer.stage === "final" ? "The ticket is created" : answer.error ? `Accepted, and not finished: ${answer.error.message}` : "The ticket is accepted, and is being created";
      finish(root, made || { key, backend: backend.value, ...answer.result }, words, asked);
      return;
    } catch (error) {
      const quicker = error instanceof Problem && [409, 422, 400].includes(error.status) ? await policyMade(event_) : null;
      if (quicker) {
        finish(root, quicker, quicker.backend_id ? "The ticket is created" : "The ticket is accepted, and is being created", asked);
        return;
      }
      fill(trouble, error.message, error.body?.error?.code === "id_reused" ? " Open the link again to create another one." : "");
      trouble.hidden = false;
    }
    go.disabled = false;
    fill(go, "Create ticket");
  }

  backend.addEventListener("change", describe);
  kind.addEventListener("change", describe);
  fill(root, head("Create a ticket", alarm ? null : "This alarm was never seen here. It is registered from the link's values when you create the ticket."),
    ticket && h("p.muted", "Its last ticket, ", ticketLink(ticket.key, ticket.backend_id), ", is ", ticket.status, "."),
    h("form.card.form", { onsubmit: submit },
      facts([["Alarm", alarm ? alarmLink(asked.source, asked.id) : `${asked.source}/${asked.id}`], ["Object", name === object ? object : `${name} (${object})`], (known.value || asked.value) && ["Value", known.value || asked.value], (known.raised_at || asked.root_time) && ["Raised", time(known.raised_at || moment(asked.root_time))]]),
      h("div.pair", field("Backend", backend), field("Kind", kind), field("Severity", severity)), found, needs,
      field("Summary (required)", summary), field("Description", description), trouble,
      h("div.actions", may("submitter", backend.value) ? go : act("Create ticket", "submitter", () => {}, { small: false }))));
  await describe();
}
