// The backends: whether each can be reached, until when its sign-in is good, and its last error.

import { h, fill } from "../dom.js";
import { maybe, post, at } from "../api.js";
import { ago, badge, local, plain, time, DASH } from "../format.js";
import { act, emptyBox, forced, head } from "../parts.js";
import { table } from "../table.js";
import { toast } from "../dialog.js";

function signedIn(auth) {
  if (!auth || auth.type === "none") return h("span.none", "none");
  if (auth.has_token === true) return [badge("signed in", "ok"), auth.expires_at && [" until ", time(auth.expires_at)]];
  if (auth.last_error) return badge("refused", "bad");
  return h("span.muted", auth.type);
}

export const backends = {
  name: "backends", title: "Backends", path: "backends", key: "b",
  open(root, ctx) {
    const findings = h("section", { "aria-live": "polite" });
    const holder = h("div");
    root.append(head("Backends", "The ticketing systems. “Check” makes one search that finds nothing, in the lane's turn. “Authenticate” drops the token in use and asks for a new one."), holder, findings);
    const grid = table({ label: "Backends", key: (it) => it.id, empty: "No backend is configured. Add a [[backend]] to the config: “ticketgate presets” shows ready ones.", columns: [
      { name: "id", label: "Backend", cell: (it) => h("strong", it.id) },
      { name: "preset", label: "Preset", cell: (it) => plain(it.preset) }, { name: "type", label: "Type", cell: (it) => plain(it.type) },
      { name: "doubt", label: "A lost create", cell: (it) => plain({ searchable: "is searched for", none: "is undecided", idempotency_key: "is repeated with its key", client_id: "is looked up by our id" }[it.capability] || it.capability) },
      { name: "auth", label: "Sign-in", cell: (it) => signedIn(it.auth) },
      { name: "authError", label: "Last error of the sign-in", wide: true, cell: (it) => (it.auth?.last_error ? [it.auth.last_error, it.auth.last_error_at && h("span.muted", " ", ago(it.auth.last_error_at))] : h("span.none", DASH)) },
      { name: "success", label: "Last success", cell: (it) => ago(it.last_success) },
      { name: "error", label: "Last error", wide: true, cell: (it) => (it.last_error ? [ago(it.last_error_at), h("span.muted", ` ${it.last_error}`)] : h("span.none", DASH)) },
      { name: "acts", label: "", cell: (it) => h("div.acts",
        act("Check", "operator", () => check(it.id), { backend: it.id }),
        act("Authenticate…", "operator", () => forced({
          title: `Authenticate at ${it.id}`, verb: "Authenticate", danger: false, path: ["backends", it.id, "authenticate"], after: () => kept.now(),
          text: "The token in use is dropped, and a new one is requested with the configured credentials.", done: (answer) => `Signed in${answer.expires_at ? ` until ${local(answer.expires_at)}` : ""}.`,
        }), { backend: it.id, why: it.auth?.type === "oauth2" ? null : "it has no token that is requested" })) },
    ] });

    async function check(id) {
      fill(findings, h("p.muted", `Checking ${id}…`));
      try {
        const told = await post(at("backends", id, "check"));
        fill(findings, h("h2", `Check of ${id}`), h("div.scroll", h("table", h("thead", h("tr", ["What", "Works", "What was said"].map((it) => h("th", { scope: "col" }, it)))),
          h("tbody", told.findings.map((it) => h("tr", h("td", it.what), h("td", it.works === true ? badge("yes", "ok") : it.works === false ? badge("no", "bad") : h("span.none", "not tried")), h("td.wide", it.said)))))));
      } catch (error) {
        fill(findings);
        toast(`The check of ${id} was not made: ${error.message}`, "bad");
      }
    }

    const kept = ctx.keep(async (signal) => {
      const told = await maybe("/api/v1/backends", {}, { signal });
      if (!told) {
        fill(holder, emptyBox("This service does not tell of its backends", "Their lanes have a page of their own; “ticketgate check --config FILE” reaches each of them."));
        return;
      }
      if (!grid.element.isConnected) fill(holder, grid.element);
      grid.show(told.items);
    }, 5000);
  },
};
