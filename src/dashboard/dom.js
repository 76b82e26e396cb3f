// Elements without markup: whatever comes from outside is text, and is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function put(element, child) {
  if (child === null || child === undefined || child === false) return;
  if (Array.isArray(child)) child.forEach((one) => put(element, one));
  else if (child instanceof Node) element.append(child);
  else element.append(document.createTextNode(String(child)));
}

function dress(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

// h("button.primary", {onclick}, "Save"): an element by its name and classes.
export function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  const plain = attributes && typeof attributes === "object" && !Array.isArray(attributes)
    && !(attributes instanceof Node);
  if (plain) {
    // The children first: a select has its value only once it has its options.
    children.forEach((child) => put(element, child));
    dress(element, attributes);
  } else {
    [attributes, ...children].forEach((child) => put(element, child));
  }
  return element;
}

// The same for SVG.
export function s(name, attributes, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElementNS(SVG, tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  dress(element, attributes || {});
  children.forEach((child) => put(element, child));
  return element;
}

// Replaces what an element holds.
export function fill(element, ...children) {
  const holder = document.createDocumentFragment();
  children.forEach((child) => put(holder, child));
  element.replaceChildren(holder);
  return element;
}
