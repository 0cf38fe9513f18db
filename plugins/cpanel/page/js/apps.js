// What several pages tell of apps, and do to one.
import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, ms, number, rate } from "./format.js";
import { t } from "./i18n.js";
import { href } from "./router.js";
import { confirm } from "./components/dialog.js";
import { attempt, command, nothing, state } from "./components/parts.js";
import { table } from "./components/table.js";
import { toast } from "./components/toasts.js";

export const appHref = (app, view = null) => href(`apps/${api.name(app)}`) + (view ? `?view=${view}` : "");
export const appLink = (app) => h("a.name", { href: appHref(app) }, app);

// How an app stands, as a kind and a key of the catalogue; `row` is an entry of /api/apps.
function standing(row) {
  if (row.maintenance) return ["off", "stopped"];
  if (row.bootError) return ["bad", "broken"];
  if (row.queued) return ["warn", "waiting"];
  return row.status === "offline" ? ["off", "ready"] : ["good", "serving"];
}
export const appState = (row) => {
  const [kind, word] = standing(row);
  return state(kind, t(`state.${word}`));
};
export const appWord = (row) => standing(row)[1];

// A table of apps, which lives by the events. `fits(row)` chooses; `loaded(rows)` is told of all.
export function appTable({ none, fits = () => true, loaded = () => {} }) {
  let apps = [];
  let stats = {};
  const shown = table({
    label: t("apps.title"),
    rowKey: (row) => row.app,
    empty: none,
    columns: [
      { key: "app", title: t("apps.name"), cell: (row) => appLink(row.app), sort: (row) => row.app },
      { key: "state", title: t("apps.state"), cell: appState, sort: appWord },
      { key: "version", title: t("apps.version"), wide: true, cell: (row) => row.active ?? "–" },
      { key: "rate", title: t("figure.requests"), number: true, cell: (row) => rate(row.rate), sort: (row) => row.rate ?? 0 },
      { key: "errors", title: t("figure.errors"), number: true, wide: true, cell: (row) => rate(row.errors), sort: (row) => row.errors ?? 0 },
      { key: "p95", title: "p95", number: true, cell: (row) => ms(row.p95), sort: (row) => row.p95 ?? 0 },
      { key: "memory", title: t("figure.memory"), number: true, wide: true, cell: (row) => bytes(row.memory), sort: (row) => row.memory ?? 0 },
      { key: "workers", title: t("figure.workers"), number: true, wide: true, cell: (row) => number(row.workers), sort: (row) => row.workers },
    ],
  });
  shown.draw = () => {
    shown.rows = apps.filter(fits).map((row) => {
      const now = stats[row.app];
      return now ? { ...row, rate: now.requestsPerSecond, errors: now.errorsPerSecond, p95: now.p95Ms, memory: now.memoryBytes } : row;
    });
  };
  shown.load = async () => {
    apps = [];
    for (let cursor = null; ;) {
      const page = await api.get("/api/apps", { query: { limit: 500, cursor } });
      apps.push(...page.apps);
      if (!(cursor = page.next)) break;
    }
    loaded(apps);
    shown.draw();
  };
  shown.stats = (told) => {
    stats = told.apps;
    shown.draw();
  };
  return shown;
}

export const noApps = () => nothing(t("apps.none"), h("p", t("apps.teach")), command("buntime deploy"));

// Stopped: visitors get a page with a message, and workers that are idle end.
export async function stop(app) {
  const done = await confirm({
    title: t("stop.title", { app }),
    text: t("stop.text"),
    fields: [{ name: "message", label: t("stop.message"), value: t("stop.default"), required: true }],
    command: ({ message }) => `buntime maintenance on ${app} --message ${quoted(message)} && buntime sleep ${app}`,
    yes: t("stop.do"),
    run: async ({ message }) => {
      await api.put(`/api/apps/${api.name(app)}/maintenance`, { body: { message } });
      await api.post(`/api/apps/${api.name(app)}/sleep`).catch(() => {}); // its code may be broken
    },
  });
  if (done) toast(t("stop.done", { app }), { action: { label: t("do.undo"), run: () => start(app) } });
}

export async function start(app) {
  const done = await attempt(() => api.del(`/api/apps/${api.name(app)}/maintenance`));
  if (done) toast(t("start.done", { app }), { action: { label: t("do.undo"), run: () => stop(app) } });
}

export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
