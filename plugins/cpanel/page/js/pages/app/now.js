// How an app does: the last hour, its workers, what its start costs, and lines to try.
import * as api from "../../api.js";
import { quoted } from "../../apps.js";
import { button, doing, fill, h } from "../../dom.js";
import { bytes, duration, ms, number, rate } from "../../format.js";
import { t } from "../../i18n.js";
import { current } from "../app.js";
import { figure } from "../../components/chart.js";
import { confirm } from "../../components/dialog.js";
import { command, facts, nothing, section, state } from "../../components/parts.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";

const BUSY = { idle: "good", active: "busy", ephemeral: "busy" };

export async function render(root, { app, can, known }) {
  const figures = {
    requests: figure(t("figure.requests"), rate),
    errors: figure(t("figure.errors"), rate),
    p95: figure(t("figure.latency"), ms),
    memory: figure(t("figure.memory"), bytes),
  };
  const mayRecycle = can("workers:recycle", app);
  const workers = table({
    label: t("figure.workers"),
    rowKey: (row) => row.id,
    empty: () => nothing(t("app.noWorkers"), h("p", t("app.noWorkersWhy"))),
    columns: [
      { key: "id", title: t("workers.name"), cell: (row) => row.id },
      { key: "status", title: t("apps.state"), cell: (row) => state(BUSY[row.status] ?? "off", row.program ?? t(`worker.${row.status}`)) },
      { key: "version", title: t("apps.version"), wide: true, cell: (row) => row.version ?? "–" },
      { key: "pid", title: "pid", number: true, wide: true, cell: (row) => row.pid },
      { key: "requests", title: t("figure.requests"), number: true, cell: (row) => number(row.requestCount) },
      { key: "age", title: t("workers.age"), number: true, cell: (row) => duration(row.ageSeconds) },
      { key: "do", away: t("do.all"), title: "", number: true, cell: (row) => mayRecycle && button(t("recycle.do"), doing(() => recycle(row.id)), { class: "quiet", "aria-label": t("recycle.one", { id: row.id }) }) },
    ],
  });
  const about = h("div.body");
  const cold = h("div.body");
  const tries = h("div.body");
  fill(root, h("div.figures", Object.values(figures)),
    h("section.panel", h("header", h("h2", t("figure.workers")), mayRecycle ? h("div.row-actions",
      button(t("recycle.all"), doing(recycleAll)), button(t("sleep.do"), doing(sleep))) : null), workers),
    h("div.two", section(t("app.about"), about), section(t("cold.title"), cold)),
    section(t("try.title"), tries));

  async function recycle(id) {
    const done = await confirm({ title: t("recycle.one", { id }), text: t("recycle.text"), command: `buntime recycle ${app}`,
      run: () => api.post(`/api/workers/${api.name(id)}/recycle`) });
    if (done) toast(t("recycle.done", { n: 1 }));
  }
  async function recycleAll() {
    const done = await confirm({ title: t("recycle.title", { app }), text: t("recycle.text"), command: `buntime recycle ${app}`, yes: t("recycle.do"),
      run: () => api.post(`/api/apps/${api.name(app)}/recycle`) });
    if (done) toast(t("recycle.done", { n: done.recycled.length }));
  }
  async function sleep() {
    const done = await confirm({ title: t("sleep.title", { app }), text: t("sleep.text"), command: `buntime sleep ${app}`, yes: t("sleep.do"),
      run: () => api.post(`/api/apps/${api.name(app)}/sleep`) });
    if (done) toast(t("sleep.done", { n: done.ended.length }));
  }

  async function loadHistory() {
    const hour = await api.get("/api/history", { query: { app, step: 30 } });
    drawHour(figures, hour.apps[app], hour);
  }
  async function loadWorkers() {
    const { workers: all } = await api.get("/api/workers");
    workers.rows = all.filter((worker) => worker.app === app);
  }
  function draw() {
    const active = current(known());
    if (!active) return;
    const { manifest = {}, coldStart, entrypoint } = active;
    fill(about, facts(
      [t("app.kind"), active.static ? t("app.static") : entrypoint],
      [t("app.lives"), active.static ? t("app.files") : manifest.ttl ? duration(manifest.ttl) : t("app.each")],
      [t("app.seen"), manifest.visibility],
      manifest.hosts?.length ? [t("app.hosts"), manifest.hosts.join(", ")] : null,
    ), h("div", h("p.small.faint", t("app.folder")), h("code", active.folder)));
    const most = Math.max(...(coldStart?.imports ?? []).map((each) => each.ms), 1);
    fill(cold, coldStart
      ? [h("p", t("cold.text", { ms: ms(coldStart.bootMs) })),
        h("ul.bill", coldStart.imports.slice(0, 8).map((each) => h("li", h("span", each.name), h("meter", { min: 0, max: most, value: each.ms, "aria-label": each.name }), h("span.number", ms(each.ms)))))]
      : nothing(t("cold.none"), h("p", t(active.static ? "app.files" : "cold.why"))));
    const url = known().url ?? new URL(`/${app}/`, location.origin).href;
    fill(tries, [`curl -i ${quoted(url)}`, `curl -s -o /dev/null -w '%{time_total}s\\n' ${quoted(url)}`, `buntime show ${app}`, `buntime logs -f ${app}`].map(command));
  }
  draw();
  const all = () => Promise.allSettled([loadHistory(), loadWorkers()]);
  await all();
  return {
    update() {
      draw();
      loadWorkers();
    },
    stats: (now) => figuresNow(figures, now),
  };
}

// Draws an hour of /api/history into figures; counts become rates.
export function drawHour(figures, hour, { stepSeconds: step, end }) {
  if (!hour) return;
  const frame = { step, end };
  const perSecond = (values) => values.map((value) => value / step);
  const one = (key, values, kind) => figures[key].show(values.at(-1) ?? null, [{ name: t(`figure.${key === "p95" ? "latency" : key}`), values, kind }], frame);
  one("requests", perSecond(hour.requests));
  one("errors", perSecond(hour.errors), "bad");
  figures.p95.show(hour.p95Ms.at(-1) ?? null, [{ name: "p95", values: hour.p95Ms }, { name: "p50", values: hour.p50Ms, kind: "second" }], frame);
  one("memory", hour.memoryBytes);
}

export function figuresNow(figures, now) {
  figures.requests.now(now?.requestsPerSecond ?? 0);
  figures.errors.now(now?.errorsPerSecond ?? 0);
  figures.p95.now(now?.p95Ms ?? null);
  figures.memory.now(now?.memoryBytes ?? 0);
}
