// The config in force, what a reload would change, and the reload. Secrets are never shown.

import { h, fill } from "../dom.js";
import { maybe, post, who } from "../api.js";
import { plain } from "../format.js";
import { act, emptyBox, head, select } from "../parts.js";
import { dialog, toast } from "../dialog.js";

const LEVELS = ["error", "warn", "info", "debug", "trace"];

// Every key with its value, in order: "policy.rule[2].when".
function flat(value, path, rows) {
  if (Array.isArray(value)) {
    if (value.every((it) => typeof it !== "object")) rows.push([path, value.join(", ")]);
    else value.forEach((it, n) => flat(it, `${path}[${it.id || it.name || n + 1}]`, rows));
  } else if (value && typeof value === "object") {
    Object.entries(value).forEach(([key, it]) => flat(it, path ? `${path}.${key}` : key, rows));
  } else rows.push([path, value]);
  return rows;
}

const shown = (value) => (value === null || value === undefined ? h("span.none", "not set") : plain(value));

function difference(changes) {
  if (!changes.length) return h("p.muted", "The file says the same as what is in force.");
  return h("div.scroll", h("table.diff", h("thead", h("tr", ["Key", "In force", "In the file"].map((it) => h("th", { scope: "col" }, it)))),
    h("tbody", changes.map((it) => h("tr", h("td", h("code", it.key)), h("td.wide", h("del", shown(it.from ?? it.old ?? it.before))), h("td.wide", h("ins", shown(it.to ?? it.new ?? it.after))))))));
}

export const config = {
  name: "config", title: "Configuration", path: "config", key: "k",
  open(root, ctx) {
    const outcome = h("section", { "aria-live": "polite" });
    const list = h("div");
    const text = h("input", { type: "search", placeholder: "a key or a value", "aria-label": "Filter the configuration" });
    let rows = [];

    async function look() {
      try {
        const told = await post("/api/v1/config/reload", { dry_run: true, reason: "a look at the difference" });
        fill(outcome, h("h2", "What a reload would change"), difference(told.changes || []), h("div.acts", act("Reload…", "admin", reload, { small: false, why: told.changes?.length ? null : "nothing would change" })));
      } catch (error) {
        fill(outcome, h("h2", "The file cannot be applied"), h("pre.trouble", error.message));
      }
    }
    async function reload() {
      const done = await dialog({ title: "Reload the config file", verb: "Reload", body: [h("p", "The file is applied whole or not at all. Requests that were accepted go on, and a call that is under way ends as it began."), h("p", "What only a restart can change refuses the file.")],
        act: ({ reason }) => post("/api/v1/config/reload", { reason }), done: (answer) => `Applied: ${answer.changes?.length || 0} keys changed.` });
      if (done) {
        fill(outcome);
        kept.now();
      }
    }
    function draw() {
      const wanted = text.value.trim().toLowerCase();
      const some = rows.filter(([key, value]) => `${key} ${value}`.toLowerCase().includes(wanted));
      fill(list, h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Configuration in force" }, h("table", h("thead", h("tr", h("th", { scope: "col" }, "Key"), h("th", { scope: "col" }, "Value"))),
        h("tbody", some.length ? some.map(([key, value]) => h("tr", h("td", h("code", key)), h("td.wide", shown(value)))) : h("tr.empty", h("td", { colspan: "2" }, "No key matches."))))));
    }
    const level = select(LEVELS, "info", "Log level");
    text.addEventListener("input", draw);
    root.append(head("Configuration", "What the file sets, as it is in force; everything else has its default, and the sample file shows those. Secrets are never shown.", [
      act("Show the difference", "admin", look, { small: false }), act("Reload…", "admin", reload, { small: false }),
    ]), outcome, h("section", h("div.filters", h("div.field.grow", h("span.hint", "Filter"), text), h("div.field", h("span.hint", "Log level"), level),
      act("Set", "admin", async () => {
        try {
          await post("/api/v1/config/log-level", { level: level.value });
          toast(`The log level is ${level.value} now, until the next start.`);
        } catch (error) {
          toast(error.message, "bad");
        }
      }, { small: false })), list));
    const kept = ctx.keep(async (signal) => {
      const told = await maybe("/api/v1/config", {}, { signal });
      if (!told) {
        fill(list, emptyBox("This is shown to administrators alone", `You are signed in as ${who().name}, with the role ${who().role}.`));
        return;
      }
      rows = flat(told, "", []);
      draw();
    }, 15_000, false);
  },
};
