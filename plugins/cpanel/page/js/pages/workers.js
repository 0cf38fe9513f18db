// All worker processes: the app and state of each, and a button that replaces it.
import * as api from "../api.js";
import { appLink } from "../apps.js";
import { button, doing, fill, h, say } from "../dom.js";
import { duration, number } from "../format.js";
import { t } from "../i18n.js";
import { query as keepQuery } from "../router.js";
import { act } from "../components/dialog.js";
import { header, nothing, state } from "../components/parts.js";
import { compare, table } from "../components/table.js";

export const title = "workers.title";

const KINDS = { busy: "busy", once: "busy", loading: "busy", idle: "good", program: "good", spare: "off" };

export async function render(root, params, { can, query }) {
  const search = h("input", { type: "search", "aria-label": t("apps.search"), placeholder: t("apps.search"), value: query.get("app") });
  const count = h("span.faint.small", { role: "status" });
  let all = [];
  const shown = table({
    label: t("workers.title"),
    rowKey: (row) => row.id,
    empty: () => (search.value ? nothing(t("apps.unmatched")) : nothing(t("app.noWorkers"), h("p", t("app.noWorkersWhy")))),
    columns: [
      { key: "id", title: t("workers.name"), cell: (row) => [h("strong", row.id), " ", h("span.faint.small.wide", `pid ${row.pid}`)], sort: (row) => row.pid },
      { key: "app", title: t("apps.name"), cell: (row) => whose(row), sort: (row) => row.app ?? "" },
      { key: "version", title: t("apps.version"), wide: true, cell: (row) => row.version ?? "–" },
      { key: "state", title: t("apps.state"), cell: (row) => state(KINDS[row.status] ?? "warn", row.program ?? t(`worker.${row.status}`)), sort: (row) => row.status },
      { key: "hand", title: t("workers.hand"), number: true, wide: true, cell: (row) => number(row.inHand), sort: (row) => row.inHand },
      { key: "served", title: t("figure.requests"), number: true, wide: true, cell: (row) => number(row.requestCount), sort: (row) => row.requestCount },
      { key: "age", title: t("workers.age"), number: true, wide: true, cell: (row) => duration(row.ageSeconds), sort: (row) => row.ageSeconds ?? 0 },
      { key: "sandbox", title: t("workers.sandbox"), wide: true, cell: (row) => row.sandbox ?? "–" },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => row.app && can("workers:recycle", row.app)
        && button(t("recycle.do"), doing(() => recycle(row)), { "aria-label": t("recycleOne.title", row) }) },
    ],
  });
  const choose = () => {
    keepQuery({ app: search.value });
    const word = search.value.trim().toLowerCase();
    shown.rows = all.filter(({ app }) => !word || (app ?? "").toLowerCase().includes(word));
    say(count, t("workers.count", { n: shown.rows.length }));
  };
  const recycle = ({ id, app }) => act("recycleOne", { id }, { command: `buntime recycle ${app}`, run: () => api.post(`/api/workers/${api.name(id)}/recycle`) });
  async function load() {
    all = (await api.get("/api/workers")).workers.sort((one, other) => compare(one.id, other.id));
    choose();
  }
  fill(root, header(t("workers.title")), h("section.panel", h("header", h("div.tools", { oninput: choose }, search, count)), shown),
    h("p.faint.small", t("workers.about")));
  await load();
  return api.events({ open: (isAgain) => { if (isAgain) load(); }, workers: load, stats: load });
}

// A plugin's worker has "plugin:NAME"; spares have no app yet.
function whose({ app }) {
  if (!app) return h("span.faint", t("workers.spare"));
  const plugin = /^plugin:(.+)/.exec(app)?.[1];
  return plugin ? h("a.name", { href: `/cpanel/plugins/${api.name(plugin)}` }, "plugin:", h("wbr"), plugin) : appLink(app);
}
