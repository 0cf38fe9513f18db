// Elements are made by h() alone, from text nodes and attributes: what an app, a client or an
// operator has written is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "polyline", "polygon", "rect", "circle", "g"]);
const PROPERTIES = new Set([
  "value", "checked", "disabled", "hidden", "open", "selected", "tabIndex",
  "columns", "rows", "series", "schema", "values", "empty", "rowKey", "href_of", "text",
]);
const LINKS = new Set(["href", "src", "action"]);

// h("a.quiet", {href: "/x", onclick: f, "aria-label": "…"}, "text", node, [nodes], null)
export function h(tag, props, ...children) {
  if (props !== undefined && (props === null || typeof props !== "object" || props instanceof Node || Array.isArray(props))) {
    children.unshift(props);
    props = {};
  }
  const [name, ...classes] = tag.split(".");
  const element = SVG_TAGS.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props ?? {})) set(element, key, value);
  add(element, children);
  return element;
}

function set(element, key, value) {
  if (value === null || value === undefined || value === false) {
    if (PROPERTIES.has(key) && key in element && value === false) element[key] = false;
    return;
  }
  if (key === "class") element.classList.add(...String(value).split(" ").filter(Boolean));
  else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (key === "data") Object.assign(element.dataset, value);
  else if (PROPERTIES.has(key) && !(element instanceof SVGElement)) element[key] = value;
  else if (LINKS.has(key)) element.setAttribute(key, safeUrl(value));
  else element.setAttribute(key, value === true ? "" : String(value));
}

// Addresses of http alone: "javascript:…" becomes "#".
export function safeUrl(value) {
  const text = String(value);
  try {
    return /^https?:$/.test(new URL(text, document.baseURI).protocol) ? text : "#";
  } catch {
    return "#";
  }
}

function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) add(element, child);
    else element.append(child); // a Node, or text
  }
}

// Puts children in the place of what an element had.
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

// Changes a text only where it is another one, so that nothing is announced or selected anew.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;
export const nextId = (name = "i") => `${name}-${++ids}`;

export function button(text, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, text);
}

// A button that cannot be pressed again until what it does has ended.
export function doing(work) {
  return async (event) => {
    const pressed = event.currentTarget;
    if (pressed.getAttribute("aria-busy")) return;
    pressed.setAttribute("aria-busy", "true");
    try {
      await work(event);
    } finally {
      pressed.removeAttribute("aria-busy");
    }
  };
}
