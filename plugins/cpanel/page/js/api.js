// The runtime's API: JSON, streams of lines, and one stream of events for all of the page.
// The session's cookie goes by itself; what changes something bears its CSRF token.

let prefix = "";
let csrf = "";
let onSignedOut = () => {};

export class ApiError extends Error {
  constructor(code, message, requestId = null, status = 0) {
    super(message);
    this.code = code;
    this.requestId = requestId;
    this.status = status;
  }
}

export const signedOut = (work) => { onSignedOut = work; };
export const address = (path, query) => {
  const url = new URL(prefix + path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      url.searchParams.set(name, value === true ? "1" : value);
    }
  }
  return url;
};

// `path` is "/api/…"; gives the Response of an answer that is 2xx, raises ApiError otherwise.
export async function send(method, path, options = {}) {
  const { query, body, dryRun, etag, accept, type, signal, keepalive } = options;
  const headers = { accept: accept ?? "application/json" };
  if (method !== "GET") headers["x-buntime-csrf"] = csrf;
  if (etag) headers["if-match"] = etag;
  let content = body;
  if (type) headers["content-type"] = type;
  else if (body !== undefined) {
    headers["content-type"] = "application/json";
    content = JSON.stringify(body);
  }
  let answer;
  try {
    const url = address(path, { ...query, dryRun });
    answer = await fetch(url, { method, headers, body: content, signal, keepalive, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", "");
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => null))?.error ?? {};
  const code = told.code ?? `status_${answer.status}`;
  if (answer.status === 401 && path !== "/api/session") onSignedOut();
  throw new ApiError(code, told.message ?? `${method} ${path}: ${answer.status}`, told.requestId ?? null, answer.status);
}

async function json(method, path, options) {
  const answer = await send(method, path, options);
  const value = answer.status === 204 ? null : await answer.json();
  const etag = answer.headers.get("etag");
  if (etag && value && typeof value === "object") Object.defineProperty(value, "etag", { value: etag });
  return value;
}

export const get = (path, options) => json("GET", path, options);
export const post = (path, options) => json("POST", path, options);
export const put = (path, options) => json("PUT", path, options);
export const del = (path, options) => json("DELETE", path, options);

// "shop" -> "shop", "@acme/shop" -> "@acme/shop": each segment is made safe for a path.
export const name = (text) => text.split("/").map(encodeURIComponent).join("/").replaceAll("%40", "@");

// Who is signed in, or null. Where the API has a prefix, it is found out here, once.
export async function session() {
  try {
    return opened(await get("/api/session"));
  } catch (error) {
    if (error.status === 401) return null;
    if (error.status !== 404 || prefix) throw error;
  }
  const found = await (await fetch("/.well-known/buntime")).json();
  prefix = String(found.api ?? "/api").replace(/\/api\/?$/, "");
  if (!prefix) throw new ApiError("not_found", "no sessions here", null, 404);
  return session();
}

export const signIn = async (key) => opened(await post("/api/session", { body: { key } }));
export async function signOut() {
  await del("/api/session");
  csrf = "";
}

function opened(found) {
  csrf = found.csrf;
  return found;
}

// Reads lines of JSON as they come; `take` gets those that came together.
export async function lines(method, path, options, take) {
  const answer = await send(method, path, { accept: "application/x-ndjson", ...options });
  options.opened?.();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    const whole = parts.filter((part) => part.trim()).map((part) => JSON.parse(part));
    if (whole.length) take(whole);
  }
  if (rest.trim()) take([JSON.parse(rest)]);
}

// Waits that grow from 1 s to 30 s, a little apart so that not all tabs come back at once.
const pause = (failures) => Math.min(30, 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2) * 1000;

// Follows lines for as long as the page is seen, and comes back by itself. Options: `query()` for
// each attempt, `take(lines)`, `state("live" | "lost" | "paused", error)`. Gives what ends it.
export function follow(path, { query, take, state = () => {} }) {
  let failures = 0;
  let timer = 0;
  let control = null;
  let ended = false;
  async function run() {
    clearTimeout(timer);
    control = new AbortController();
    const { signal } = control;
    try {
      const opened = () => {
        failures = 0;
        state("live");
      };
      await lines("GET", path, { query: query(), signal, opened }, take);
      if (!ended && !signal.aborted) again();
    } catch (error) {
      if (ended || signal.aborted) return;
      if (error.status >= 400 && error.status < 500) return state("lost", error);
      again(error);
    }
  }
  function again(error = null) {
    failures += 1;
    state("lost", error);
    timer = setTimeout(run, pause(failures - 1));
  }
  function seen() {
    if (document.hidden) {
      clearTimeout(timer);
      control?.abort();
      state("paused");
    } else run();
  }
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    ended = true;
    clearTimeout(timer);
    control?.abort();
    document.removeEventListener("visibilitychange", seen);
  };
}

// One EventSource for all that listen, open while somebody does and the page is seen.
const NAMES = ["stats", "apps", "workers", "plugins", "deploys", "menus", "attention"];
const listeners = new Set();
let source = null;
let failures = 0;
let timer = 0;
let wasOpen = false;

// `handlers` by name of an event: {apps(value) {}, open(isAgain) {}, lost(seconds) {}}.
export function events(handlers) {
  listeners.add(handlers);
  connect();
  return () => {
    listeners.delete(handlers);
    if (!listeners.size) disconnect();
  };
}

export function reconnect() {
  failures = 0;
  disconnect();
  connect();
}

function tell(name, value) {
  for (const handlers of [...listeners]) handlers[name]?.(value);
}

function connect() {
  if (source || document.hidden || !listeners.size) return;
  clearTimeout(timer);
  source = new EventSource(address("/api/events"));
  source.onopen = () => {
    failures = 0;
    tell("open", wasOpen);
    wasOpen = true;
  };
  source.onerror = lose;
  for (const name of NAMES) {
    source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
  }
}

async function lose() {
  disconnect();
  const wait = pause(failures);
  failures += 1;
  tell("lost", wait / 1000);
  timer = setTimeout(connect, wait);
  try {
    if ((await session()) === null) onSignedOut();
  } catch {
    // the runtime is away; it is tried again
  }
}

function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : reconnect()));
addEventListener("online", reconnect);
