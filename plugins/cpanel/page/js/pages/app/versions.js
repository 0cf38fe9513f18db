// The versions of an app: which one serves, and how to have another one do so.
import * as api from "../../api.js";
import { appState } from "../../apps.js";
import { carry } from "../../deploy.js";
import { button, doing, fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { confirm, open } from "../../components/dialog.js";
import { ago, nothing, section, stack, state } from "../../components/parts.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";

const KINDS = { done: "good", failed: "bad", running: "busy" };

export async function render(root, { app, can, known, reload }) {
  const mayDeploy = can("apps:deploy", app);
  const base = `/api/apps/${api.name(app)}`;
  const isReleased = (row) => row.version && row.folder.includes("/.releases/");
  const versions = table({
    label: t("app.versions"),
    rowKey: (row) => row.version ?? "",
    columns: [
      { key: "version", title: t("apps.version"), cell: (row) => [h("strong", row.version ?? t("versions.folder")), row.active ? [" ", h("span.tag", t("versions.active"))] : null] },
      { key: "state", title: t("apps.state"), cell: (row) => appState({ ...row, bootError: row.error ?? row.bootError }) },
      { key: "folder", title: t("app.folder"), wide: true, cell: (row) => h("code.small", row.folder) },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => h("div.row-actions",
        mayDeploy && row.version && !row.active ? button(t("activate.do"), doing(() => activate(row.version)), { "aria-label": t("activate.title", { version: row.version }) }) : null,
        isReleased(row) && can("apps:deploy", app) ? h("a.button", { href: api.address(`${base}/versions/${api.name(row.version)}/archive`), download: "" }, t("versions.archive")) : null,
        isReleased(row) && !row.active && can("apps:remove", app) ? button(t("do.remove"), doing(() => remove(row.version)), { class: "quiet", "aria-label": t("versions.remove", { version: row.version }) }) : null) },
    ],
  });
  const deploys = h("div");
  fill(root,
    h("section.panel", h("header", h("h2", t("app.versions")), mayDeploy && known().versions.length > 1 ? button(t("rollback.do"), doing(rollback)) : null), versions),
    mayDeploy ? h("p.faint.small", t("deploy.hint")) : null,
    section(t("deploys.title"), deploys));

  const before = () => known().active;
  // Activating shows its steps as a deploy does; the undo is to activate what served before.
  async function activate(version) {
    const served = before();
    if (!(await confirm({ title: t("activate.title", { version }), text: t("activate.text", { version: served ?? "–" }), command: `buntime activate ${app}@${version}`, yes: t("activate.do") }))) return;
    await steps(t("activate.title", { version }), `${base}/versions/${api.name(version)}/activate`, served && (() => activate(served)));
  }
  async function rollback() {
    const served = before();
    if (!(await confirm({ title: t("rollback.title", { app }), text: t("rollback.text", { version: served ?? "–" }), command: `buntime rollback ${app}`, yes: t("rollback.do") }))) return;
    await steps(t("rollback.title", { app }), `${base}/rollback`, served && (() => activate(served)));
  }
  async function steps(title, path, undo) {
    const place = h("div.steps");
    const shown = open({ title, body: place, buttons: [button(t("do.close"), () => shown.close())], wide: true });
    const last = await carry(place, app, { method: "POST", path, leave: () => shown.close() });
    if (last && !last.failed && undo) toast(t("activate.done", { version: last.version ?? "" }), { action: { label: t("do.undo"), run: undo } });
    await reload();
    draw();
  }
  async function remove(version) {
    const done = await confirm({ title: t("versions.remove", { version }), text: t("versions.removeText"), danger: true, command: `buntime remove ${app}@${version}`, yes: t("do.remove"),
      run: () => api.del(`/api/apps/${api.name(app)}/versions/${api.name(version)}`) });
    if (!done) return;
    toast(t("versions.removed", { version }));
    await reload();
    draw();
  }
  async function loadDeploys() {
    const { deploys: found } = await api.get("/api/deploys", { query: { app } });
    drawDeploys(deploys, found);
  }
  function draw() {
    versions.rows = known().versions;
  }
  draw();
  await loadDeploys();
  return {
    update() {
      draw();
      loadDeploys();
    },
  };
}

// The last deploys, with what went wrong; used by the overview too.
export function drawDeploys(place, deploys, link = null) {
  fill(place, deploys.length ? h("ul.plain", deploys.map((one) => h("li.deploy",
    state(KINDS[one.state] ?? "off", t(`deploys.${one.state}`)),
    h("span", link ? link(one.app) : null, " ", one.version, one.kind === "deploy" ? null : h("span.faint", ` ${t(`deploys.${one.kind}`)}`)),
    h("span.faint.small", one.by, " · ", ago(one.at ?? one.steps?.at(-1)?.at)),
    one.failed ? h("details", h("summary", t("deploy.failed", { step: t(`step.${one.failed}`) })), h("p", one.error?.message ?? ""), one.stack ? stack(one.stack) : null) : null)))
    : nothing(t("deploys.none"), h("p", t("deploys.teach"))));
}
