// The service's API, and who may do what. Each page is a client of /api/v1 and of nothing else.

// A refusal: a problem detail (RFC 9457), or no answer at all.
export class Problem extends Error {
  constructor(status, detail, body) {
    super(detail);
    this.status = status;
    this.body = body || {};
  }
}

export function signIn() {
  const here = location.pathname + location.search + location.hash;
  location.assign(`/sign-in?to=${encodeURIComponent(here)}`);
}

// A random UUID. `crypto.randomUUID` is there only over TLS or on this machine.
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const path = (parts) => parts.map((part) => encodeURIComponent(part)).join("/");

// "alarms", ["src", "A 1", "link"] and so on: a path of which no part can leave its place.
export const at = (...parts) => `/api/v1/${path(parts)}`;

function query(values) {
  const pairs = Object.entries(values || {})
    .filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

async function call(method, url, { body, raw, type, signal, text } = {}) {
  const headers = { Accept: text ? "text/csv" : "application/json" };
  // A form of another site cannot set this header.
  if (method !== "GET") headers["X-Ticketgate"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    const sent = body === undefined ? raw : JSON.stringify(body);
    answer = await fetch(url, { method, headers, body: sent, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "Ticketgate does not answer", {});
  }
  if (answer.status === 401) {
    signIn();
    throw new Problem(401, "sign in first", {});
  }
  if (answer.ok && text) return answer.text();
  const read = answer.status === 204 ? "" : await answer.text();
  let told = null;
  try {
    told = read ? JSON.parse(read) : null;
  } catch {
    told = { detail: read.slice(0, 300) };
  }
  if (!answer.ok) {
    const field = told?.field ? `${told.field}: ` : "";
    throw new Problem(answer.status, field + (told?.detail || `answered ${answer.status}`), told);
  }
  return told;
}

export const get = (url, values, more) => call("GET", url + query(values), more);
export const post = (url, body, values) => call("POST", url + query(values), { body: body ?? {} });
export const put = (url, body) => call("PUT", url, { body });
export const remove = (url, values) => call("DELETE", url + query(values));
export const send = (url, raw, type, values) => call("POST", url + query(values), { raw, type });
export const download = (url, values) => call("GET", url + query(values), { text: true });

// What is not there (a part that this service was built without) is null, and no error.
export async function maybe(url, values, more) {
  try {
    return await get(url, values, more);
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 403)) return null;
    throw error;
  }
}

const RANKS = ["viewer", "submitter", "operator", "admin"];
let me = { name: "", role: "admin", backends: null, open: true };

export async function whoAmI() {
  const told = await maybe("/api/v1/me");
  if (told) me = { ...me, ...told };
  return me;
}

export const who = () => me;
// The backends that this person is limited to; none: all.
export const limitedTo = () => (Array.isArray(me.backends) && me.backends.length ? me.backends : null);
// May this person do what needs that role, at that backend?
export function may(role, backend) {
  if (me.open) return true;
  const there = !backend || !limitedTo() || limitedTo().includes(backend);
  return there && RANKS.indexOf(me.role) >= RANKS.indexOf(role);
}
