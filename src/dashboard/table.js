// A table that is read again and again without flicker: rows stay where they are, and only those
// that changed are drawn anew, so that focus and selection survive.

import { h, fill } from "./dom.js";

const signature = (cells) => cells.map((cell) => (cell instanceof Node ? cell.outerHTML : String(cell ?? ""))).join("\u0001");

// columns: [{name, label, cell(row), num, sort(row), wide}]; key(row) names a row.
export function table({ label, columns, key, empty, sortBy = null, rowClass = null }) {
  const body = h("tbody");
  const heads = columns.map((column) => head(column));
  const hint = h("caption.sr", label);
  const element = h("table", hint, h("thead", h("tr", heads)), body);
  const holder = h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, element);
  const rows = new Map();
  let items = [];
  let order = sortBy;

  function head(column) {
    const attributes = { scope: "col", class: column.num ? "num" : null };
    if (!column.sort) {
      return h("th", attributes, column.label || h("span.sr", column.name));
    }
    const button = h("button.sort", { type: "button", title: "Sorts the rows shown", onclick: () => {
      const down = order && order.name === column.name && !order.down;
      order = { name: column.name, down };
      draw();
    } }, column.label);
    return h("th", attributes, button);
  }

  function sorted() {
    const column = order && columns.find((it) => it.name === order.name);
    if (!column) return items;
    const turn = order.down ? -1 : 1;
    return [...items].sort((one, other) => {
      const [a, b] = [column.sort(one), column.sort(other)];
      if (a === b) return 0;
      if (a === null || a === undefined) return 1;
      if (b === null || b === undefined) return -1;
      return (a < b ? -1 : 1) * turn;
    });
  }

  function draw() {
    columns.forEach((column, n) => {
      const on = order && order.name === column.name;
      const head = heads[n];
      if (on) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const seen = new Set();
    const drawn = sorted().map((item) => {
      const name = String(key(item));
      seen.add(name);
      const cells = columns.map((column) => column.cell(item));
      const sign = signature(cells);
      let row = rows.get(name);
      if (!row || row.sign !== sign) {
        const place = row ? [...row.element.querySelectorAll("a,button,input")].indexOf(document.activeElement) : -1;
        const tds = cells.map((cell, n) => h("td", {
          class: [columns[n].num && "num", columns[n].wide && "wide", columns[n].cls].filter(Boolean).join(" ") || null,
        }, cell));
        const fresh = row ? row.element : h("tr");
        const open = [...fresh.querySelectorAll("details")].map((one) => one.open);
        fill(fresh, tds);
        fresh.querySelectorAll("details").forEach((one, n) => {
          one.open = Boolean(open[n]);
        });
        if (place >= 0) fresh.querySelectorAll("a,button,input")[place]?.focus();
        row = { element: fresh, sign };
        rows.set(name, row);
      }
      row.element.className = rowClass ? rowClass(item) || "" : "";
      row.element.dataset.key = name;
      return row.element;
    });
    for (const name of rows.keys()) if (!seen.has(name)) rows.delete(name);
    if (!drawn.length) {
      fill(body, h("tr.empty", h("td", { colspan: String(columns.length) }, empty)));
    } else {
      // Only rows that are out of place are moved: moving one takes its focus away.
      drawn.forEach((row, n) => {
        if (body.children[n] !== row) body.insertBefore(row, body.children[n] || null);
      });
      while (body.children.length > drawn.length) body.lastChild.remove();
    }
  }
  return {
    element: holder,
    show(rowsNow) {
      items = rowsNow;
      draw();
    },
  };
}
