// The versions of an app: which one is active, and how to activate another one.
import * as api from "../../api.js";
import { appState } from "../../apps.js";
import { carry } from "../../deploy.js";
import { button, doing, fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { go, href } from "../../router.js";
import { drawDeploys } from "../../components/deploys.js";
import { act, confirm, open } from "../../components/dialog.js";
import { section } from "../../components/parts.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";

export async function render(root, { app, can, known, reload }) {
  const mayDeploy = can("apps:deploy", app);
  const base = `/api/apps/${api.name(app)}`;
  const versions = table({
    label: t("app.versions"),
    rowKey: (row) => row.version ?? "",
    columns: [
      { key: "version", title: t("apps.version"), cell: (row) => [h("strong", row.version ?? t("versions.folder")), " ", row.active ? h("span.tag", t("versions.active")) : null] },
      { key: "state", title: t("apps.state"), cell: (row) => appState({ ...row, bootError: row.error ?? row.bootError }) },
      { key: "folder", title: t("app.folder"), wide: true, cell: (row) => h("code.small", row.folder) },
      { key: "do", title: "", away: t("do.all"), number: true, cell: actions },
    ],
  });
  const deploys = h("div");
  fill(root,
    h("section.panel", h("header", h("h2", t("app.versions")), h("div.row-actions",
      mayDeploy && known().versions.length > 1 ? button(t("rollback.do"), doing(rollback)) : null,
      can("apps:remove", app) && known().versions.some(isReleased) ? button(t("removeAll.do"), doing(removeAll), { class: "quiet" }) : null)), versions),
    mayDeploy ? h("p.faint.small", t("deploy.hint")) : null,
    section(t("deploys.title"), deploys));

  function actions(row) {
    const { version, active } = row;
    return h("div.row-actions",
      mayDeploy && version && !active ? button(t("activate.do"), doing(() => activate(version)), { "aria-label": t("activate.title", { version }) }) : null,
      mayDeploy && isReleased(row) ? h("a.button", { href: api.address(`/api/apps/${api.name(app)}/versions/${api.name(version)}/archive`), download: true, "aria-label": t("versions.archiveOf", { version }) }, t("versions.archive")) : null,
      can("apps:remove", app) && isReleased(row) && !active ? button(t("remove.do"), doing(() => remove(version)), { class: "quiet", "aria-label": t("remove.title", { version }) }) : null);
  }
  function activate(version) {
    return switchTo("activate", version, `${base}/versions/${api.name(version)}/activate`, `buntime activate ${app}@${version}`);
  }
  function rollback() {
    return switchTo("rollback", "", `${base}/rollback`, `buntime rollback ${app}`);
  }

  // Its steps are shown like those of a deploy; undo activates the previous version again.
  async function switchTo(key, version, path, command) {
    const served = known().active;
    const title = t(`${key}.title`, { version, app });
    if (!(await confirm({ title, text: t(`${key}.text`, { version: served ?? "–" }), command, yes: t(`${key}.do`) }))) return;
    const place = h("div.steps");
    const leave = open({ title, body: place, wide: true, hasClose: true });
    const last = await carry(place, app, { method: "POST", path, leave });
    await reload();
    load();
    if (last && !last.failed && served) toast(t(`${key}.done`, { version, app }), { action: { label: t("do.undo"), run: () => activate(served) } });
  }
  async function remove(version) {
    await act("remove", { version }, { danger: true, command: `buntime remove ${app}@${version}`, run: () => api.del(`/api/apps/${api.name(app)}/versions/${api.name(version)}`) });
    await reload();
    load();
  }
  async function removeAll() {
    const done = await act("removeAll", { app }, { danger: true, command: `buntime remove ${app} --all`, run: () => api.del(base) });
    if (done) go(href("apps"));
  }
  async function load() {
    versions.rows = known().versions;
    drawDeploys(deploys, (await api.get("/api/deploys", { query: { app } })).deploys);
  }
  await load();
  return { update: load };
}

// Was it deployed? The runtime does not remove folders that somebody else put into a folder of apps.
const isReleased = ({ version, folder }) => version && folder.includes("/.releases/");
