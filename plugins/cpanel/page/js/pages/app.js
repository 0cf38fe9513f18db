// One app: its state, its actions and its views.
import * as api from "../api.js";
import { appHref, appState, start, stop } from "../apps.js";
import { button, doing, fill, h } from "../dom.js";
import { deploy, takesDrops } from "../files.js";
import { t } from "../i18n.js";
import { href } from "../router.js";
import { attempt, command, header, nothing, stack } from "../components/parts.js";

export const title = ({ app }) => app;
const VIEWS = ["now", "versions", "log", "errors", "settings"];

export async function render(root, { app }, context) {
  const view = VIEWS.includes(context.query.get("view")) ? context.query.get("view") : "now";
  const mayDeploy = context.can("apps:deploy", app);
  const top = h("div");
  const troubles = h("div");
  const place = h("div.view-body");
  const tabs = h("nav.tabs", { "aria-label": t("app.views") },
    VIEWS.map((name) => h("a", { href: appHref(app, name === "now" ? null : name), "aria-current": name === view ? "page" : null }, t(`app.${name}`))));
  let known = null;

  async function load() {
    try {
      known = await api.get(`/api/apps/${api.name(app)}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(root, header(app, { kicker: kicker() }), nothing(t("app.gone"), h("p", error.message), h("a", { href: href("apps") }, t("app.all"))));
      return false;
    }
    draw();
    return true;
  }
  const kicker = () => h("a", { href: href("apps") }, t("apps.title"));

  function draw() {
    const active = current(known);
    const running = known.versions.reduce((sum, version) => sum + version.workers, 0);
    const row = { ...active, maintenance: known.maintenance, bootError: active?.bootError ?? active?.error, workers: running };
    const isStopped = Boolean(known.maintenance);
    fill(top, header(app, {
      kicker: kicker(),
      under: h("p.faint", appState(row), known.active ? ` · ${known.active}` : null),
      actions: [
        h("a.button", { href: known.url ?? `/${app}/`, target: "_blank", rel: "noopener" }, t("app.open")),
        mayDeploy ? button(t("deploy.button"), drop) : null,
        mayDeploy ? button(t(isStopped ? "start.do" : "stop.do"), doing(() => (isStopped ? start : stop)(app).then(load)), { class: isStopped ? "primary" : "" }) : null,
      ],
    }));
    fill(troubles, isStopped ? h("div.notice", h("p", h("strong", t("stop.is"))), h("p.faint", t("stop.shown", { text: known.maintenance.message }))) : null, trouble(active));
  }
  const drop = (event, items = null) => deploy({ app, versions: known.versions.map(({ version }) => version), items });

  // Why it does not serve, and how to fix that.
  function trouble(active) {
    const told = active?.error ?? active?.bootError;
    if (!told) return null;
    const missing = /the secret (\w+) is not set/.exec(told)?.[1];
    const other = known.versions.find(({ version, active: isActive }) => version && !isActive);
    return h("div.notice.error", { role: "alert" },
      h("p", h("strong", t("app.broken"))),
      active.lastError?.kind === "boot" && active.lastError.stack ? stack(active.lastError.stack) : h("p", told),
      h("p.faint", t("app.mend")), h("p", h("code", active.folder)),
      missing && context.can("secrets:write", app) ? button(t("secret.one", { name: missing }), doing(() => attempt(() => giveSecret(missing)))) : null,
      other && mayDeploy ? h("p", h("a", { href: appHref(app, "versions") }, t("app.back"))) : null,
      context.session.environment === "development" ? null : command(`buntime logs ${app} --level error`));
  }

  async function giveSecret(name) {
    const { setSecret } = await import("../components/secrets.js");
    await setSecret(`/api/apps/${api.name(app)}`, app, name);
    await load();
  }

  fill(root, top, troubles, tabs, place);
  if (!(await load())) return null;
  const { render: renderView } = await import(`./app/${view}.js`);
  const inner = await renderView(place, { ...context, app, known: () => known, reload: load });
  let due = 0; // several events at once lead to one request
  const soon = (told) => {
    if (told.app && told.app !== app) return;
    clearTimeout(due);
    due = setTimeout(() => load().then((isThere) => isThere && inner.update()).catch(() => {}), 100);
  };
  const ends = [
    mayDeploy ? takesDrops(root, (items) => drop(null, items)) : () => {},
    api.events({ open: (isAgain) => { if (isAgain) soon({}); }, apps: soon, workers: soon, deploys: soon, stats: (told) => inner.stats?.(told) }),
    () => clearTimeout(due),
    inner.end,
  ];
  return () => ends.forEach((end) => end?.());
}

// The active version; the first one if none is active.
export const current = (known) => known.versions.find(({ active }) => active) ?? known.versions[0];
