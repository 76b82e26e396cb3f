// What several pages are made of: heads, links to what is named, lists with filter and paging, acts.

import { h, fill } from "./dom.js";
import { table } from "./table.js";
import { dialog } from "./dialog.js";
import { get, post, at, may, limitedTo } from "./api.js";
import { offer } from "./pages/names.js";

export const link = (path, ...words) => h("a", { href: `/#/${path}` }, words);
const part = encodeURIComponent;
export const alarmPath = (source, id) => `alarms/${part(source)}/${part(id)}`;
export const alarmLink = (source, id) => (source ? link(alarmPath(source, id), `${source}/${id}`) : null);
export const ticketLink = (key, words) => (key ? link(`tickets/${part(key)}`, words || h("code", `…${key.slice(-8)}`)) : null);
export const requestLink = (id, words) => (id ? link(`requests/${part(id)}`, words || h("code", `…${id.slice(-8)}`)) : null);
export const laneLink = (backend) => (backend ? link(`lanes?backend=${part(backend)}`, backend) : null);

// Links to other systems are followed only if they are web addresses: their text comes from outside.
export function outside(url, words) {
  if (!/^https?:\/\//i.test(url || "")) return null;
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, words || url);
}

export function head(title, text, acts, crumb) {
  return h("div.head", h("div", crumb && h("p.crumb", crumb), h("h1", title), text && h("p", text)), acts && h("div.acts", acts));
}

export const facts = (pairs) => h("dl.facts", pairs.filter(Boolean).map(([name, value]) => [h("dt", name), h("dd", value)]));
export const section = (title, ...children) => h("section", h("h2", title), children);
export const emptyBox = (title, text) => h("div.empty-box", h("h2", title), h("p", text));

// A button that may be pressed by those who have the role; for others it says which role it needs.
export function act(words, role, onclick, { danger = false, small = true, backend = null, whole = false, why = null } = {}) {
  // What concerns every backend (`whole`) is not for whoever is limited to some.
  const allowed = may(role, backend) && !(whole && limitedTo());
  const title = why || (allowed ? null : may(role) ? "concerns backends that are not yours" : `needs the role ${role}`);
  return h(`button${small ? ".small" : ""}${danger ? ".danger" : ""}`, { type: "button", disabled: !allowed || why ? true : null, title, onclick }, words);
}

// An act that asks for nothing but a reason: what will happen, the verb, the path that does it.
export function forced({ title, text, verb, path, danger = true, body = {}, done, after }) {
  return dialog({
    title, verb, danger, done,
    body: (Array.isArray(text) ? text : [text]).map((one) => h("p", one)),
    act: async ({ reason }) => {
      const answer = await post(at(...path), { ...body, reason });
      after?.();
      return answer || {};
    },
  });
}

export function select(options, value, label) {
  return h("select", { value, "aria-label": label || null }, options.map((option) => {
    const [key, words] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: key }, words);
  }));
}

let labels = 0;
export function filter(label, input, grow) {
  const id = `q${(labels += 1)}`;
  input.id = id;
  return h(`div.field${grow ? ".grow" : ""}`, h("label", { for: id }, label), input);
}

const LIMIT = 50;

// A list of the API: filters in the address, one page at a time, newest first. The first page stays
// fresh; an older one stands still, so that what is being read does not move.
export function list(root, ctx, { url, label, columns, key, empty, filters = {}, fixed = {}, extra = null, rowClass, sortBy, every = 5000, view = (it) => it, words = "", ordered = true }) {
  const values = {};
  // Oldest first pages forward, newest first backward.
  let order = ordered ? ctx.query.get("order") || "" : "";
  for (const [name, spec] of Object.entries(filters)) {
    values[name] = ctx.query.get(name) || "";
  }
  const backs = [];
  let before = ctx.query.get("before") || "";
  let text = ctx.query.get("text") || "";
  let items = [];
  // There are older rows. Of lists that are looked through, a page may be short all the same.
  let more = false;
  const grid = table({ label, columns, key, empty, rowClass, sortBy });
  const note = h("span", { role: "status" });
  const newer = h("button.small", { type: "button", onclick: () => go(backs.pop() ?? "") }, "Page before");
  const older = h("button.small", { type: "button" }, "Next page");
  const words_ = h("input", { type: "search", value: text, placeholder: "in the rows shown", oninput: () => {
    text = words_.value;
    remember();
    draw();
  } });
  const remember = () => ctx.remember({ ...values, order, before, text });

  const controls = Object.entries(filters).map(([name, spec]) => {
    const input = spec.names ? select([["", limitedTo() ? "all of yours" : "all"]], "") : spec.options ? select(spec.options, values[name]) : h("input", { type: "text", value: values[name], placeholder: spec.placeholder || "" });
    if (spec.names) offer(input, values[name]).catch(() => {});
    input.addEventListener("change", () => {
      values[name] = input.value.trim();
      backs.length = 0;
      go("");
    });
    return filter(spec.label, input);
  });

  if (ordered) {
    const turn = select([["", "newest first"], ["oldest", "oldest first"]], order);
    turn.addEventListener("change", () => {
      order = turn.value;
      backs.length = 0;
      go("");
    });
    controls.push(filter("Order", turn));
  }

  function draw() {
    const wanted = text.trim().toLowerCase();
    const shown = wanted ? items.filter((item) => JSON.stringify(item).toLowerCase().includes(wanted)) : items;
    grid.show(shown);
    const count = wanted ? `${shown.length} of the ${items.length} rows on this page` : `${items.length} rows${items.length < LIMIT && more ? ", as far as was looked" : ""}`;
    fill(note, count, before && ", not the first page", words && ` · ${words}`);
  }
  async function load(signal) {
    const page = order === "oldest" ? { order, after: before } : { before };
    const told = await get(url, { ...fixed, ...values, ...page, limit: LIMIT }, { signal });
    items = view(told.items);
    more = Boolean(told.next);
    newer.hidden = !before;
    older.hidden = !told.next;
    older.onclick = () => {
      backs.push(before);
      go(told.next);
    };
    draw();
    extra?.(items);
  }
  function go(to) {
    before = to ? String(to) : "";
    remember();
    kept.now();
  }
  root.append(h("div.filters", controls, filter("Text", words_, true)), grid.element, h("div.pager", newer, older, note));
  const kept = ctx.keep(async (signal) => {
    if (before && items.length && kept?.page === before) return;
    await load(signal);
    if (kept) kept.page = before;
  }, every);
  return { again: () => {
    kept.page = null;
    return kept.now();
  } };
}
