// Who did what, and why.

import { h } from "../dom.js";
import { time } from "../format.js";
import { head, list } from "../parts.js";

export const audit = {
  name: "audit", title: "Audit", path: "audit", key: "d",
  open(root, ctx) {
    root.append(head("Audit", "Everything that a person has forced, settled or changed, with the reason that was given."));
    list(root, ctx, {
      url: "/api/v1/audit", label: "Audit", key: (it) => it.n, every: 5000,
      filters: { who: { label: "Who", placeholder: "an exact name" } },
      columns: [
        { name: "at", label: "At", cell: (it) => time(it.at), sort: (it) => it.at }, { name: "who", label: "Who", cell: (it) => it.who, sort: (it) => it.who },
        { name: "what", label: "What", wide: true, cell: (it) => it.what, sort: (it) => it.what }, { name: "why", label: "Why", wide: true, cell: (it) => h("span.muted", it.why) },
      ],
      empty: "Nobody has forced anything yet.",
    });
  },
};
