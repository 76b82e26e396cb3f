// Words and figures as people read them. Times are shown in this browser's zone; the exact UTC time
// is in the title of each.

import { h } from "./dom.js";

export const DASH = "–";

export function number(value) {
  return value === null || value === undefined ? DASH : Number(value).toLocaleString("en-GB");
}

// "12 s", "4 min", "3 h 20 min", "5 d 2 h".
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return DASH;
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(text, millis = false) {
  const at = new Date(text);
  const base = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return millis ? `${base}.${String(at.getMilliseconds()).padStart(3, "0")}` : base;
}

export function day(text) {
  const at = new Date(text);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

// A moment: the time of today, or date and time.
export function time(text) {
  if (!text) return h("span.none", DASH);
  const shown = day(text) === day(Date.now()) ? clock(text) : `${day(text)} ${clock(text)}`;
  return h("time", { datetime: text, title: `${text} (UTC)` }, shown);
}

// How long ago; with the moment in its title.
export function ago(text) {
  if (!text) return h("span.none", DASH);
  const ms = Date.now() - Date.parse(text);
  const shown = ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`;
  return h("time", { datetime: text, title: `${text} (UTC)` }, shown);
}

// Moments within a text, which are UTC, as this browser's zone has them.
export function local(text) {
  return String(text ?? "").replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, (moment) =>
    (day(moment) === day(Date.now()) ? clock(moment) : `${day(moment)} ${clock(moment)}`));
}

export const age = (text) => (text ? Date.now() - Date.parse(text) : null);

// A value of a field as text.
export function plain(value) {
  if (value === null || value === undefined || value === "") return DASH;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// A long id: whole, and selectable, in the face of code.
export const code = (text) => (text ? h("code", text) : h("span.none", DASH));

// The end of a UUID tells two apart; the whole one is in the title.
export const short = (id) => (id ? h("code", { title: id }, `…${String(id).slice(-8)}`) : DASH);

// State is the only thing that has colour. `tone` is ok, busy, warn, bad, ask or none.
export const badge = (text, tone = "none") => h(`span.badge.${tone}`, text);

const TONES = {
  done: "ok", adopted: "ok", closed: "none", ok: "ok", working: "ok", idle: "none", free: "none",
  accepted: "busy", intent: "busy", acknowledged: "busy", wait: "warn", in_doubt: "warn",
  undecided: "ask", rejected: "bad", failed: "bad", cancelled: "none", superseded: "none",
  slow: "warn", expired: "bad", unknown: "none", degraded: "warn", locked: "busy",
  critical: "bad", major: "bad", minor: "warn", warning: "warn", indeterminate: "none",
  active: "busy", cleared: "none", created: "ok", updated: "ok", reopened: "warn",
  duplicate_detected: "bad", conflict: "warn", Succeeded: "ok", Failed: "bad", held: "warn",
  hung: "bad", paused: "bad", breaker: "bad", deleted: "none", merged: "ok", verified: "ok",
};

const WORDS = {
  in_doubt: "in doubt", wait: "waits to retry", intent: "being sent", accepted: "waits for its turn",
  duplicate_detected: "duplicate", inProgress: "in progress",
};

export const word = (state) => WORDS[state] || String(state ?? DASH).replaceAll("_", " ");
export const state = (it) => (it ? badge(word(it), TONES[it] || "none") : h("span.none", DASH));
