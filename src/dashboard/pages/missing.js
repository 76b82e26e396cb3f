import { emptyBox, link } from "../parts.js";

export const missing = {
  name: "missing", title: "No such page",
  open(root) {
    root.append(emptyBox("There is no such page", ["Perhaps the address was cut off. ", link("", "To the overview"), "."]));
  },
};
