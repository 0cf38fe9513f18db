// The overview: what needs attention, the last hour, and the apps.
import * as api from "../api.js";
import { appLink, appTable, noApps } from "../apps.js";
import { fill, h, say } from "../dom.js";
import { t } from "../i18n.js";
import { hourly } from "../components/chart.js";
import { drawDeploys } from "../components/deploys.js";
import { command, section, together } from "../components/parts.js";

export const title = "overview.title";

export async function render(root) {
  const headline = h("h1", t("overview.title"));
  const trouble = h("div");
  const attention = h("div");
  const figures = hourly((hour) => hour.total, { apps: 0 });
  const apps = appTable({ empty: noApps });
  const deploys = h("div");
  fill(root, h("div.head", headline), trouble, attention, figures.element, section(t("apps.title"), apps), section(t("deploys.title"), deploys));

  async function loadAttention() {
    const found = (await api.get("/api/attention")).items;
    const count = found.filter(({ level }) => level !== "info").length;
    say(headline, count ? t("overview.needs", { n: count }) : t("overview.well"));
    fill(attention, found.map((one) => h("div.notice", { class: one.level },
      h("p", h("strong", one.text)),
      one.hint ? h("p.faint", one.hint) : null,
      one.command ? command(one.command) : null,
      one.href ? h("a", { href: one.href }, t("overview.look")) : null)));
  }
  async function loadDeploys() {
    drawDeploys(deploys, (await api.get("/api/deploys")).deploys.slice(0, 5), appLink);
  }
  const load = () => together(trouble, apps.load, figures.load, loadAttention, loadDeploys);
  await load();
  const ends = [figures.end, api.events({
    open: (isAgain) => { if (isAgain) load(); },
    apps: apps.load,
    deploys: loadDeploys,
    attention: loadAttention,
    stats(told) {
      apps.stats(told);
      figures.now(told.total);
    },
  })];
  return () => ends.forEach((end) => end());
}
