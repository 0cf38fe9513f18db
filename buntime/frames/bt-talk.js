// The shell's end of the port to one page, for bt-frame.js. A page may be hostile: its messages are
// limited in size and number, and never used as markup.
const MESSAGE_MAX = 65536; // characters of JSON
const ANSWER_MS = 5000;
const CALLS = 32; // at a time
const HEIGHT_MAX = 20000;
const STATE_MAX = 16384;
const KINDS = ["info", "success", "warning", "error"];

/** Text to be shown: no control characters, none that turn its direction. */
export function words(text, max) {
  const begin = typeof text === "string" ? text.slice(0, max) : "";
  return begin.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, " ");
}

const number = (value, max) => (Number.isFinite(value) ? Math.min(Math.max(value, 0), max) : 0);

// Messages that the shell shows: each becomes an event such as `bt-title`, with this detail.
const SAID = {
  __proto__: null,
  READY: ({ title }) => ({ title: words(title, 120) }),
  TITLE: ({ title }) => ({ title: words(title, 120) }),
  EVENT: ({ name, detail }) => ({ name: words(name, 64), detail }),
  ERROR: ({ text, status }) => ({ text: words(text, 300), status: number(status, 999) }),
  TOAST: ({ text, kind }) => ({ text: words(text, 300), kind: KINDS.includes(kind) ? kind : "info" }),
  RESIZE: ({ height }) => ({ height: number(height, HEIGHT_MAX) }),
};

/** What a page keeps in the shell while its tab is open. */
export const kept = (base) => JSON.parse(sessionStorage.getItem(`frame ${base}`));
export function keep(base, value = null) {
  const text = JSON.stringify(value);
  if (text.length <= STATE_MAX) sessionStorage.setItem(`frame ${base}`, text);
}

const here = () => location.href.slice(location.origin.length);

/** Is this shell in a frame? */
export function isFramed() {
  if (parent !== self) parent.postMessage({ buntime: "SHELL", path: here() }, "*");
  return parent !== self;
}

/**
 * A page asks for a sign-in. If it was for a click, the window goes to the sign-in page and comes back.
 * A shell that signs in otherwise prevents that, and reloads the page with `done()`.
 */
export function signIn(view, page, prefix, done) {
  if (navigator.userActivation?.isActive === false) return;
  page.postMessage({ buntime: "SIGN_IN" }, "*");
  const url = `${prefix}/.well-known/buntime/auth/sign-in?to=${encodeURIComponent(here())}`;
  const asked = new CustomEvent("bt-signin", { cancelable: true, detail: { url, done } });
  if (view.dispatchEvent(asked)) location.assign(url);
}

/** So much at once, and so much more a millisecond. */
export class Budget {
  #most;
  #perMs;
  #left;
  #at = performance.now();

  constructor(most, perMs) {
    [this.#most, this.#perMs, this.#left] = [most, perMs, most];
  }
  spend(cost) {
    const now = performance.now();
    this.#left = Math.min(this.#most, this.#left + (now - this.#at) * this.#perMs) - cost;
    this.#at = now;
    return this.#left >= 0;
  }
}

export class Talk {
  #port;
  #take;
  #budget;
  #asked = new Map(); // number -> [resolve, reject, timer]
  #count = 0;
  #calls = 0; // being answered now

  /** `take` has `say(name, detail)`, `fail(why)`, and a function for each other type of message. */
  constructor(port, budget, take) {
    [this.#port, this.#budget, this.#take] = [port, budget, take];
    port.onmessage = ({ data }) => this.#hear(data);
  }
  send(type, body) {
    this.#port.postMessage(JSON.stringify({ ...body, type }));
  }
  /** Call a function of the page, which has 5 seconds. */
  ask(name, args) {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      const giveUp = () => this.#settle({ id, error: "the page did not answer" });
      this.#asked.set(id, [resolve, reject, setTimeout(giveUp, ANSWER_MS)]);
      this.send("CALL", { id, name, args });
    });
  }
  /** Answer a question of the page by what `work` gives. */
  async answer(id, work) {
    let told;
    this.#calls++;
    try {
      if (this.#calls > CALLS) throw new Error("too many calls at a time");
      told = { id, value: await work() };
    } catch (error) {
      told = { id, error: words(error.message, 300) };
    }
    this.#calls--;
    this.send("RESULT", told);
  }
  end() {
    this.#port.close();
    for (const id of this.#asked.keys()) this.#settle({ id, error: "the page has gone" });
  }

  #settle({ id, value, error }) {
    const [resolve, reject, timer] = this.#asked.get(id) ?? [];
    clearTimeout(timer);
    if (!this.#asked.delete(id)) return;
    if (error === undefined) resolve(value);
    else reject(new Error(words(error, 300)));
  }
  #hear(text) {
    const isFit = typeof text === "string" && text.length <= MESSAGE_MAX;
    if (!isFit) return this.#take.fail("it sent too long a message");
    if (!this.#budget.spend(1 + text.length / 4096)) return this.#take.fail("it sends too much");
    const told = parsed(text) ?? {};
    const { type } = told;
    if (type === "RESULT") this.#settle(told);
    else if (SAID[type]) this.#take.say(type.toLowerCase(), SAID[type](told));
    else if (/^[A-Z]+$/.test(type)) this.#take[type]?.(told);
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // frame.js never sends that
  }
}
