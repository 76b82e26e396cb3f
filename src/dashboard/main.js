// The shell: navigation, search, keys, theme, and which page is open. A page's address is all that it
// needs: it can be bookmarked, sent to a colleague, and survives the sign-in.

import { h, fill } from "./dom.js";
import { limitedTo, whoAmI, who, maybe, post, Problem } from "./api.js";
import { connect, keep, listen, stream } from "./live.js";
import { keys, help } from "./keys.js";
import { apply, turn } from "./theme.js";
import { GROUPS, PAGES, pageOf } from "./pages.js";
import { newTicket } from "./pages/new-ticket.js";
import { search } from "./search.js";

const COUNTS_EVERY_MS = 5000;
const main = h("main", { id: "main", tabindex: "-1" });
const notices = h("p.sr", { role: "status", "aria-live": "polite" });
let leave = () => {};

// What a page is given: where it draws, where it is, and what stops with it.
function context(parts, query) {
  const stops = [];
  const trouble = h("div", { role: "alert" });
  return {
    stops,
    trouble,
    parts,
    query,
    // Changes the query of this page's address without opening it anew.
    remember(values) {
      const next = new URLSearchParams();
      Object.entries(values).forEach(([name, value]) => value && next.set(name, value));
      const text = next.toString();
      history.replaceState(null, "", `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`);
    },
    // Calls `load` now, after events and every `ms`; tells of what fails, and goes on.
    keep(load, ms = 5000, onEvents = true) {
      const failed = (error) => {
        fill(trouble, error && h("p.banner", `This could not be read: ${error.message}. Trying again.`));
      };
      const kept = keep(load, ms, failed, onEvents);
      stops.push(kept.stop);
      return kept;
    },
    onStop: (stop) => stops.push(stop),
  };
}

function open() {
  const [path, text] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const page = location.pathname === "/new-ticket" && !parts.length ? newTicket : pageOf(parts);
  leave();
  const query = new URLSearchParams(location.pathname === "/new-ticket" && !parts.length ? location.search : text || "");
  const ctx = context(parts, query);
  leave = () => ctx.stops.forEach((stop) => stop());
  const holder = h("div");
  fill(main, ctx.trouble, holder);
  document.title = `${page.title} · Ticketgate`;
  fill(notices, page.title);
  for (const link of document.querySelectorAll(".side a.to")) {
    if (link.dataset.page === page.name || link.dataset.page === page.under) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector(".side")?.classList.remove("open");
  window.scrollTo(0, 0);
  page.open(holder, ctx);
}

function shell() {
  const counts = {};
  const item = (page) => {
    counts[page.name] = h("span.count", { hidden: true });
    return h("li", { hidden: page.hidden || null, "data-item": page.name },
      h("a.to", { href: `/#/${page.path}`, "data-page": page.name, title: page.key ? `g ${page.key}` : null },
        page.label || page.title, counts[page.name]));
  };
  const side = h("nav.side", { id: "pages", "aria-label": "Pages" },
    h("a.brand", { href: "/#/" }, h("img", { src: "/dashboard/icon.svg", alt: "" }), "Ticketgate"),
    GROUPS.map((group) => [h("h2", group.title), h("ul", group.pages.map(item))]));
  const menu = h("button.menu", { type: "button", "aria-expanded": "false", "aria-controls": "pages", onclick: () => {
    menu.setAttribute("aria-expanded", String(side.classList.toggle("open")));
  } }, "Menu");
  const input = h("input", { type: "search", name: "q", placeholder: "Alarm, ticket or request", "aria-label": "Search for an alarm, a ticket or a request", autocomplete: "off" });
  const form = h("form", { role: "search", onsubmit: (event) => {
    event.preventDefault();
    search(input.value.trim());
  } }, input, h("kbd", { "aria-hidden": "true" }, "/"));
  const live = h("span.live", { title: "The stream of ticket events" }, h("span", stream()));
  const theme = h("button.plain.small", { type: "button", onclick: () => name(turn()) });
  const name = (it) => fill(theme, { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" }[it]);
  name(apply());
  const me = who();
  const out = me.open ? null : h("button.small", { type: "button", onclick: async () => {
    await post("/sign-out").catch(() => {});
    location.assign("/sign-in");
  } }, "Sign out");
  const person = me.open ? h("span.muted.name", { title: "Nobody has to sign in here: whoever reaches this port may act" }, "no sign-in")
    : h("span.name", `${me.name} `, h("span.muted", `(${me.role})`));
  const top = h("header.top", menu, form,
    h("div.right", live, person, theme, h("button.plain.small", { type: "button", "aria-label": "Keys and help", onclick: () => help(PAGES.filter((it) => it.key)) }, "?"), out));
  const skip = h("a.skip", { href: "#main", onclick: (event) => {
    event.preventDefault();
    main.focus();
  } }, "Skip to the page");
  document.body.append(skip, h("div.frame", side, top, main), notices);

  listen((what) => {
    if (what.type !== "state") return;
    live.classList.toggle("on", what.state === "live");
    live.classList.toggle("off", what.state === "cut off");
    fill(live, h("span", what.state));
  });
  keys(PAGES.filter((it) => it.key).map((it) => ({ key: it.key, path: `/${it.path}`, label: it.label || it.title })), () => {
    input.focus();
    input.select();
  });
  return counts;
}

// Figures beside the pages' names: what waits for a person.
function badges(counts) {
  const show = (name, n, tone) => {
    const badge = counts[name];
    if (!badge) return;
    badge.hidden = !n;
    badge.className = `count ${tone}`;
    fill(badge, n);
  };
  keep(async (signal) => {
    const lanes = await maybe("/api/v1/lanes", {}, { signal });
    const parked = limitedTo() ? null : await maybe("/api/v1/parked", { limit: 100 }, { signal });
    const rows = lanes?.items || [];
    const sum = (field) => rows.reduce((all, lane) => all + (lane[field] || 0), 0);
    show("undecided", sum("undecided"), "ask");
    show("lanes", rows.filter((lane) => lane.held).length, "warn");
    const n = parked?.items.length || 0;
    show("parked", n >= 100 ? "99+" : n, "warn");
  }, COUNTS_EVERY_MS, () => {});
}

async function begin() {
  apply();
  try {
    await whoAmI();
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return;
  }
  const counts = shell();
  window.addEventListener("hashchange", open);
  open();
  connect();
  badges(counts);
  // Parts that this service was built or configured without have no place among the pages.
  for (const page of PAGES.filter((it) => it.needs)) {
    const there = await page.needs();
    const link = document.querySelector(`[data-item="${page.name}"]`);
    if (link) link.hidden = !there;
  }
}

begin();
