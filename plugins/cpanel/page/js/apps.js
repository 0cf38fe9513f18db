// What several pages tell of an app.
import { h } from "./dom.js";
import { t } from "./i18n.js";
import { href } from "./router.js";
import { state } from "./components/parts.js";

export const appHref = (app) => href(`apps/${app.split("/").map(encodeURIComponent).join("/").replaceAll("%40", "@")}`);
export const appLink = (app) => h("a.name", { href: appHref(app) }, app);

// How an app stands, in a word; `row` is an entry of /api/apps.
export function appState(row) {
  if (row.maintenance) return state("off", t("state.stopped"));
  if (row.bootError) return state("bad", t("state.broken"));
  if (row.status === "offline") return state("off", t("state.ready"));
  return state(row.queued ? "warn" : "good", t(row.queued ? "state.waiting" : "state.serving"));
}
