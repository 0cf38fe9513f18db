// Only h() makes elements, from text nodes and attributes: text from an app, a client or an operator
// is never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "circle", "g"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open", "selected"]);

// h("a.quiet", {href: "/x", onclick: f, "aria-label": "…"}, "text", node, [nodes], null)
export function h(tag, props, ...children) {
  if (!props || typeof props !== "object" || props instanceof Node || Array.isArray(props)) return h(tag, {}, props, ...children);
  const [name, ...classes] = tag.split(".");
  const element = SVG_TAGS.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") classes.push(value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) element[key] = value;
    else element.setAttribute(key, value === true ? "" : key === "href" || key === "src" ? safeUrl(value) : value);
  }
  if (classes.length) element.setAttribute("class", classes.join(" ").trim());
  add(element, children);
  return element;
}

// Addresses of http alone: "javascript:…" becomes "#".
function safeUrl(value) {
  const url = URL.parse(value, location.href);
  return /^https?:$/.test(url?.protocol) ? value : "#";
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

// Replaces an element's children.
export function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

// Changes a text only if it differs, so that nothing is announced again and no selection is lost.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;
export const nextId = (name) => `${name}-${++ids}`;

export const button = (text, onclick, props = {}) => h("button", { type: "button", onclick, ...props }, text);

// A button that is disabled until its action has ended.
export function doing(work) {
  return async ({ currentTarget: pressed }) => {
    if (pressed.getAttribute("aria-busy")) return;
    pressed.setAttribute("aria-busy", "true");
    await Promise.resolve(work()).finally(() => pressed.removeAttribute("aria-busy"));
  };
}
