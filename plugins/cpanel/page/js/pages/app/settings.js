// An app's settings and data: names of its secrets, its jobs, its data, and the manifest in effect.
import * as api from "../../api.js";
import { button, doing, fill, h } from "../../dom.js";
import { bytes, duration, number } from "../../format.js";
import { t } from "../../i18n.js";
import { confirm } from "../../components/dialog.js";
import { ago, attempt, facts, nothing, section, state, together } from "../../components/parts.js";
import { secretsOf } from "../../components/secrets.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";

export async function render(root, { app, can }) {
  const mayWrite = can("secrets:write", app);
  const actionsOf = (...actions) => ({ key: "do", title: "", away: t("do.all"), number: true, cell: (row) => h("div.row-actions", actions.map((make) => make(row))) });
  const secrets = secretsOf(`/api/apps/${api.name(app)}`, app, mayWrite);
  const jobs = table({
    label: t("cron.title"),
    empty: () => nothing(t("cron.none"), h("p", t("cron.teach"))),
    columns: [
      { key: "name", title: t("cron.name"), cell: (row) => h("strong", row.name) },
      { key: "schedule", title: t("cron.when"), wide: true, cell: (row) => h("code", `${row.schedule} ${row.timezone}`) },
      { key: "next", title: t("cron.next"), cell: (row) => (row.running ? state("busy", t("cron.running")) : ago(row.next)) },
      { key: "last", title: t("cron.last"), cell: ({ runs: [run] }) => (run ? [state(run.result === "ok" ? "good" : "bad", run.result), " ", h("span.faint.small", duration(run.seconds))] : "–") },
      actionsOf(({ name }) => can("workers:recycle", app) && button(t("job.do"), doing(() => runJob(name)), { "aria-label": t("job.title", { name }) })),
    ],
  });
  const data = h("div.body");
  const settings = h("div");
  const trouble = h("div");
  const mayRead = can("data:read", app);
  fill(root, trouble,
    secrets.element,
    section(t("cron.title"), jobs), mayRead ? section(t("data.title"), data) : null, section(t("manifest.title"), settings));

  async function runJob(name) {
    if (!(await confirm({ title: t("job.title", { name }), text: t("job.text"), command: `buntime cron run ${app} ${name}`, yes: t("job.do") }))) return;
    await attempt(() => api.lines("POST", `/api/apps/${api.name(app)}/cron/${api.name(name)}/run`, {}, (steps) => {
      for (const { run } of steps) if (run) toast(t("job.done", { name, result: run.result, text: run.detail ?? "" }), { kind: run.result === "ok" ? "" : "bad" });
      loadJobs();
    }));
  }
  async function loadJobs() {
    jobs.rows = (await api.all("/api/cron", "jobs")).filter((job) => job.app === app);
  }
  async function loadData() {
    const found = (await api.all("/api/data", "data")).find(({ name }) => name === app);
    fill(data, found ? facts([t("data.size"), bytes(found.sizeBytes)], [t("data.files"), number(found.files)], found.user && [t("data.user"), found.user])
      : nothing(t("data.none"), h("p", t("data.teach"))));
  }
  async function loadSettings() {
    const { settings: found } = await api.get(`/api/apps/${api.name(app)}/settings`);
    const [set, usual] = [true, false].map((isSet) => found.filter(({ origin }) => (origin !== "default") === isSet));
    fill(settings, set.length ? settingsTable(set) : nothing(t("manifest.none")),
      h("details.entry", h("summary", t("manifest.usual", { n: usual.length })), settingsTable(usual)));
  }
  const load = () => together(trouble, secrets.load, loadJobs, loadSettings, ...(mayRead ? [loadData] : []));
  await load();
  return { update: load };
}

const written = (value) => (typeof value === "object" && value ? JSON.stringify(value) : String(value ?? "–"));
const settingsTable = (rows) => table({
  label: t("manifest.title"),
  rowKey: (row) => row.key,
  columns: [
    { key: "key", title: t("manifest.key"), cell: (row) => h("code", { title: row.meaning }, row.key) },
    { key: "value", title: t("manifest.value"), cell: ({ value, origin, was }) => [h("code", written(value)), origin === "operator" ? h("p.faint.small", t("manifest.was", { value: written(was) })) : null] },
    { key: "origin", title: t("manifest.origin"), wide: true, cell: (row) => row.place ?? "–" },
  ],
  rows,
});
