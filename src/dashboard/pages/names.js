// The names of the backends, for forms and filters.

import { get } from "../api.js";

export async function backendNames() {
  return (await get("/api/v1/lanes")).items.map((lane) => lane.id);
}

// Fills a select of a filter once the names are known; what was chosen stays.
export async function offer(select, chosen) {
  for (const name of await backendNames()) {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    select.append(option);
  }
  select.value = chosen || "";
}
