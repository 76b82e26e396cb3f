// The ticketing services of a backend that has a table of them: select one, import, export.

import { h, fill } from "../dom.js";
import { get, send, download, at } from "../api.js";
import { badge, plain } from "../format.js";
import { act, emptyBox, forced, head, select } from "../parts.js";
import { table } from "../table.js";
import { dialog, field } from "../dialog.js";
import { backendNames } from "./names.js";

async function importFile(names, after) {
  const backend = select(names, names[0]);
  const file = h("input", { type: "file", accept: ".csv,text/csv", required: true });
  await dialog({
    title: "Import services from CSV", verb: "Import", danger: true,
    body: [h("p", "The whole table of that backend is replaced by the file. Its columns: name, host, port, path, tls, user, timeout, selected."), h("p", "A service for which requests were accepted that have not ended must stay in it."), field("Backend", backend), field("File", file)],
    inputs: { backend },
    act: async (values) => send("/api/v1/services/import", await file.files[0].text(), "text/csv", values), done: (answer) => `${answer.services} services imported${answer.selected ? `, ${answer.selected} is selected` : ""}.`,
  });
  after();
}

async function exportFile(backend) {
  const text = await download("/api/v1/services/export", { backend });
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = h("a", { href: url, download: `services-${backend}.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}

export const services = {
  name: "services", title: "Services", path: "services", key: "s",
  async open(root, ctx) {
    const holder = h("div");
    const exports = h("div.acts");
    root.append(head("Ticketing services", "Where a backend can be reached at several addresses. The selected one counts from the next request on; a request keeps the service that it was accepted for.",
      [exports, act("Import CSV…", "admin", async () => importFile(await backendNames(), () => kept.now()), { small: false })]), holder);
    const grid = table({ label: "Ticketing services", key: (it) => `${it.backend} ${it.name}`, empty: "", columns: [
      { name: "backend", label: "Backend", cell: (it) => it.backend }, { name: "name", label: "Name", cell: (it) => h("strong", it.name) },
      { name: "selected", label: "Selected", cell: (it) => (it.selected ? badge("selected", "ok") : h("span.none", "no")) },
      { name: "host", label: "Host", cell: (it) => it.host }, { name: "port", label: "Port", num: true, cell: (it) => it.port }, { name: "path", label: "Path", cell: (it) => plain(it.path) },
      { name: "tls", label: "TLS", cell: (it) => (it.tls ? "yes" : "no") }, { name: "user", label: "User", cell: (it) => plain(it.user) }, { name: "timeout", label: "Time-out", num: true, cell: (it) => plain(it.timeout) },
      { name: "acts", label: "", cell: (it) => h("div.acts", act("Select…", "operator", () => forced({
        title: `Select ${it.name} for ${it.backend}`, verb: "Select", danger: false, path: ["services", it.backend, "select"], body: { name: it.name }, after: () => kept.now(),
        text: `Requests that are accepted from now on go to ${it.host}:${it.port}. Those that were accepted before go where they were to go.`, done: `${it.name} is selected.`,
      }), { backend: it.backend, why: it.selected ? "it is selected already" : null })) },
    ] });
    const kept = ctx.keep(async (signal) => {
      const { items } = await get("/api/v1/services", {}, { signal });
      const names = [...new Set(items.map((it) => it.backend))];
      fill(exports, names.map((name) => h("button", { type: "button", onclick: () => exportFile(name) }, names.length > 1 ? `Export CSV (${name})` : "Export CSV")));
      if (!items.length) fill(holder, emptyBox("No backend has a table of services", "Each backend is reached at the address in the config. Import a CSV file to give one several addresses, of which one is selected."));
      else {
        if (!grid.element.isConnected) fill(holder, grid.element);
        grid.show(items);
      }
    }, 5000, false);
  },
};
