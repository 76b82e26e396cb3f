// What has ended, in the columns of the systems' own tables: status overview, tickets, failed ticket
// requests; and the offload.

import { h } from "../dom.js";
import { plain, state, time, DASH } from "../format.js";
import { act, forced, head, list, requestLink, alarmLink } from "../parts.js";

const text = (name, label, wide) => ({ name, label, wide, cell: (it) => plain(it[name]), sort: (it) => it[name] });
const ended = { name: "ended_at", label: "Ended", cell: (it) => time(it.ended_at), sort: (it) => it.ended_at };
const instance = { name: "instance", label: "Instance", cell: (it) => requestLink(it.instance) };
const status = { name: "status", label: "Status", cell: (it) => state(it.status), sort: (it) => it.status };

function alarmCell(it) {
  const [source, ...id] = String(it.alarm || "").split("/");
  return it.alarm ? alarmLink(source, id.join("/")) : h("span.none", DASH);
}

const offload = () => act("Offload now…", "operator", () => forced({
  title: "Offload now", verb: "Offload", danger: false, path: ["history", "offload"],
  text: "The oldest rows of each list that has too many are written to their daily files and then leave the list, as the schedule would do it.",
  done: (answer) => `Offloaded: ${Object.entries(answer.offloaded || {}).map(([list, rows]) => `${rows} of ${list}`).join(", ") || "nothing"}.`,
}), { small: false, whole: true });

const page = (it, words, listName, columns, empty) => ({
  ...it,
  name: it.path,
  open(root, ctx) {
    root.append(head(it.title, words, offload()));
    list(root, ctx, { url: "/api/v1/history", label: it.title, columns, key: (row) => row.n, fixed: { list: listName }, empty });
  },
});

export const statusOverview = page({ path: "history/status", key: "i", title: "Status overview" }, "Every write that has ended. Done and found read Succeeded; refused and failed read Failed, with the reason.", "status", [
  ended, text("backend", "Backend"), text("backend_id", "Ticket ID"), text("kind", "Kind"), text("operation", "Operation"), status, text("reason", "Reason of failure", true),
  { name: "alarm", label: "Alarm", cell: alarmCell, sort: (it) => it.alarm }, instance,
], "No write has ended yet.");

export const made = page({ path: "history/tickets", title: "Tickets made" }, "Every create that has ended, with the fields that the person or the policy gave it. How a ticket is now, its own page says.", "tickets", [
  { name: "created_at", label: "Created at", cell: (it) => time(it.created_at), sort: (it) => it.created_at }, text("ticket_id", "Ticket ID"), status, text("alarm_id", "Alarm ID"), text("dataminer_id", "DataMiner ID"), text("element_id", "Element ID"), text("element_name", "Element name"),
  text("priority", "Priority"), text("urgency", "Urgency"), text("technical_impact", "Technical impact"), text("client_impact", "Client impact"), text("root_cause", "Root cause"), instance,
], "No create has ended yet.");

export const failed = page({ path: "history/failed", key: "f", title: "Failed ticket requests" }, "Every create that ended without a ticket, with what the backend said.", "failed", [
  ended, text("ticket_id", "Ticket ID"), text("http_error_code", "HTTP error code"), text("app_error_code", "App error code"), text("error_message", "Error message", true), text("error_description", "Error description", true), instance,
], "No create has failed.");
