// A line over the last hour, as SVG. `series`: [{name, values: [number or null], kind}]; `step` in
// seconds, `end` the time of the last point. Arrow keys and the pointer tell a point's values.
import { fill, h, say } from "../dom.js";
import { clock } from "../format.js";
import { t } from "../i18n.js";

const WIDTH = 360;
const HEIGHT = 80;

class Chart extends HTMLElement {
  #series = [];
  #at = null;
  #plot = h("div.plot", { tabindex: "0", role: "img" });
  #told = h("p.told.small.faint", { "aria-live": "polite" });
  step = 10;
  end = 0;
  format = String;

  connectedCallback() {
    if (this.#plot.isConnected) return;
    this.append(this.#plot, this.#told);
    this.#plot.addEventListener("pointermove", (event) => this.#point(event));
    this.#plot.addEventListener("pointerleave", () => this.#choose(null));
    this.#plot.addEventListener("blur", () => this.#choose(null));
    this.#plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
      if (!move) return;
      event.preventDefault();
      this.#choose(Math.max(0, Math.min(this.#count - 1, (this.#at ?? this.#count) + move)));
    });
  }

  get #count() {
    return Math.max(0, ...this.#series.map(({ values }) => values.length));
  }

  set series(series) {
    this.#series = series;
    this.#draw();
  }

  get #most() {
    return Math.max(0, ...this.#series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  }

  #x(at) {
    return this.#count < 2 ? WIDTH : (at / (this.#count - 1)) * WIDTH;
  }

  #draw() {
    const most = this.#most || 1;
    const y = (value) => HEIGHT - 2 - (value / most) * (HEIGHT - 8);
    const shapes = this.#series.map(({ values, kind = "" }, nth) => {
      const parts = [];
      let isOpen = false;
      values.forEach((value, at) => {
        if (value === null || value === undefined) isOpen = false;
        else {
          parts.push(`${isOpen ? "L" : "M"}${this.#x(at).toFixed(1)} ${y(value).toFixed(1)}`);
          isOpen = true;
        }
      });
      const line = h("path.line", { d: parts.join(""), class: kind });
      const isWhole = nth === 0 && values.length > 1 && !values.includes(null);
      return [isWhole ? h("path.area", { d: `${parts.join("")}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }) : null, line];
    });
    const cursor = h("line.cursor", { x1: 0, x2: 0, y1: 0, y2: HEIGHT, visibility: "hidden" });
    const base = h("line.base", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 });
    fill(this.#plot, h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, base, shapes, cursor));
    this.#plot.setAttribute("aria-label", this.#summary());
    if (this.#at !== null) this.#choose(Math.min(this.#at, this.#count - 1));
    else this.#rest();
  }

  #last({ values }) {
    return this.format(values.findLast((value) => value !== null && value !== undefined) ?? null);
  }

  #summary() {
    const parts = this.#series.map((one) => t("chart.now", { name: one.name, now: this.#last(one) }));
    return `${parts.join(", ")}; ${t("chart.most", { most: this.format(this.#most) })}`;
  }

  #rest() {
    say(this.#told, t("chart.most", { most: this.format(this.#most) }));
  }

  #point(event) {
    const box = this.#plot.getBoundingClientRect();
    this.#choose(Math.round(((event.clientX - box.left) / box.width) * (this.#count - 1)));
  }

  #choose(at) {
    this.#at = at !== null && at >= 0 && at < this.#count ? at : null;
    const cursor = this.#plot.querySelector(".cursor");
    if (this.#at === null || !cursor) {
      cursor?.setAttribute("visibility", "hidden");
      return this.#rest();
    }
    const x = this.#x(this.#at);
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x);
    cursor.setAttribute("visibility", "visible");
    const time = new Date(this.end).getTime() - (this.#count - 1 - this.#at) * this.step * 1000;
    const values = this.#series.map((one) => `${one.name} ${this.format(one.values[this.#at] ?? null)}`);
    say(this.#told, `${clock(time)}: ${values.join(", ")}`);
  }
}
customElements.define("bt-chart", Chart);

// A figure with its line: name, what it is now, and the last hour.
export function figure(name, format) {
  const now = h("strong", "–");
  const chart = h("bt-chart");
  chart.format = format;
  const element = h("div.figure", h("h3", name), now, chart);
  element.show = (value, series, { step, end }) => {
    say(now, format(value));
    chart.step = step;
    chart.end = end;
    chart.series = series;
  };
  element.now = (value) => say(now, format(value));
  return element;
}
