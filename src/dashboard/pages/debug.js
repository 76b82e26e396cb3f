// The debug page, off by default: the processing lock and the pending queue of each lane.

import { get } from "../api.js";
import { number, plain, time } from "../format.js";
import { head, section, requestLink } from "../parts.js";
import { table } from "../table.js";

export const debug = {
  name: "debug", title: "Debug", path: "debug",
  open(root, ctx) {
    const locks = table({ label: "Ticket queue processing lock", key: (it) => it.id, empty: "No lane.", columns: [
      { name: "id", label: "Lane", cell: (it) => it.id }, { name: "lock", label: "Processing lock", cell: (it) => (it.in_flight ? "held by a call" : "free") }, { name: "flight", label: "In flight", wide: true, cell: (it) => plain(it.in_flight) },
      { name: "held", label: "Why no call is made", wide: true, cell: (it) => plain(it.held) }, { name: "heads", label: "Heads in memory", num: true, cell: (it) => number(it.heads) }, { name: "searches", label: "Searches", num: true, cell: (it) => number(it.searches) }, { name: "gait", label: "Gait", cell: (it) => plain(it.gait) },
    ] });
    const queue = table({ label: "Pending ticket creation queue", key: (it) => it.id, empty: "The queue is empty.", columns: [
      { name: "n", label: "n", num: true, cell: (it) => it.n }, { name: "id", label: "Request", cell: (it) => requestLink(it.id) }, { name: "backend", label: "Backend", cell: (it) => it.backend }, { name: "op", label: "What", cell: (it) => it.op }, { name: "state", label: "State", cell: (it) => it.state }, { name: "ready", label: "Ready at", cell: (it) => time(it.ready_at) },
    ] });
    root.append(head("Debug", "For those who look for a fault in Ticketgate itself; switched on by http.debug_page in the config."), section("Ticket queue processing lock", locks.element), section("Pending ticket creation queue", queue.element));
    ctx.keep(async (signal) => {
      locks.show((await get("/api/v1/lanes", {}, { signal })).items);
      queue.show((await get("/api/v1/requests", { open: "true", limit: 100 }, { signal })).items);
    }, 1500);
  },
};
