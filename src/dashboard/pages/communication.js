// The communication log: the newest calls to the backends, reads and writes.

import { h } from "../dom.js";
import { number, plain, time, DASH } from "../format.js";
import { head, list, requestLink, ticketLink } from "../parts.js";

const failed = (it) => it.http_status >= 400 || /^(not sent|busy|not done|refused|credentials refused|in doubt)/.test(it.verdict);

export const communication = {
  name: "communication", title: "Communication", path: "communication", key: "m",
  open(root, ctx) {
    root.append(head("Communication", "The newest calls to the backends, from memory: at most 500 of each, and none from before the last start. Neither bodies nor secrets are kept. A request's own story is kept for good."));
    list(root, ctx, {
      url: "/api/v1/communication", label: "Communication", key: (it) => `${it.at} ${it.backend} ${it.what} ${it.request} ${it.attempt}`, every: 2500, ordered: false,
      filters: { backend: { label: "Backend", names: true } },
      columns: [
        { name: "at", label: "At", cell: (it) => time(it.at), sort: (it) => it.at }, { name: "backend", label: "Backend", cell: (it) => it.backend, sort: (it) => it.backend },
        { name: "service", label: "Service", cell: (it) => plain(it.service) }, { name: "what", label: "Command", cell: (it) => it.what, sort: (it) => it.what },
        { name: "attempt", label: "Attempt", num: true, cell: (it) => it.attempt ?? h("span.none", DASH) }, { name: "took", label: "Took", num: true, cell: (it) => `${number(it.took_ms)} ms`, sort: (it) => it.took_ms },
        { name: "http", label: "HTTP", num: true, cell: (it) => (it.http_status ? h(`span${failed(it) ? ".tone-bad" : ""}`, it.http_status) : h("span.none", DASH)), sort: (it) => it.http_status },
        { name: "verdict", label: "Answer", wide: true, cell: (it) => h(`span${failed(it) ? ".tone-bad" : ""}`, it.verdict) },
        { name: "request", label: "Request", cell: (it) => requestLink(it.request) || h("span.none", DASH) }, { name: "ticket", label: "Ticket", cell: (it) => ticketLink(it.ticket) || h("span.none", DASH) },
      ],
      empty: "No call was made since the start.",
    });
  },
};
