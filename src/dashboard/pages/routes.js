// External configurations: where final answers go that no command sends elsewhere. Those of the
// config, and those that an operator sets in their place.

import { h } from "../dom.js";
import { get, post, put, remove, at } from "../api.js";
import { badge } from "../format.js";
import { act, head, select } from "../parts.js";
import { table } from "../table.js";
import { dialog, field } from "../dialog.js";
import { backendNames } from "./names.js";

const EXPLAINED = "Final answers of this backend that no command sends elsewhere are published there, from the next one on. The exchange must exist: it is not declared here. Without one, the key is a queue's name.";

async function edit(route, after) {
  const backend = route ? null : select(await backendNames(), "");
  const exchange = h("input", { type: "text", maxlength: "255", value: route?.exchange || "", autocomplete: "off" });
  const key = h("input", { type: "text", maxlength: "255", required: true, value: route?.key || "", autocomplete: "off" });
  const inputs = { exchange, key, ...(backend ? { backend } : {}) };
  const done = await dialog({
    title: route ? `Change where answers of ${route.backend} go` : "Add an external configuration", verb: route ? "Change" : "Add", inputs,
    body: [h("p", EXPLAINED), backend && field("Backend", backend), h("div.pair", field("Exchange", exchange), field("Key", key))],
    act: (values) => (route ? put(at("routes", route.backend), values) : post("/api/v1/routes", values)), done: "It counts from the next answer on.",
  });
  if (done) after();
}

async function take(route, after) {
  const done = await dialog({
    title: `Remove the operator's route of ${route.backend}`, verb: "Remove", danger: true,
    body: h("p", "The config's route counts again, if there is one. Without any, answers that name nobody go nowhere but to the events."),
    act: (values) => remove(at("routes", route.backend), values), done: "The route is removed.",
  });
  if (done) after();
}

export const routes = {
  name: "routes", title: "External configurations", path: "routes", key: "x",
  open(root, ctx) {
    const grid = table({ label: "External configurations", key: (it) => it.backend, empty: "No backend has a route: an answer goes to whoever its command names, and to nobody else.", columns: [
      { name: "backend", label: "Backend", cell: (it) => h("strong", it.backend) }, { name: "exchange", label: "Exchange", cell: (it) => (it.exchange ? h("code", it.exchange) : h("span.none", "the default one")) },
      { name: "key", label: "Key", cell: (it) => h("code", it.key) }, { name: "by", label: "Set by", cell: (it) => (it.set_by === "config" ? h("span.muted", "the config") : badge("an operator", "busy")) },
      { name: "acts", label: "", cell: (it) => h("div.acts", act("Edit…", "admin", () => edit(it, () => kept.now()), { backend: it.backend }), act("Remove…", "admin", () => take(it, () => kept.now()), { backend: it.backend, why: it.set_by === "config" ? "it stands in the config" : null })) },
    ] });
    root.append(head("External configurations", "Where the answer goes when a command, or an alarm, has named nobody. One row a backend; a row of yours wins over the config, and outlives a restart.", act("Add…", "admin", () => edit(null, () => kept.now()), { small: false })), grid.element);
    const kept = ctx.keep(async (signal) => grid.show((await get("/api/v1/routes", {}, { signal })).items), 5000, false);
  },
};
