// The shell's side, <bt-frame>: see docs/micro-frontends.md.
import { Budget, Talk, keep, kept, signIn, words } from "./bt-talk.js";

export { isFramed } from "./bt-talk.js";

const SANDBOX = "allow-scripts allow-forms allow-popups allow-downloads";
const PATH_MAX = 2048;
const [DISPOSE_MS, HELLO_MS, LOAD_S] = [300, 50, 60];
const HOME = new URL(".", import.meta.url).pathname; // /.well-known/buntime/, below a prefix
const PREFIX = HOME.slice(0, -"/.well-known/buntime/".length);

export class BtFrame extends HTMLElement {
  static observedAttributes = ["src", "pathname"];
  path = "/";
  functions = {};
  api = null;
  #told = { props: {} };
  #frame = null;
  #talk = null;
  #messages;
  #frames;
  #loads = 0;
  #turn = 0;
  #onDisposed = () => {};

  get base() {
    return new URL(this.getAttribute("src") ?? "", location).pathname.replace(/\/$/, "");
  }
  connectedCallback() {
    addEventListener("message", this.#onMessage);
    this.#begin();
  }
  disconnectedCallback() {
    removeEventListener("message", this.#onMessage);
    this.#end();
  }
  attributeChangedCallback(name, before, text) {
    if (!this.isConnected || before === text) return;
    if (name === "src") this.#begin();
    else this.navigate(text);
  }

  /** Hand over `props`, `theme`, `language`; what is not named stays. */
  tell(told) {
    Object.assign(this.#told, told);
    this.#talk?.send("PROPS", told);
  }
  emit(name, detail) {
    this.#talk?.send("EVENT", { name, detail });
  }
  async call(name, ...args) {
    if (!this.#talk) throw new Error("there is no page");
    return this.#talk.ask(name, args);
  }
  navigate(to) {
    const path = this.#below(to);
    if (path === null || path === this.path) return;
    this.path = path;
    if (this.#talk) this.#talk.send("NAVIGATE", { path, turn: ++this.#turn });
    else this.#make();
  }
  /** End the page, after a moment for what it keeps. */
  async dispose() {
    this.#talk?.send("DISPOSE");
    if (this.#talk) await new Promise((done) => setTimeout((this.#onDisposed = done), DISPOSE_MS));
    this.#end();
  }

  #onMessage = ({ source, data }) => {
    if (!this.#frame || source !== this.#frame.contentWindow) return;
    if (!this.#messages.spend(1)) return this.#take.fail("it sends too much");
    const { buntime, path } = data ?? {};
    if (buntime === "SIGN_IN") return signIn(this, source, PREFIX, () => this.#make());
    if ((buntime !== "HELLO" && buntime !== "SHELL") || typeof path !== "string") return;
    // Otherwise it is the page that the shell loaded.
    if (path.startsWith(`${this.base}/`)) this.#move(path.slice(this.base.length), true);
    if (this.#talk || buntime === "SHELL") this.#make();
    else this.#greet();
  };
  #greet() {
    const { port1, port2 } = new MessageChannel();
    this.#talk = new Talk(port1, this.#messages, this.#take);
    const { base, path } = this;
    const text = JSON.stringify({ version: 1, base, path, state: kept(base), ...this.#told });
    this.#frame.contentWindow.postMessage({ buntime: "INIT", text }, "*", [port2]);
  }
  #begin() {
    [this.#messages, this.#frames] = [new Budget(300, 0.1), new Budget(10, 0.001)];
    this.path = this.#below(this.getAttribute("pathname")) ?? "/";
    this.#make();
  }
  #make() {
    this.#end();
    if (!this.#frames.spend(1)) return this.#take.fail("it is loaded again and again");
    const frame = (this.#frame = document.createElement("iframe"));
    frame.setAttribute("sandbox", SANDBOX);
    frame.title = this.getAttribute("label") ?? this.base;
    frame.src = `${HOME}frame${this.base.slice(PREFIX.length)}${this.path}`;
    this.#loads = 0;
    // Another page was loaded; its HELLO may come later.
    const renew = () => this.#frame === frame && this.#make();
    frame.onload = () => ++this.#loads > 1 && this.#talk && setTimeout(renew, HELLO_MS);
    const giveUp = () => this.#frame === frame && !this.#loads && !this.#talk && this.#take.fail("it does not answer");
    setTimeout(giveUp, (this.getAttribute("patience") ?? LOAD_S) * 1000);
    this.append(frame);
  }
  #end() {
    this.#talk?.end();
    this.#frame?.remove();
    this.#talk = this.#frame = null;
  }
  #below(path) {
    if (typeof path !== "string" || !/^\/(?!\/)/.test(path) || path.length > PATH_MAX) return null;
    const { origin, pathname, search, hash } = new URL(this.base + path, location);
    if (origin !== location.origin || !pathname.startsWith(`${this.base}/`)) return null;
    return pathname.slice(this.base.length) + search + hash;
  }
  #move(to, replace) {
    const path = this.#below(to);
    if (path === null || path === this.path) return;
    this.path = path;
    // Only what a user does adds an entry to the history.
    const isOwn = navigator.userActivation?.isActive === false;
    this.#take.say("navigate", { path, replace: isOwn || !!replace });
  }
  #take = {
    say: (name, detail) => {
      if (name === "resize" && this.hasAttribute("autosize")) this.style.height = `${detail.height}px`;
      this.dispatchEvent(new CustomEvent(`bt-${name}`, { detail }));
    },
    fail: (text) => {
      this.#end();
      this.#take.say("error", { text, isFatal: true });
    },
    NAVIGATE: ({ path, replace, turn, load }) => {
      if (turn !== this.#turn) return; // the shell has navigated meanwhile
      this.#move(path, replace);
      if (load) this.#make();
    },
    STATE: ({ value }) => keep(this.base, value),
    CALL: ({ id, name, args }) =>
      this.#talk.answer(id, () => {
        if (!Object.hasOwn(this.functions, name)) throw new Error(`the shell has no ${words(name, 64)}`);
        return this.functions[name](...args);
      }),
    TOKEN: ({ id, path }) =>
      this.#talk.answer(id, () => {
        const plugin = this.getAttribute("plugin") ?? this.base.slice(PREFIX.length + 1);
        if (path === undefined) return this.api("/api/frames/tokens", { plugin });
        return this.api("/api/frames/urls", { plugin, path: this.#below(path) });
      }),
    DISPOSE: () => this.#onDisposed(),
  };
}

customElements.define("bt-frame", BtFrame);
