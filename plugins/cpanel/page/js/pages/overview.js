// What an operator looks at in the morning: what needs attention, the last hour, and the apps.
import * as api from "../api.js";
import { fill, h, say } from "../dom.js";
import { bytes, ms, rate } from "../format.js";
import { t } from "../i18n.js";
import { href, link } from "../router.js";
import { appState, appLink } from "../apps.js";
import { figure } from "../components/chart.js";
import { command, facts, header, nothing, section, state } from "../components/parts.js";
import { table } from "../components/table.js";

export const title = "overview.title";

export async function render(root, params, { can }) {
  const figures = {
    requests: figure(t("figure.requests"), rate),
    errors: figure(t("figure.errors"), rate),
    latency: figure(t("figure.latency"), ms),
    memory: figure(t("figure.memory"), bytes),
  };
  const headline = h("h1", t("overview.title"));
  const attention = h("div");
  const apps = table({
    label: t("apps.title"),
    rowKey: (row) => row.app,
    columns: [
      { key: "app", title: t("apps.name"), cell: (row) => appLink(row.app) },
      { key: "state", title: t("apps.state"), cell: appState },
      { key: "active", title: t("apps.version"), wide: true, cell: (row) => row.active ?? "–" },
      { key: "rate", title: t("figure.requests"), number: true, cell: (row) => rate(row.rate) },
      { key: "errors", title: t("figure.errors"), number: true, wide: true, cell: (row) => rate(row.errors) },
      { key: "p95", title: "p95", number: true, cell: (row) => ms(row.p95Ms) },
      { key: "memory", title: t("figure.memory"), number: true, wide: true, cell: (row) => bytes(row.memoryBytes) },
    ],
    empty: () => nothing(t("apps.none"), h("p", t("apps.teach")), command("buntime deploy")),
  });
  const deploys = h("div");
  fill(root, h("div.head", h("div", headline)), attention,
    h("div.figures", Object.values(figures)),
    section(t("overview.apps"), apps),
    section(t("overview.deploys"), deploys));

  let known = { apps: [], stats: {} };
  const drawApps = () => {
    apps.rows = known.apps.map((app) => ({ ...app, ...known.stats[app.app] }));
  };

  async function loadHistory() {
    const history = await api.get("/api/history");
    const { total, stepSeconds: step, end } = history;
    const frame = { step, end };
    const last = (values) => values.at(-1) ?? null;
    const one = (values, name, kind) => [{ name, values, kind }];
    figures.requests.show(last(total.requests), one(total.requests, t("figure.requests")), frame);
    figures.errors.show(last(total.errors), one(total.errors, t("figure.errors"), "bad"), frame);
    figures.latency.show(last(total.p95Ms), [{ name: "p95", values: total.p95Ms }, { name: "p50", values: total.p50Ms, kind: "second" }], frame);
    figures.memory.show(last(total.memoryBytes), one(total.memoryBytes, t("figure.memory")), frame);
  }
  async function loadAttention() {
    const found = await api.get("/api/attention");
    const isWell = !found.some(({ level }) => level !== "info");
    say(headline, isWell ? t("overview.well") : t("overview.needs", { n: found.length }));
    fill(attention, found.map((one) => h("div.notice", { class: one.level },
      h("p", one.app ? h("strong", one.app, " ") : null, one.text),
      one.hint ? h("p.faint", one.hint) : null,
      one.command ? command(one.command) : null,
      one.href ? h("a", { href: one.href }, t("overview.look")) : null)));
  }
  async function loadApps() {
    known.apps = (await api.get("/api/apps", { query: { limit: 500 } })).apps;
    drawApps();
  }
  async function loadDeploys() {
    const { deploys: found } = await api.get("/api/deploys");
    fill(deploys, found.length
      ? h("ul.plain", found.slice(0, 5).map((one) => h("li", one.app, " ", one.version, " ", one.state)))
      : nothing(t("deploys.none")));
  }
  const all = () => Promise.allSettled([loadApps(), loadHistory(), loadAttention(), loadDeploys()]);
  await all();
  return api.events({
    open: (isAgain) => { if (isAgain) all(); },
    apps: loadApps,
    deploys: loadDeploys,
    attention: loadAttention,
  });
}
