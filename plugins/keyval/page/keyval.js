// The page of keyval: in a frame it uses the shell's token, otherwise an operator's key. Values of apps
// are shown by textContent, never as HTML.
import { frame } from "/.well-known/buntime/frame.js";

const find = (id) => document.getElementById(id);
let operatorsKey = ""; // only in memory: other pages of this origin can read stored data
let space = "";
let lastKey = ""; // the last key that is shown
let queue = { name: "", dead: false, last: 0 };
let opened = null; // the version of the entry in the editor, 0 for a new one

async function ask(method, path, query = {}, options = {}) {
  const headers = { ...(operatorsKey && { "x-api-key": operatorsKey }), ...options.headers };
  const asked = { method, headers, body: options.body, credentials: "omit" };
  const answer = await frame.fetch(`api/${path}?${new URLSearchParams(query)}`, asked);
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Error(said.error?.message ?? `the server answered ${answer.status}`);
}

const told = async (...request) => (await ask(...request)).json();

function say(text, isFault = false, place = find("status")) {
  place.textContent = text;
  place.classList.toggle("fault", isFault);
}

// Runs the action of a click or form; errors are shown in `place`.
function doing(work, place) {
  return async (event) => {
    event?.preventDefault();
    try {
      say("", false, place);
      await work(event);
    } catch (error) {
      say(error.message, true, place);
    }
  };
}

function made(name, text = "", options = {}) {
  const element = document.createElement(name);
  element.textContent = text;
  if (options.class) element.className = options.class;
  return element;
}

function button(text, work, className = "") {
  const element = made("button", text, { class: className });
  element.type = "button";
  element.addEventListener("click", doing(work));
  return element;
}

function row(...cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const place = line.insertCell();
    if (cell instanceof Node) place.append(cell);
    else place.textContent = cell;
  }
  return line;
}

const when = (seconds) => (seconds === null ? "never" : new Date(seconds * 1000).toLocaleString());
const size = (bytes) => (bytes < 10240 ? `${bytes} B` : `${(bytes / 1048576).toFixed(2)} MiB`);

// Spaces

async function showSpaces() {
  const { spaces, most } = await told("GET", "spaces");
  const items = spaces.map((each) => {
    const item = document.createElement("li");
    const chosen = button(each.name, () => frame.navigate(`/?${new URLSearchParams({ space: each.name })}`));
    chosen.setAttribute("aria-current", String(each.name === space));
    const counts = `${each.entries} keys, ${each.messages} messages, ${size(each.bytes)} of ${size(most)}`;
    item.append(chosen, made("span", counts, { class: "small" }));
    return item;
  });
  find("spaces").replaceChildren(...items);
  find("content").hidden = false;
  if (!spaces.length) say("No app or plugin has written anything yet.");
}

