// All apps, with a search, and the way to a new one.
import * as api from "../api.js";
import { appTable, appWord, noApps, STATES } from "../apps.js";
import { button, fill, h, say } from "../dom.js";
import { deploy, takesDrops } from "../files.js";
import { t } from "../i18n.js";
import { query as keepQuery } from "../router.js";
import { header, nothing } from "../components/parts.js";

export const title = "apps.title";

export async function render(root, params, { can, query }) {
  const search = h("input", { type: "search", "aria-label": t("apps.search"), placeholder: t("apps.search"), value: query.get("q") });
  const states = h("select", { "aria-label": t("apps.state") }, h("option", { value: "" }, t("apps.all")),
    STATES.map((word) => h("option", { value: word, selected: query.get("state") === word }, t(`state.${word}`))));
  const count = h("span.faint.small", { role: "status" });
  const apps = appTable({
    fits: (row) => row.app.toLowerCase().includes(search.value.trim().toLowerCase()) && (!states.value || appWord(row) === states.value),
    empty: () => (search.value || states.value ? nothing(t("apps.unmatched")) : noApps()),
  });
  const choose = () => {
    keepQuery({ q: search.value, state: states.value });
    apps.draw();
    say(count, t("apps.count", { n: apps.rows.length }));
  };
  const load = () => apps.load().then(choose);
  const mayDeploy = can("apps:deploy");
  fill(root,
    header(t("apps.title"), { actions: mayDeploy ? button(t("deploy.new"), () => deploy({}), { class: "primary" }) : null }),
    h("section.panel", h("header", h("div.tools", { oninput: choose }, search, states, count)), apps),
    mayDeploy ? h("p.faint.small", t("deploy.hint")) : null);
  await load();
  const ends = [
    api.events({ open: (isAgain) => { if (isAgain) load(); }, apps: load, stats: apps.stats }),
    mayDeploy ? takesDrops(root, (items) => deploy({ items })) : () => {},
  ];
  return () => ends.forEach((end) => end());
}
