// Pages by URL, below the base of the panel. A page is a module below pages/ that exports `title`,
// a key of the catalogue or a function of the params, and `render(root, params, context)`, which may
// return a function that ends what it began.
import { ApiError, events } from "./api.js";
import { fill, h, say } from "./dom.js";
import { t } from "./i18n.js";
import { header, problem } from "./components/parts.js";

const NAME = "((?:@[^/@]+/)?[^/@]+)";
const ROUTES = [
  ["", "overview"],
  ["apps", "apps"],
  [`apps/${NAME}`, "app", "app"],
  ["workers", "workers"],
  ["plugins", "plugins"],
  [`plugins/${NAME}`, "plugins", "plugin"],
  ["logs", "logs"],
  ["users", "users"],
  ["users/([^/]+)", "users", "user"],
  ["keys", "keys"],
  ["audit", "audit"],
  ["settings", "settings"],
  ["access", "access"],
].map(([path, page, param]) => ({ pattern: new RegExp(`^${path}/?$`), page, param }));

export const base = new URL("../", import.meta.url).pathname; // "/cpanel/" on every page
let root = null;
let context = {};
let dispose = null;
let turn = 0;
let shown = { page: null, params: {} };
let onShown = () => {};

export const current = () => shown;
// The base of the plugin or app at a path outside of the panel: "/keyval", "/@acme/shop".
export const baseOf = (pathname) => (pathname.startsWith(base) ? null : /^\/(?:@[^/]+\/)?[^/]+/.exec(pathname)?.[0] ?? null);
export const href = (path = "") => base + path;

// The page at a path of the panel: {page, params}, or null if there is none.
export function match(pathname) {
  if (!pathname.startsWith(base)) return null;
  const path = decodeURIComponent(pathname.slice(base.length));
  for (const { pattern, page, param } of ROUTES) {
    const found = pattern.exec(path);
    if (found) return { page, params: param ? { [param]: found[1] } : {} };
  }
  return null;
}

export function start(place, given, shownWork) {
  root = place;
  context = given;
  onShown = shownWork;
  addEventListener("popstate", show);
  document.addEventListener("click", follow);
  return show();
}

export function stop() {
  removeEventListener("popstate", show);
  document.removeEventListener("click", follow);
  turn += 1;
  end();
}

// Goes to a path, "/cpanel/apps", with its query.
export function go(path, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  return show();
}

// Changes the query of the current page, without drawing it again.
export function query(values) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  history.replaceState(null, "", url);
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !isPlain || link.target || link.hasAttribute("download")) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !(context.takes?.(url) ?? match(url.pathname))) return;
  event.preventDefault();
  if (url.href !== location.href) go(url.pathname + url.search);
}

function end() {
  const ending = dispose;
  dispose = null;
  return typeof ending === "function" ? ending() : undefined;
}

export async function show() {
  const mine = ++turn;
  const found = match(location.pathname) ?? { page: "frame", params: { base: baseOf(location.pathname) } };
  const wasShown = shown.page !== null;
  const isOther = found.page !== shown.page || JSON.stringify(found.params) !== JSON.stringify(shown.params);
  if (!isOther && dispose?.move) {
    onShown(found);
    return dispose.move();
  }
  await end();
  if (mine !== turn) return;
  root.setAttribute("aria-busy", "true");
  let name = "";
  try {
    const page = await import(`./pages/${found.page}.js`).catch(() => { throw new ApiError("unreachable", ""); });
    if (mine !== turn) return;
    shown = found;
    title(name = typeof page.title === "function" ? page.title(found.params) : t(page.title));
    onShown(found);
    fill(root);
    if (isOther) scrollTo(0, 0);
    const ending = await page.render(root, found.params, { ...context, query: new URL(location.href).searchParams });
    if (mine === turn) dispose = ending;
    else if (typeof ending === "function") ending();
  } catch (error) {
    if (mine !== turn) return;
    fill(root, header(name || Object.values(found.params)[0] || t(`${found.page}.title`)), problem(error, show));
    if (error.code === "unreachable") dispose = events({ open: show });
  }
  if (mine !== turn) return;
  root.removeAttribute("aria-busy");
  if (isOther && wasShown && document.activeElement === document.body) root.focus({ preventScroll: true });
}

export function title(text) {
  document.title = text ? `${text} · Buntime` : "Buntime";
  const said = document.getElementById("said");
  if (said) say(said, text);
}

export const link = (text, path, props = {}) => h("a", { href: href(path), ...props }, text);
