// A list of very many lines, of which those that are seen have elements. What comes is drawn once
// for each frame of the screen, however many lines it was; the oldest go beyond `most`. The end is
// followed until one scrolls up. Properties: `render(line) -> nodes`, `onpick(line)`.
import { button, fill, h, say } from "../dom.js";
import { t } from "../i18n.js";

const ROW = 22; // pixels; style.css has the same
const SPARE = 10;

class Lines extends HTMLElement {
  #lines = [];
  #fits = null;
  #shown = [];
  #rows = [];
  #dirty = false;
  #follows = true;
  #space = h("div.space");
  #view = h("div.view", { tabindex: "0", role: "region" }, this.#space);
  #down = button("", () => this.end(), { class: "down", hidden: true });
  #missed = 0;
  most = 20_000;
  render = (line) => [String(line.message ?? "")];
  onpick = null;

  connectedCallback() {
    if (this.#view.isConnected) return;
    this.#view.setAttribute("aria-label", this.getAttribute("label") ?? t("lines.label"));
    this.append(this.#view, this.#down);
    this.#view.addEventListener("scroll", () => {
      const { scrollTop, clientHeight, scrollHeight } = this.#view;
      this.#follows = scrollTop + clientHeight >= scrollHeight - ROW;
      this.#later();
    }, { passive: true });
    this.#view.addEventListener("click", (event) => this.#pick(event.target.closest(".row")));
    this.#view.addEventListener("keydown", (event) => {
      if (event.key === "End") this.end();
      if (event.key === "Enter") this.#pick(event.target.closest(".row"));
    });
    new ResizeObserver(() => this.#later()).observe(this.#view);
  }

  get count() {
    return this.#shown.length;
  }

  get lines() {
    return this.#lines;
  }

  add(lines) {
    this.#lines = this.#bounded(this.#lines, lines);
    const fitting = this.#fits ? lines.filter(this.#fits) : lines;
    if (!this.#follows) this.#missed += fitting.length;
    const before = this.#shown.length + fitting.length;
    this.#shown = this.#bounded(this.#shown, fitting);
    const gone = before - this.#shown.length;
    if (gone && !this.#follows) this.#view.scrollTop -= gone * ROW;
    this.#later();
  }

  // Only lines of which `fits(line)` holds are shown; null for all.
  filter(fits) {
    this.#fits = fits;
    this.#shown = fits ? this.#lines.filter(fits) : this.#lines.slice();
    this.#later();
  }

  clear() {
    this.#lines = [];
    this.#shown = [];
    this.#missed = 0;
    this.#later();
  }

  end() {
    this.#follows = true;
    this.#later();
  }

  #bounded(have, more) {
    if (have.length + more.length <= this.most) {
      for (const line of more) have.push(line);
      return have;
    }
    return [...have, ...more].slice(-this.most * 0.9); // a tenth at once, not one with each line
  }

  #pick(row) {
    if (row && this.onpick && !getSelection().toString()) this.onpick(row.line);
  }

  #later() {
    if (this.#dirty) return;
    this.#dirty = true;
    requestAnimationFrame(() => {
      this.#dirty = false;
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
      const row = h("div.row", this.onpick ? { tabindex: "-1" } : {});
      this.#rows.push(row);
      this.#space.append(row);
    }
    this.#rows.forEach((row, at) => {
      row.hidden = at >= seen;
      if (row.hidden) return;
      const line = this.#shown[first + at];
      row.style.transform = `translateY(${(first + at) * ROW}px)`;
      if (row.line === line) return;
      row.line = line;
      row.className = `row ${line.level ?? ""}`;
      fill(row, this.render(line));
    });
    this.#down.hidden = this.#follows;
    if (!this.#follows) say(this.#down, this.#missed ? t("lines.more", { n: this.#missed }) : t("lines.end"));
  }
}
customElements.define("bt-lines", Lines);
