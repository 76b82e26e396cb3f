// All pages, in the order in which somebody at three in the morning needs them.

import { limitedTo, maybe } from "./api.js";
import { overview } from "./pages/overview.js";
import { alarms, alarm } from "./pages/alarms.js";
import { tickets, ticket } from "./pages/tickets.js";
import { undecided } from "./pages/undecided.js";
import { requests, request } from "./pages/requests.js";
import { parked, parkedOne } from "./pages/parked.js";
import { lanes } from "./pages/lanes.js";
import { clients, client } from "./pages/clients.js";
import { backends } from "./pages/backends.js";
import { services } from "./pages/services.js";
import { routes } from "./pages/routes.js";
import { communication } from "./pages/communication.js";
import { heartbeats } from "./pages/heartbeats.js";
import { sync, syncOne } from "./pages/sync.js";
import { statusOverview, made, failed } from "./pages/history.js";
import { config } from "./pages/config.js";
import { audit } from "./pages/audit.js";
import { debug } from "./pages/debug.js";
import { missing } from "./pages/missing.js";

sync.needs = async () => Boolean((await maybe("/api/v1/sync"))?.items.length);
// What concerns every backend is not for whoever is limited to some; to ask for it all the same would be an
// error in the browser's own log.
parked.needs = async () => !limitedTo();
debug.needs = async () => Boolean((await maybe("/api/v1/overview"))?.debug_page);
sync.hidden = debug.hidden = true;

export const GROUPS = [
  { title: "Now", pages: [overview, alarms, tickets, undecided, requests, parked] },
  { title: "The way out", pages: [lanes, clients, backends, services, routes, communication, sync, heartbeats] },
  { title: "What has ended", pages: [statusOverview, made, failed] },
  { title: "This service", pages: [config, audit, debug] },
];

export const PAGES = GROUPS.flatMap((group) => group.pages);
// Pages of one thing: the first part of their address is that of the list.
const ONES = { alarms: [alarm, 3], tickets: [ticket, 2], requests: [request, 2], clients: [client, 2], parked: [parkedOne, 2], sync: [syncOne, 2] };

export function pageOf(parts) {
  if (!parts.length) return overview;
  const [one, length] = ONES[parts[0]] || [];
  if (one && parts.length === length) return one;
  return PAGES.find((page) => page.path === parts.join("/")) || missing;
}
