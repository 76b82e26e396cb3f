// One field for whatever an operator has in hand: an alarm (source/id, or its id alone), one of our
// keys, a backend's ticket number.

import { get, maybe, at, Problem } from "./api.js";
import { alarmPath } from "./parts.js";
import { toast } from "./dialog.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
// Alarms and tickets that are looked through for an id alone.
const LOOKED_AT = 500;

const open = (path) => {
  location.assign(`/#/${path}`);
};

async function find(text) {
  if (UUID.test(text)) {
    if (await maybe(at("tickets", text))) return `tickets/${text}`;
    if (await maybe(at("requests", text))) return `requests/${text}`;
    return null;
  }
  const slash = text.indexOf("/");
  if (slash > 0) {
    const [source, id] = [text.slice(0, slash), text.slice(slash + 1)];
    if (await maybe(at("alarms", source, id))) return alarmPath(source, id);
  }
  // By its number a ticket is found whatever its age; by its search text, and an alarm by its id alone, if it
  // is among the newest.
  const [numbered] = (await get("/api/v1/tickets", { backend_id: text })).items;
  if (numbered) return `tickets/${numbered.key}`;
  const alarms = await get("/api/v1/alarms", { limit: LOOKED_AT });
  const alarm = alarms.items.find((it) => it.id === text);
  if (alarm) return alarmPath(alarm.source, alarm.id);
  const tickets = await get("/api/v1/tickets", { limit: LOOKED_AT });
  const ticket = tickets.items.find((it) => it.correlation_key === text);
  return ticket ? `tickets/${ticket.key}` : `alarms?text=${encodeURIComponent(text)}`;
}

export async function search(text) {
  if (!text) return;
  try {
    const path = await find(text);
    if (path) open(path);
    else toast(`Nothing here is called ${text}.`, "warn");
  } catch (error) {
    if (error instanceof Problem) toast(error.message, "bad");
    else throw error;
  }
}
