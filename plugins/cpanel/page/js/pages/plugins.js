// Plugins: the state and actions of each; each has its own page.
import * as api from "../api.js";
import { fill, h } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";
import { href } from "../router.js";
import { header, nothing } from "../components/parts.js";
import { table } from "../components/table.js";
import { actions, standing } from "./plugins/acts.js";
import { installs } from "./plugins/install.js";

export const title = ({ plugin }) => plugin ?? t("plugins.title");

export async function render(root, { plugin }, context) {
  if (plugin) return (await import("./plugins/one.js")).render(root, plugin, context);
  const mayWrite = context.can("plugins:write");
  const shown = table({
    label: t("plugins.title"),
    empty: () => nothing(t("plugins.none"), h("p", t("plugins.teach"))),
    columns: [
      { key: "name", title: t("plugins.name"), cell: (row) => [h("a.name", { href: href(`plugins/${api.name(row.name)}`) }, row.name), " ", h("span.faint.small", row.version), row.frame.origin && row.frame.trusted ? [" ", h("span.tag.trusted", { title: t("plugins.trustedWhy") }, t("plugins.trusted"))] : null], sort: (row) => row.name },
      { key: "state", title: t("apps.state"), cell: (row) => [standing(row), row.why ? h("div.small.faint", row.why) : null], sort: (row) => row.state },
      { key: "stage", title: t("plugins.stage"), wide: true, cell: (row) => row.stage ?? "–" },
      { key: "base", title: t("plugins.page"), wide: true, cell: (row) => (row.base ? h("a", { href: `${row.base}/` }, row.base) : "–") },
      { key: "asked", title: t("plugins.asked"), number: true, wide: true, cell: (row) => number(row.counts.hooksAsked), sort: (row) => row.counts.hooksAsked },
      { key: "failed", title: t("plugins.failed"), number: true, wide: true, cell: (row) => number(row.counts.hooksFailed), sort: (row) => row.counts.hooksFailed },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => mayWrite && h("div.row-actions", actions(row, load, ["enable", "disable", "reload"])) },
    ],
  });
  async function load() {
    shown.rows = (await api.get("/api/plugins")).plugins;
  }
  const way = mayWrite ? installs(root, load) : null;
  fill(root, header(t("plugins.title"), { actions: way?.element }), h("section.panel", shown), way && h("p.faint.small", t("install.hint")));
  await load();
  const ends = [api.events({ open: (isAgain) => { if (isAgain) load(); }, plugins: load }), way?.end];
  return () => ends.forEach((end) => end?.());
}
