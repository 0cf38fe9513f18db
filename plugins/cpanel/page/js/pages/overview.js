// What an operator looks at in the morning: what needs attention, the last hour, and the apps.
import * as api from "../api.js";
import { appLink, appTable, noApps } from "../apps.js";
import { fill, h, say } from "../dom.js";
import { bytes, ms, rate } from "../format.js";
import { t } from "../i18n.js";
import { drawHour, figuresNow } from "./app/now.js";
import { drawDeploys } from "./app/versions.js";
import { figure } from "../components/chart.js";
import { command, section } from "../components/parts.js";

export const title = "overview.title";

export async function render(root) {
  const figures = {
    requests: figure(t("figure.requests"), rate),
    errors: figure(t("figure.errors"), rate),
    p95: figure(t("figure.latency"), ms),
    memory: figure(t("figure.memory"), bytes),
  };
  const headline = h("h1", t("overview.title"));
  const attention = h("div");
  const apps = appTable({ none: noApps });
  const deploys = h("div");
  fill(root, h("div.head", headline), attention, h("div.figures", Object.values(figures)),
    section(t("apps.title"), apps), section(t("deploys.title"), deploys));

  async function loadHour() {
    const hour = await api.get("/api/history", { query: { step: 30 } });
    drawHour(figures, hour.total, hour);
  }
  async function loadAttention() {
    const found = await api.get("/api/attention");
    const count = found.filter(({ level }) => level !== "info").length;
    say(headline, count ? t("overview.needs", { n: count }) : t("overview.well"));
    fill(attention, found.map((one) => h("div.notice", { class: one.level },
      h("p", one.app ? h("strong", one.app, " ") : null, one.text),
      one.hint ? h("p.faint", one.hint) : null,
      one.command ? command(one.command) : null,
      one.href ? h("a", { href: one.href }, t("overview.look")) : null)));
  }
  async function loadDeploys() {
    drawDeploys(deploys, (await api.get("/api/deploys")).deploys.slice(0, 5), appLink);
  }
  const all = () => Promise.allSettled([apps.load(), loadHour(), loadAttention(), loadDeploys()]);
  await all();
  const hourly = setInterval(() => { if (!document.hidden) loadHour().catch(() => {}); }, 30_000);
  const end = api.events({
    open: (isAgain) => { if (isAgain) all(); },
    apps: apps.load,
    deploys: loadDeploys,
    attention: loadAttention,
    stats(now) {
      apps.stats(now);
      figuresNow(figures, now.total);
    },
  });
  return () => {
    clearInterval(hourly);
    end();
  };
}
