// What an app is set to, and keeps: its manifest in effect, secrets by name, jobs, and data.
import * as api from "../../api.js";
import { button, doing, fill, h } from "../../dom.js";
import { bytes, duration, number } from "../../format.js";
import { t } from "../../i18n.js";
import { current } from "../app.js";
import { confirm } from "../../components/dialog.js";
import { ago, attempt, facts, nothing, section, state } from "../../components/parts.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";

// Asks for a value; gives whether it was set.
export async function setSecret(app, name = "") {
  const done = await confirm({
    title: name ? t("secrets.setOne", { name }) : t("secrets.new"),
    text: t("secrets.text"),
    fields: [
      ...(name ? [] : [{ name: "name", label: t("secrets.name"), required: true, placeholder: "PAYMENT_KEY", pattern: "[A-Za-z_][A-Za-z0-9_]*" }]),
      { name: "value", label: t("secrets.value"), type: "password", required: true },
    ],
    command: (values) => `buntime secrets set ${app} ${name || values.name || "NAME"}`,
    yes: t("do.save"),
    run: (values) => api.put(`/api/apps/${api.name(app)}/secrets/${api.name(name || values.name)}`, { body: { value: values.value } }),
  });
  if (done) toast(t("secrets.set", { name: done.name }));
  return Boolean(done);
}

export async function render(root, { app, can, known }) {
  const mayWrite = can("secrets:write", app);
  const secrets = table({
    label: t("secrets.title"),
    empty: () => nothing(t("secrets.none"), h("p", t("secrets.teach"))),
    columns: [
      { key: "name", title: t("secrets.name"), cell: (row) => h("code", row.name) },
      { key: "state", title: t("apps.state"), cell: (row) => (row.missing ? state("bad", t("secrets.missing")) : row.fault ? state("bad", row.fault) : state(row.isUsed ? "good" : "off", t(row.isUsed ? "secrets.used" : "secrets.unused"))) },
      { key: "at", title: t("secrets.at"), wide: true, cell: (row) => (row.setAt ? ago(row.setAt) : (row.origin ?? "–")) },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => mayWrite && row.origin !== "RUNTIME_SECRETS_DIR" && h("div.row-actions",
        button(t(row.missing ? "secrets.do" : "secrets.change"), doing(() => setSecret(app, row.name).then(loadSecrets)), { "aria-label": t("secrets.setOne", { name: row.name }) }),
        row.missing ? null : button(t("do.remove"), doing(() => removeSecret(row.name)), { class: "quiet", "aria-label": t("secrets.removeOne", { name: row.name }) })) },
    ],
  });
  const jobs = table({
    label: t("cron.title"),
    empty: () => nothing(t("cron.none"), h("p", t("cron.teach"))),
    columns: [
      { key: "name", title: t("cron.name"), cell: (row) => h("strong", row.name) },
      { key: "schedule", title: t("cron.when"), wide: true, cell: (row) => h("code", `${row.schedule} ${row.timezone}`) },
      { key: "next", title: t("cron.next"), cell: (row) => (row.running ? state("busy", t("cron.running")) : ago(row.next)) },
      { key: "last", title: t("cron.last"), cell: (row) => (row.runs.length ? lastRun(row.runs) : "–") },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => can("workers:recycle", app) && button(t("cron.do"), doing(() => runJob(row)), { "aria-label": t("cron.run", { name: row.name }) }) },
    ],
  });
  const data = h("div.body");
  const settings = table({
    label: t("manifest.title"),
    rowKey: (row) => row.key,
    columns: [
      { key: "key", title: t("manifest.key"), cell: (row) => h("code", row.key) },
      { key: "value", title: t("manifest.value"), cell: (row) => h("code", row.value) },
      { key: "origin", title: t("manifest.origin"), wide: true, cell: (row) => row.origin },
    ],
  });
  fill(root,
    h("section.panel", h("header", h("h2", t("secrets.title")), mayWrite ? button(t("secrets.new"), doing(() => setSecret(app).then(loadSecrets))) : null), secrets),
    section(t("cron.title"), jobs), section(t("data.title"), data), section(t("manifest.title"), settings));

  async function removeSecret(name) {
    const done = await confirm({ title: t("secrets.removeOne", { name }), text: t("secrets.removeText"), danger: true, command: `buntime secrets remove ${app} ${name}`, yes: t("do.remove"),
      run: () => api.del(`/api/apps/${api.name(app)}/secrets/${api.name(name)}`) });
    if (!done) return;
    toast(t("secrets.removed", { name }), { action: { label: t("secrets.again"), run: () => setSecret(app, name).then(loadSecrets) } });
    loadSecrets();
  }
  async function runJob({ name }) {
    if (!(await confirm({ title: t("cron.run", { name }), text: t("cron.text"), command: `buntime cron run ${app} ${name}`, yes: t("cron.do") }))) return;
    await attempt(() => api.lines("POST", `/api/apps/${api.name(app)}/cron/${api.name(name)}/run`, {}, (steps) => {
      for (const { step, run } of steps) {
        if (run) toast(t("cron.ended", { name, result: run.result, text: run.detail ?? "" }), { kind: run.result === "ok" ? "" : "bad" });
        else toast(t("cron.step", { name, step }));
      }
      loadJobs();
    }));
    loadJobs();
  }
  async function loadSecrets() {
    const found = await api.get(`/api/apps/${api.name(app)}/secrets`);
    secrets.rows = [...found.missing.map((name) => ({ name, missing: true })), ...found.secrets];
  }
  async function loadJobs() {
    const found = await api.get("/api/cron", { query: { limit: 500 } });
    jobs.rows = found.jobs.filter((job) => job.app === app);
  }
  async function loadData() {
    if (!can("data:read")) return fill(data, h("p.faint", t("data.closed")));
    const found = (await api.get("/api/data", { query: { limit: 500 } })).data.find(({ name }) => name === app);
    fill(data, found ? facts([t("data.size"), bytes(found.sizeBytes)], [t("data.files"), number(found.files)], found.user ? [t("data.user"), found.user] : null)
      : nothing(t("data.none"), h("p", t("data.teach"))));
  }
  async function loadSettings() {
    const { manifest = {}, changedByOperator = [] } = current(known()) ?? {};
    const changed = new Set(changedByOperator.map(({ key }) => key));
    settings.rows = Object.entries(manifest).map(([key, value]) => ({ key, value: shown(value), origin: changed.has(key) ? t("manifest.operator") : "" }));
  }
  const all = () => Promise.allSettled([loadSecrets(), loadJobs(), loadData(), loadSettings()]);
  await all();
  return { update: all };
}

const lastRun = ([run]) => h("span", state(run.result === "ok" ? "good" : "bad", run.result), " ", h("span.faint.small", duration(run.seconds)));
const shown = (value) => (value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