// Shows what the address names: "/" all spaces, "/?space=app:shop" also the entries of one.
async function show() {
  space = new URLSearchParams(frame.path.replace(/^[^?]*/, "").replace(/#.*/, "")).get("space") ?? "";
  frame.title(space ? `${space} · Key-value store` : "Key-value store");
  find("space-name").textContent = space;
  find("space").hidden = !space;
  find("queue").hidden = true;
  if (!space) return showSpaces();
  await Promise.all([showSpaces(), showEntries(), showQueues()]);
}

// Entries

async function showEntries(isMore = false) {
  const query = { space, prefix: find("prefix").value.trim(), after: isMore ? lastKey : "" };
  const { entries, more } = await told("GET", "entries", query);
  const rows = entries.map((each) => {
    const value = each.kind === "bytes" ? `${each.preview} (bytes)` : each.preview;
    const key = button(each.key, () => edit(each.key), "link");
    const line = row(key, value, String(each.bytes), String(each.version), when(each.expires));
    line.cells[0].className = "key";
    line.cells[1].className = "value";
    return line;
  });
  const place = find("entries");
  if (isMore) place.append(...rows);
  else place.replaceChildren(...rows);
  lastKey = entries.at(-1)?.key ?? lastKey;
  find("more-entries").hidden = !more;
}

const hexOf = (buffer) =>
  [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function bytesOf(hex) {
  const digits = hex.replace(/\s/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("the bytes are not in hexadecimal");
  return new Uint8Array((digits.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
}

async function edit(key) {
  const answer = await ask("GET", "entry", { space, key });
  const isJson = answer.headers.get("content-type").startsWith("application/json");
  const expires = answer.headers.get("x-expires");
  const left = expires ? Math.max(1, Math.round(expires - Date.now() / 1000)) : "";
  const value = isJson ? await answer.text() : hexOf(await answer.arrayBuffer());
  openEditor({ key, tag: answer.headers.get("etag"), kind: isJson ? "json" : "bytes", value, left });
}

function openEditor(entry) {
  opened = entry;
  say("", false, find("entry-status"));
  find("entry-key").value = entry.key;
  find("entry-key").readOnly = Boolean(entry.tag);
  find("entry-kind").value = entry.kind;
  find("entry-value").value = entry.value;
  find("entry-ttl").value = entry.left;
  find("entry-delete").hidden = !entry.tag;
  find("entry-delete").textContent = "Delete";
  delete find("entry-delete").dataset.isSure;
  find("editor").showModal();
}

function expected() {
  return opened.tag ? { "if-match": opened.tag } : { "if-none-match": "*" };
}

async function save() {
  const isJson = find("entry-kind").value === "json";
  const text = find("entry-value").value;
  const type = isJson ? "application/json" : "application/octet-stream";
  const query = { space, key: find("entry-key").value };
  const ttl = find("entry-ttl").value.trim();
  if (ttl) query.ttl = ttl;
  const body = isJson ? text : bytesOf(text);
  await ask("PUT", "entry", query, { body, headers: { "content-type": type, ...expected() } });
  await closeEditor("Saved.");
}

// A sandboxed frame may not open the browser's dialogs.
async function remove() {
  const asks = find("entry-delete");
  if (!asks.dataset.isSure) {
    asks.dataset.isSure = "yes";
    asks.textContent = "Delete for good";
    return;
  }
  await ask("DELETE", "entry", { space, key: opened.key }, { headers: expected() });
  await closeEditor("Deleted.");
}

async function closeEditor(text) {
  find("editor").close();
  await Promise.all([showSpaces(), showEntries()]);
  say(text);
  frame.toast(text, "success");
}

// Queues

async function showQueues() {
  const { queues } = await told("GET", "queues", { space });
  const rows = queues.map((each) => {
    const living = button(each.queue, () => showQueue(each.queue, false), "link");
    const dead = button(String(each.dead), () => showQueue(each.queue, true), "link");
    dead.setAttribute("aria-label", `${each.dead} dead messages of ${each.queue}`);
    return row(living, String(each.ready), String(each.later), dead);
  });
  find("queues").replaceChildren(...rows);
}

async function showQueue(name, dead, isMore = false) {
  if (!isMore) queue = { name, dead, last: 0 };
  const query = { space, queue: name, dead: dead ? "1" : "0", after: String(queue.last) };
  const { messages, more } = await told("GET", "messages", query);
  find("queue-name").textContent = dead ? `${name}: dead messages` : name;
  const rows = messages.map((each) => {
    const todo = document.createElement("span");
    if (dead) {
      todo.append(
        button("Revive", () => decide("POST", each.id)),
        button("Delete", () => decide("DELETE", each.id)),
      );
    }
    const cells = [String(each.id), each.preview, String(each.attempts), when(each.ready)];
    const line = row(...cells, each.reason, todo);
    line.cells[1].className = "value";
    return line;
  });
  const place = find("messages");
  if (isMore) place.append(...rows);
  else place.replaceChildren(...rows);
  queue.last = messages.at(-1)?.id ?? queue.last;
  find("more-messages").hidden = !more;
  find("queue").hidden = false;
}

async function decide(method, id) {
  await ask(method, "messages/dead", { space, id: String(id) });
  await Promise.all([showSpaces(), showQueues(), showQueue(queue.name, queue.dead)]);
}

// Events

find("sign-in").addEventListener("submit", doing(async () => {
  operatorsKey = find("operator-key").value.trim();
  await show();
  find("operator-key").value = "";
}));
frame.on("navigate", () => doing(show)());
frame.ready.then(() => {
  find("sign-in").hidden = !frame.isAlone; // the shell has signed somebody in
  if (!frame.isAlone) doing(show)();
});
find("filter").addEventListener("submit", doing(() => showEntries()));
find("more-entries").addEventListener("click", doing(() => showEntries(true)));
find("more-messages").addEventListener("click", doing(() => showQueue(queue.name, queue.dead, true)));
find("new-entry").addEventListener("click", () =>
  openEditor({ key: find("prefix").value || "[]", tag: "", kind: "json", value: "", left: "" }));
find("entry").addEventListener("submit", doing(save, find("entry-status")));
find("entry-delete").addEventListener("click", doing(remove, find("entry-status")));
find("entry-cancel").addEventListener("click", () => find("editor").close());
