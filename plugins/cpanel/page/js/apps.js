// What several pages show about apps, and actions on one.
import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, ms, number, rate } from "./format.js";
import { t } from "./i18n.js";
import { href } from "./router.js";
import { act } from "./components/dialog.js";
import { attempt, command, nothing, state } from "./components/parts.js";
import { compare, table } from "./components/table.js";
import { toast } from "./components/toasts.js";

export const appHref = (app, view = "") => href(`apps/${api.name(app)}`) + (view && `?view=${view}`);
export const appLink = (app) => h("a.name", { href: appHref(app) }, app);
export const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
export const noApps = () => nothing(t("apps.none"), h("p", t("apps.teach")), command("buntime deploy"));

// An app's state, as a key of the catalogue; `row` is an entry of /api/apps.
const KINDS = { stopped: "off", broken: "bad", waiting: "warn", ready: "off", serving: "good" };
export const STATES = Object.keys(KINDS);
export function appWord(row) {
  if (row.maintenance) return "stopped";
  if (row.error || row.bootError) return "broken";
  if (row.queued) return "waiting";
  return row.status === "offline" ? "ready" : "serving";
}
export const appState = (row) => state(KINDS[appWord(row)], t(`state.${appWord(row)}`));

// A table of apps, filtered by `fits(row)`; the events call `load` and `stats`.
export function appTable({ empty, fits = () => true }) {
  let apps = [];
  let stats = {};
  const figure = (key, title, format, wide = true) =>
    ({ key, title, number: true, wide, cell: (row) => format(row[key]), sort: (row) => row[key] ?? 0 });
  const shown = table({
    label: t("apps.title"),
    rowKey: (row) => row.app,
    empty,
    columns: [
      { key: "app", title: t("apps.name"), cell: (row) => appLink(row.app), sort: (row) => row.app },
      { key: "state", title: t("apps.state"), cell: appState, sort: appWord },
      { key: "version", title: t("apps.version"), wide: true, cell: (row) => row.active ?? "–" },
      figure("requestsPerSecond", t("figure.requests"), rate, false),
      figure("errorsPerSecond", t("figure.errors"), rate),
      figure("p95Ms", "p95", ms, false),
      figure("memoryBytes", t("figure.memory"), bytes),
      figure("workers", t("figure.workers"), number),
    ],
  });
  const draw = () => { shown.rows = apps.filter(fits).map((row) => ({ ...row, ...stats[row.app] })); };
  return Object.assign(shown, {
    draw,
    async load() {
      apps = (await api.all("/api/apps", "apps")).sort((one, other) => compare(one.app, other.app));
      draw();
    },
    stats(told) {
      stats = told.apps;
      draw();
    },
  });
}

// A stopped app: visitors get a page with a message, and its idle workers end.
export const stop = (app) => act("stop", { app }, {
  fields: [{ name: "message", label: t("stop.message"), value: t("stop.default"), required: true }],
  command: ({ message }) => `buntime maintenance on ${app} --message ${quoted(message)} && buntime sleep ${app}`,
  undo: () => start(app),
  run: async (body) => {
    await api.put(`/api/apps/${api.name(app)}/maintenance`, { body });
    await api.post(`/api/apps/${api.name(app)}/sleep`).catch(() => {}); // an app that does not load has no workers
  },
});

export async function start(app) {
  const done = await attempt(() => api.del(`/api/apps/${api.name(app)}/maintenance`));
  if (done) toast(t("start.done", { app }), { action: { label: t("do.undo"), run: () => stop(app) } });
}
