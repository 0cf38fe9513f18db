// The runtime's API: JSON, lines as they come, and one stream of events for the whole page. The
// session's cookie is sent automatically; writes carry its CSRF token.

let prefix = "";
let csrf = "";
let onSignedOut = () => {};
export const signedOut = (work) => { onSignedOut = work; };
let onSession = () => {};
export const sessionFound = (work) => { onSession = work; };

export class ApiError extends Error {
  constructor(code, message, requestId = null, status = 0) {
    super(message);
    Object.assign(this, { code, requestId, status });
  }
}

// Automatic requests of the page must not extend a session: somebody must have touched it.
const ATTENDED_MS = 120_000;
let touched = Date.now();
export const touch = () => { touched = Date.now(); };
for (const kind of ["pointerdown", "keydown", "wheel"]) addEventListener(kind, touch, { capture: true, passive: true });

export function address(path, query = {}) {
  const url = new URL(prefix + path, location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value || value === 0) url.searchParams.set(name, value === true ? "1" : value);
  }
  return url;
}

// Segments of a path: "@acme/shop" has two.
export const name = (text) => text.split("/").map(encodeURIComponent).join("/").replaceAll("%40", "@");

// Returns the Response of a 2xx answer; raises ApiError otherwise. `type` and `accept` are for a body
// and an answer that are not JSON.
export async function send(method, path, { query, body, dryRun, etag, accept, type, signal } = {}) {
  const headers = { accept: accept ?? "application/json" };
  if (method !== "GET") headers["x-buntime-csrf"] = csrf;
  if (Date.now() - touched > ATTENDED_MS) headers["x-buntime-unattended"] = "1";
  if (etag) headers["if-match"] = etag;
  if (body !== undefined) headers["content-type"] = type ?? "application/json";
  let answer;
  try {
    answer = await fetch(address(path, { ...query, dryRun }), {
      method, headers, signal, body: body === undefined || type ? body : JSON.stringify(body), cache: "no-store",
    });
  } catch (error) {
    throw signal?.aborted ? error : new ApiError("unreachable", "");
  }
  if (answer.ok) return answer;
  const { code, message, requestId } = (await answer.json().catch(() => null))?.error ?? {};
  if (answer.status === 401 && path !== "/api/session") onSignedOut();
  throw new ApiError(code ?? "unknown", message ?? `${method} ${path}: ${answer.status}`, requestId, answer.status);
}

// An answer's ETag becomes `etag`, a property that is not enumerated.
async function json(method, path, options) {
  const answer = await send(method, path, options);
  if (answer.status === 204) return null;
  return Object.defineProperty(await answer.json(), "etag", { value: answer.headers.get("etag") });
}
export const get = (path, options) => json("GET", path, options);
export const post = (path, options) => json("POST", path, options);
export const put = (path, options) => json("PUT", path, options);
export const patch = (path, options) => json("PATCH", path, options);
export const del = (path, options) => json("DELETE", path, options);

// All entries of a list that comes in pages: all("/api/apps", "apps").
export async function all(path, key) {
  const found = [];
  for (let cursor; cursor !== null;) {
    const page = await get(path, { query: { limit: 500, cursor } });
    found.push(...page[key]);
    cursor = page.next;
  }
  return found;
}

// The signed-in operator, or null. Finds out, once, whether the API has a prefix.
export async function session() {
  try {
    return opened(await get("/api/session"));
  } catch (error) {
    if (error.status === 401) return null;
    if (error.status !== 404 || prefix) throw error;
    prefix = (await (await fetch("/.well-known/buntime")).json()).api.replace(/\/api$/, "");
    if (!prefix) throw error;
    return session();
  }
}
export const signIn = async (key) => opened(await post("/api/session", { body: { key } }));
export const signOut = () => del("/api/session");

function opened(found) {
  csrf = found.csrf;
  return found;
}

// Reads lines of JSON; `take` gets the lines that arrived together.
export async function lines(method, path, options, take) {
  const answer = await send(method, path, { accept: "application/x-ndjson", ...options });
  options.opened?.();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value = "\n" } = await reader.read();
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    const whole = parts.filter(Boolean).map(JSON.parse);
    if (whole.length) take(whole);
    if (done) return;
  }
}

// Waits grow from 1 s to 30 s, with some jitter so that not all tabs reconnect at once.
const pause = (failures) => Math.min(30, 2 ** failures) * (0.75 + Math.random() / 2);

// Follows lines while the page is visible, and reconnects by itself. Calls `query()` at each attempt,
// and `state` with "live", "lost" or "paused". Returns a function that ends it.
export function follow(path, { query, take, state = () => {} }) {
  let failures = 0;
  let timer = 0;
  let control = new AbortController();
  async function run() {
    const { signal } = (control = new AbortController());
    try {
      await lines("GET", path, { query: query(), signal, opened() { failures = 0; state("live"); } }, take);
    } catch (error) {
      if (!signal.aborted && error.status >= 400 && error.status < 500) return state("lost", error);
    }
    if (signal.aborted) return;
    state("lost");
    timer = setTimeout(run, pause(failures++) * 1000);
  }
  function end() {
    clearTimeout(timer);
    control.abort();
  }
  function seen() {
    end();
    if (document.hidden) state("paused");
    else run();
  }
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    end();
    document.removeEventListener("visibilitychange", seen);
  };
}

// One EventSource for all listeners, open while there are some and the page is visible.
const KINDS = ["stats", "apps", "workers", "plugins", "deploys", "menus", "attention"];
const listeners = new Set();
let source = null;
let failures = 0;
let timer = 0;
let watch = 0;
let wasOpen = false;
const SILENT_MS = 15_000; // `stats` come every two seconds

// `handlers` by kind: {apps(value) {}, open(isAgain) {}, lost(seconds) {}}. Returns a function that
// ends it.
export function events(handlers) {
  listeners.add(handlers);
  connect();
  return () => {
    listeners.delete(handlers);
    if (listeners.size) return;
    disconnect();
    wasOpen = false;
  };
}

export function reconnect() {
  failures = 0;
  disconnect();
  connect();
}

// Without a network the stream reports no error.
function hear() {
  clearTimeout(watch);
  watch = setTimeout(lose, SILENT_MS);
}

// A request that fails now is repeated when the connection is back.
function tell(kind, value) {
  for (const handlers of [...listeners]) Promise.resolve(handlers[kind]?.(value)).catch(() => {});
}

function connect() {
  if (source || document.hidden || !listeners.size) return;
  clearTimeout(timer);
  source = new EventSource(address("/api/events"));
  source.onopen = () => {
    failures = 0;
    tell("open", wasOpen);
    if (wasOpen) look();
    wasOpen = true;
    hear();
  };
  source.onerror = lose;
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      hear();
      tell(kind, JSON.parse(event.data));
    });
  }
}

function lose() {
  if (!listeners.size) return;
  disconnect();
  const seconds = pause(failures++);
  tell("lost", seconds);
  timer = setTimeout(connect, seconds * 1000);
  look();
}

// In another tab somebody may have signed out meanwhile, and somebody else in.
async function look() {
  const found = await session().catch(() => undefined);
  if (found === null) onSignedOut();
  else if (found) onSession(found);
}

function disconnect() {
  clearTimeout(timer);
  clearTimeout(watch);
  source?.close();
  source = null;
}
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : reconnect()));
addEventListener("online", reconnect);
addEventListener("offline", lose);
