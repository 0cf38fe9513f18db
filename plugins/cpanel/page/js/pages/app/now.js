// The current state of an app: the last hour, its workers, its start-up cost, and useful commands.
import * as api from "../../api.js";
import { quoted } from "../../apps.js";
import { button, doing, fill, h } from "../../dom.js";
import { duration, ms, number } from "../../format.js";
import { t } from "../../i18n.js";
import { current } from "../app.js";
import { hourly } from "../../components/chart.js";
import { act } from "../../components/dialog.js";
import { command, facts, nothing, section, state } from "../../components/parts.js";
import { table } from "../../components/table.js";

const BUSY = { idle: "good", active: "busy", ephemeral: "busy" };

export async function render(root, { app, can, known }) {
  const figures = hourly((hour) => hour.apps[app], { app });
  const mayRecycle = can("workers:recycle", app);
  const recycle = (id) => act("recycleOne", { id }, { command: `buntime recycle ${app}`, run: () => api.post(`/api/workers/${api.name(id)}/recycle`) });
  const recycleAll = () => act("recycle", { app }, { command: `buntime recycle ${app}`, count: (done) => done.recycled.length, run: () => api.post(`/api/apps/${api.name(app)}/recycle`) });
  const sleep = () => act("sleep", { app }, { command: `buntime sleep ${app}`, count: (done) => done.ended.length, run: () => api.post(`/api/apps/${api.name(app)}/sleep`) });
  const workers = table({
    label: t("figure.workers"),
    rowKey: (row) => row.id,
    empty: () => nothing(t("app.noWorkers"), h("p", t("app.noWorkersWhy"))),
    columns: [
      { key: "id", title: t("workers.name"), cell: (row) => row.id },
      { key: "status", title: t("apps.state"), cell: (row) => state(BUSY[row.status] ?? "off", row.program ?? row.status) },
      { key: "version", title: t("apps.version"), wide: true, cell: (row) => row.version ?? "–" },
      { key: "pid", title: "pid", number: true, wide: true, cell: (row) => String(row.pid) },
      { key: "requests", title: t("figure.requests"), number: true, cell: (row) => number(row.requestCount) },
      { key: "age", title: t("workers.age"), number: true, cell: (row) => duration(row.ageSeconds) },
      { key: "do", title: "", away: t("do.all"), number: true, cell: ({ id }) => mayRecycle && button(t("recycle.do"), doing(() => recycle(id)), { class: "quiet", "aria-label": t("recycleOne.title", { id }) }) },
    ],
  });
  const about = h("div.body");
  const cold = h("div.body");
  const tries = h("div.body");
  fill(root, figures.element,
    h("section.panel", h("header", h("h2", t("figure.workers")), mayRecycle ? h("div.row-actions",
      button(t("recycle.all"), doing(recycleAll)), button(t("sleep.do"), doing(sleep))) : null), workers),
    h("div.two", section(t("app.about"), about), section(t("cold.title"), cold)),
    section(t("try.title"), tries));

  async function load() {
    const active = current(known());
    const { manifest = {}, coldStart, entrypoint, static: isStatic } = active;
    fill(about, facts(
      [t("app.kind"), isStatic ? t("app.static") : entrypoint],
      [t("app.lives"), isStatic ? t("app.files") : manifest.ttl ? duration(manifest.ttl) : t("app.each")],
      [t("app.seen"), manifest.visibility],
      manifest.hosts?.length && [t("app.hosts"), manifest.hosts.join(", ")],
    ), h("div", h("p.small.faint", t("app.folder")), h("code", active.folder)));
    fill(cold, coldStart ? bill(coldStart) : nothing(t("cold.none"), h("p", t(isStatic ? "app.files" : "cold.why"))));
    const url = quoted(known().url ?? new URL(`/${app}/`, location.origin).href);
    fill(tries, [`curl -i ${url}`, `curl -so /dev/null -w '%{time_total}s\\n' ${url}`, `buntime show ${app}`, `buntime logs -f ${app}`].map(command));
    const all = (await api.get("/api/workers")).workers;
    workers.rows = all.filter((worker) => worker.app === app).map(({ busy, ...told }) => told);
  }
  await Promise.all([load(), figures.load()]);
  return { update: load, stats: (told) => figures.now(told.apps[app]), end: figures.end };
}

function bill({ bootMs, imports }) {
  const max = Math.max(1, ...imports.map((each) => each.ms));
  return [h("p", t("cold.text", { ms: ms(bootMs) })), h("ul.bill", imports.slice(0, 8).map((each) =>
    h("li", each.name, h("meter", { max, value: each.ms, "aria-label": each.name }), h("span.number", ms(each.ms)))))];
}
