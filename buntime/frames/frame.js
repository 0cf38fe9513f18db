// The page's side of a frame: docs/micro-frontends.md.
const MESSAGE_MAX = 65536;
const ANSWER_MS = 5000;
const SHELL_MS = 3000;

const handlers = {};
const functions = new Map();
const asked = new Map(); // number -> [resolve, reject, timer]
let port, begin, kept, pass;
let count = 0;
let turn = 0; // of the last NAVIGATE

const all = (name) => (handlers[name] ??= new Set());
const happens = (name, value) => all(name).forEach((handler) => handler(value));

function below({ origin, pathname, search, hash }) {
  const { base } = frame;
  if (origin !== location.origin || !`${pathname}/`.startsWith(`${base}/`)) return null;
  return (pathname.slice(base.length) || "/") + search + hash;
}

function inside(path) {
  const url = new URL(frame.base + path.replace(/^\/?/, "/"), location);
  if (below(url) === null) throw new TypeError(`${path} is not below ${frame.base}/`);
  return url;
}

function send(type, body) {
  const text = JSON.stringify({ ...body, type });
  if (text.length > MESSAGE_MAX) throw new RangeError(`${type} is too long`);
  frame.ready.then(() => port?.postMessage(text));
}

function ask(type, body) {
  return new Promise((resolve, reject) => {
    const id = ++count;
    send(type, { ...body, id });
    const giveUp = () => take.RESULT({ id, error: "no answer of a shell" });
    asked.set(id, [resolve, reject, setTimeout(giveUp, frame.isAlone ? 0 : ANSWER_MS)]);
  });
}

// Without a handler a page stays where it was loaded.
function go(path, load) {
  frame.path = path;
  if (all("navigate").size) happens("navigate", path);
  else load();
}

function put({ theme, ...told }) {
  const { style, dataset } = document.documentElement;
  if (theme?.scheme) style.colorScheme = dataset.theme = theme.scheme;
  Object.entries(theme?.variables ?? {}).forEach((pair) => style.setProperty(...pair));
  Object.assign(frame, told);
}

const take = {
  PROPS({ type, ...told }) {
    put(told);
    happens("props", frame.props);
  },
  EVENT: ({ name, detail }) => happens(`event ${name}`, detail),
  NAVIGATE({ path, turn: latest }) {
    turn = latest;
    go(path, () => send("NAVIGATE", { path, turn, load: true }));
  },
  async CALL({ id, name, args }) {
    try {
      send("RESULT", { id, value: await functions.get(name)(...args) });
    } catch (error) {
      send("RESULT", { id, error: String(error) });
    }
  },
  RESULT({ id, value, error }) {
    const [resolve, reject, timer] = asked.get(id) ?? [];
    clearTimeout(timer);
    if (asked.delete(id)) error === undefined ? resolve(value) : reject(new Error(error));
  },
  DISPOSE() {
    happens("dispose");
    send("DISPOSE");
  },
};

export const frame = {
  isAlone: parent === self,
  props: {},
  language: navigator.language,
  base: new URL(".", document.baseURI).pathname.slice(0, -1),
  path: "/",
  ready: new Promise((resolve) => (begin = resolve)),
  on(name, handler) {
    all(name).add(handler);
    return () => all(name).delete(handler);
  },
  onEvent: (name, handler) => frame.on(`event ${name}`, handler),
  emit: (name, detail) => send("EVENT", { name, detail }),
  expose: (name, work) => functions.set(name, work),
  call: (name, ...args) => ask("CALL", { name, args }),
  navigate(to, { replace } = {}) {
    const path = below(inside(to));
    if (path === frame.path) return;
    if (!frame.isAlone) send("NAVIGATE", { path, replace, turn, load: !all("navigate").size });
    // Alone in a sandbox, a page cannot change its address.
    else if (self.origin !== "null") history[replace ? "replaceState" : "pushState"](0, "", inside(to));
    go(path, () => frame.isAlone && location.reload());
  },
  title: (text) => send("TITLE", { title: (document.title = text) }),
  resize: (height = document.documentElement.scrollHeight) => send("RESIZE", { height }),
  toast: (text, kind = "info") => send("TOAST", { text, kind }),
  error: (text, status) => send("ERROR", { text, status }),
  get state() {
    return kept;
  },
  set state(value) {
    send("STATE", { value });
    kept = value;
  },
  async token() {
    if (frame.isAlone || pass?.until > Date.now()) return pass?.token;
    const { token, seconds } = await ask("TOKEN");
    pass = { token, until: Date.now() + seconds * 1000 - 2 * ANSWER_MS };
    return token;
  },
  async fetch(path, options) {
    await frame.ready;
    for (let tries = 1; ; tries++) {
      const token = await frame.token();
      const request = new Request(inside(path), options);
      if (token) request.headers.set("authorization", `Bearer ${token}`);
      const answer = await fetch(request);
      if (answer.status !== 401 || !token || tries > 1) return answer;
      pass = null;
    }
  },
  async url(path) {
    await frame.ready;
    const url = inside(path);
    const told = frame.isAlone ? url : (await ask("TOKEN", { path: below(url) })).url;
    return new URL(told, url).href;
  },
};

function beAlone() {
  if (port) return;
  put({ isAlone: true, path: below(location) ?? "/" });
  addEventListener("popstate", () => go(below(location), () => location.reload()));
  begin(frame);
}

addEventListener("message", ({ source, origin, data, ports }) => {
  if (port || source !== parent || origin !== location.origin || data?.buntime !== "INIT") return;
  const { state, ...told } = JSON.parse(data.text);
  [port] = ports;
  kept = state;
  put(told);
  port.onmessage = ({ data }) => {
    const told = JSON.parse(data);
    take[told.type]?.(told);
  };
  begin(frame);
  send("READY", { title: document.title });
});

addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]:not([download])");
  const isOther = event.metaKey || event.ctrlKey || event.shiftKey || event.defaultPrevented;
  const path = link && !isOther && /^(_self)?$/.test(link.target) ? below(link) : null;
  if (path === null || (frame.isAlone && !all("navigate").size)) return;
  event.preventDefault();
  frame.navigate(path);
});

if (frame.isAlone) beAlone();
else {
  const path = location.href.slice(location.origin.length);
  parent.postMessage({ buntime: "HELLO", version: 1, path }, "*");
  setTimeout(beAlone, SHELL_MS);
}
