// A list of very many lines; only visible ones have elements. New lines are drawn once per frame of
// the screen, however many there are; above `most` the oldest are dropped. The list follows its end
// until somebody scrolls up. `render(line)` returns nodes, `kind(line)` the row's class, and
// `onpick(line)` is called with a chosen line.
import { button, fill, h, say } from "../dom.js";
import { t } from "../i18n.js";

const ROW = 22; // pixels; style.css has the same
const SPARE = 10;

class Lines extends HTMLElement {
  #lines = [];
  #fits = () => true;
  #shown = [];
  #rows = [];
  #isDue = false;
  #follows = true;
  #missed = 0;
  #picked = 0;
  #space = h("div.space");
  #view = h("div.view", { tabindex: "0", role: "region" }, this.#space);
  #down = button("", () => this.end(), { class: "down", hidden: true });
  most = 20_000;
  render = (line) => [line.message];
  kind = (line) => line.level ?? "";
  onpick = () => {};

  connectedCallback() {
    if (this.#view.isConnected) return;
    this.#view.setAttribute("aria-label", this.getAttribute("label"));
    this.append(this.#view, this.#down);
    this.#view.addEventListener("scroll", () => {
      const { scrollTop, clientHeight, scrollHeight } = this.#view;
      this.#follows = scrollTop + clientHeight >= scrollHeight - ROW;
      this.#later();
    }, { passive: true });
    this.#view.addEventListener("click", ({ target }) => {
      const row = target.closest(".row");
      if (row && !getSelection().toString()) this.onpick(row.line);
    });
    this.#view.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#later()).observe(this.#view);
  }

  // The arrow keys choose a line, Enter opens it, End goes to the newest.
  #key(event) {
    if (event.key === "End") return this.end();
    if (event.key === "Enter") return this.#shown[this.#picked] && this.onpick(this.#shown[this.#picked]);
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    const first = Math.ceil(this.#view.scrollTop / ROW);
    const last = first + Math.floor(this.#view.clientHeight / ROW) - 1;
    const from = this.#picked < first || this.#picked > last ? (move > 0 ? first - 1 : last + 1) : this.#picked;
    this.#picked = Math.max(0, Math.min(this.#shown.length - 1, from + move));
    if (this.#picked < first || this.#picked > last) this.#view.scrollTop += move * ROW;
    this.#later();
  }

  get count() {
    return this.#shown.length;
  }

  add(lines) {
    const fitting = lines.filter(this.#fits);
    const before = this.#shown.length + fitting.length;
    this.#lines = this.#bounded(this.#lines, lines);
    this.#shown = this.#bounded(this.#shown, fitting);
    if (!this.#follows) {
      this.#missed += fitting.length;
      this.#view.scrollTop -= (before - this.#shown.length) * ROW;
    }
    this.#later();
  }

  // Shows only lines for which `fits(line)` is true.
  filter(fits) {
    this.#fits = fits;
    this.#shown = this.#lines.filter(fits);
    this.#later();
  }

  clear() {
    this.#lines = [];
    this.#shown = [];
    this.#later();
  }

  end() {
    this.#follows = true;
    this.#later();
  }

  #bounded(have, more) {
    for (const line of more) have.push(line);
    return have.length > this.most ? have.slice(-this.most * 0.9) : have; // a tenth at once
  }

  #later() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const count = this.#shown.length;
    this.#space.style.height = `${count * ROW}px`;
    if (this.#follows) {
      this.#missed = 0;
      this.#view.scrollTop = this.#view.scrollHeight;
    }
    const first = Math.max(0, Math.floor(this.#view.scrollTop / ROW) - SPARE);
    const seen = Math.min(count - first, Math.ceil(this.#view.clientHeight / ROW) + 2 * SPARE);
    while (this.#rows.length < seen) {
      const row = h("div.row");
      this.#rows.push(row);
      this.#space.append(row);
    }
    this.#rows.forEach((row, at) => {
      row.hidden = at >= seen;
      if (row.hidden) return;
      const line = this.#shown[first + at];
      row.style.transform = `translateY(${(first + at) * ROW}px)`;
      row.classList.toggle("picked", first + at === this.#picked);
      if (row.line === line) return;
      row.line = line;
      row.className = `row ${this.kind(line)}`;
      fill(row, this.render(line));
    });
    this.#down.hidden = this.#follows;
    say(this.#down, this.#missed ? t("lines.more", { n: this.#missed }) : t("lines.end"));
  }
}
customElements.define("bt-lines", Lines);
