// A line over the last hour, as SVG. `series`: [{name, values: [number or null], kind}]; `step` in
// seconds, `end` the time of the last point. Arrow keys and the pointer show a point's values.
import * as api from "../api.js";
import { fill, h, say } from "../dom.js";
import { bytes, clock, ms, rate } from "../format.js";
import { t } from "../i18n.js";

const WIDTH = 360;
const HEIGHT = 80;

class Chart extends HTMLElement {
  #series = [];
  #at = null; // the index of the point whose values are shown
  #count = 0;
  #most = 0;
  #plot = h("div.plot", { tabindex: "0", role: "img" });
  #told = h("p.told.small.faint", { "aria-live": "polite" });
  step = 10;
  end = 0;
  format = String;

  connectedCallback() {
    if (this.#plot.isConnected) return;
    this.append(this.#plot, this.#told);
    const leave = () => this.#choose(null);
    const on = {
      pointerleave: leave,
      blur: leave,
      pointermove: (event) => {
        const { left, width } = this.#plot.getBoundingClientRect();
        this.#choose(Math.round(((event.clientX - left) / width) * (this.#count - 1)));
      },
      keydown: (event) => {
        const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
        if (!move) return;
        event.preventDefault();
        this.#choose(Math.max(0, Math.min(this.#count - 1, (this.#at ?? this.#count) + move)));
      },
    };
    for (const [name, work] of Object.entries(on)) this.#plot.addEventListener(name, work);
  }

  set series(series) {
    this.#series = series;
    this.#count = Math.max(0, ...series.map(({ values }) => values.length));
    this.#most = Math.max(0, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
    fill(this.#plot, h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      h("line.base", { x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
      series.map((one, nth) => this.#line(one, nth === 0)),
      h("line.cursor", { y1: 0, y2: HEIGHT, visibility: "hidden" })));
    const now = series.map(({ name, values }) => t("chart.now", { name, now: this.format(values.at(-1) ?? null) }));
    this.#plot.setAttribute("aria-label", `${now.join(", ")}; ${this.#summary()}`);
    this.#choose(this.#at);
  }

  #x(at) {
    return ((at / Math.max(1, this.#count - 1)) * WIDTH).toFixed(1);
  }

  // Gaps where there is no value; an area below the first line if it has none.
  #line({ values, kind = "" }, isFirst) {
    const y = (value) => (HEIGHT - 2 - (value / (this.#most || 1)) * (HEIGHT - 8)).toFixed(1);
    const has = (at) => values[at] !== null && values[at] !== undefined;
    const d = values.map((value, at) => (has(at) ? `${at && has(at - 1) ? "L" : "M"}${this.#x(at)} ${y(value)}` : "")).join("");
    const isWhole = isFirst && values.length > 1 && values.every((_, at) => has(at));
    return [isWhole && h("path.area", { d: `${d}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }), h("path.line", { d, class: kind })];
  }

  #summary() {
    return t("chart.most", { most: this.format(this.#most) });
  }

  #choose(at) {
    this.#at = at !== null && at >= 0 && at < this.#count ? at : null;
    const cursor = this.#plot.querySelector(".cursor");
    cursor?.setAttribute("visibility", this.#at === null ? "hidden" : "visible");
    if (this.#at === null) return say(this.#told, this.#summary());
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, this.#x(at));
    const time = new Date(this.end).getTime() - (this.#count - 1 - at) * this.step * 1000;
    const values = this.#series.map((one) => `${one.name} ${this.format(one.values[at] ?? null)}`);
    say(this.#told, `${clock(time)}: ${values.join(", ")}`);
  }
}
customElements.define("bt-chart", Chart);

const FIGURES = [
  ["requests", "requestsPerSecond", rate],
  ["errors", "errorsPerSecond", rate],
  ["latency", "p95Ms", ms],
  ["memory", "memoryBytes", bytes],
];

// Figures with their charts, from /api/history and the event `stats`: {element, load, now, end}.
// `of(hour)` chooses what is shown of an hour. The charts advance every half minute.
export function hourly(of, query) {
  const figures = FIGURES.map(([name, key, format]) => {
    const value = h("strong", "–");
    const chart = Object.assign(h("bt-chart"), { format });
    return { name, key, chart, element: h("div.figure", h("h2", t(`figure.${name}`)), value, chart), now: (told) => say(value, format(told)) };
  });
  let isLive = false; // until then the last point is the newest value
  async function load() {
    const hour = await api.get("/api/history", { query: { ...query, step: 30 } });
    const { requests = [], errors = [], p95Ms = [], p50Ms = [], memoryBytes = [] } = of(hour) ?? {};
    const rates = (counts) => counts.map((count) => count / hour.stepSeconds);
    const lines = { requests: rates(requests), errors: rates(errors), latency: p95Ms, memory: memoryBytes };
    for (const { name, chart, now } of figures) {
      if (!isLive) now(lines[name].at(-1) ?? null);
      const series = [{ name: t(`figure.${name}`), values: lines[name], kind: name === "errors" ? "bad" : "" }];
      if (name === "latency") series.push({ name: "p50", values: p50Ms, kind: "second" });
      Object.assign(chart, { step: hour.stepSeconds, end: hour.end, series });
    }
  }
  const timer = setInterval(() => { if (!document.hidden) load().catch(() => {}); }, 30_000);
  return {
    element: h("div.figures", figures.map(({ element }) => element)),
    load,
    now(told) {
      isLive = true;
      figures.forEach(({ key, now }) => now(told?.[key] ?? (key === "p95Ms" ? null : 0)));
    },
    end: () => clearInterval(timer),
  };
}
