// The live log of all apps, or everything known about one request.
import * as api from "../api.js";
import { button, fill, h, nextId, say } from "../dom.js";
import { clock } from "../format.js";
import { t } from "../i18n.js";
import { href, query as keepQuery } from "../router.js";
import { quoted } from "../apps.js";
import "../components/lines.js";
import { open } from "../components/dialog.js";
import { header, nothing, same, stack } from "../components/parts.js";

export const title = "logs.title";
const SINCE = ["", "15m", "1h", "24h", "7d"];
const LEVELS = ["debug", "info", "warn", "error"];

export function render(root, params, { query }) {
  const place = h("div.view-body");
  fill(root, header(t("logs.title"), { under: query.has("request") ? h("p.faint", t("logs.whole"), " ", h("a", { href: href("logs") }, t("logs.all"))) : null }), place);
  return logView(place, query);
}

// The log itself, of the app `of` or of those in the query. Returns a function that ends it.
export async function logView(root, query, of = "") {
  const lines = h("bt-lines.tall", { label: t("logs.title") });
  lines.render = (line) => [...cells(line), of ? null : h("span.faint", whose(line))];
  lines.kind = (line) => (isGap(line) ? "gap" : line.level);
  lines.onpick = showLine;
  const names = h("datalist", { id: nextId("apps") });
  const field = (name, props = {}) => h("input", { name, type: "search", value: query.get(name), placeholder: t(`logs.${name}`), "aria-label": t(`logs.${name}`), spellcheck: "false", ...props });
  const app = field("app", { list: names.id, value: of || query.get("app"), hidden: Boolean(of) });
  const request = field("request");
  const search = field("q", { type: "search" });
  const level = h("select", { "aria-label": t("log.level") }, LEVELS.map((name) => h("option", { value: name, selected: name === (query.get("level") ?? "info") }, name)));
  const since = h("select", { "aria-label": t("logs.since") }, [...new Set([...SINCE, query.get("since") ?? ""])].map((value) =>
    h("option", { value, selected: value === (query.get("since") ?? "") }, SINCE.includes(value) ? t(`since.${value || "now"}`) : clock(value))));
  const status = h("span.faint.small", { role: "status" });
  const line = h("div");
  let end = null;
  let last = 0;
  let isBack = false; // the next lines are the first after an interruption
  const asked = () => ({ app: app.value.trim(), level: level.value, request: request.value.trim(), since: since.value });
  const take = (batch) => {
    const fresh = batch.filter(({ seq }) => !(seq <= last)); // a report of lost lines has no number
    // This is the end of the log again: if it begins after the last line here, lines are missing.
    if (isBack && fresh.length === batch.length) lines.add([{ time: fresh[0].time, level: "warn", event: GAP, message: t("logs.away") }]);
    isBack = false;
    last = Math.max(last, ...fresh.map(({ seq }) => seq ?? 0));
    lines.add(fresh);
    look();
  };
  const none = nothing(t("logs.none"), h("p", t("logs.teach")));
  const look = () => { none.hidden = lines.count > 0; };
  function begin() {
    // For one request everything is shown; otherwise the end of the log, and new lines.
    const isWhole = Boolean(request.value.trim());
    end = api.follow("/api/logs", {
      query: () => ({ ...asked(), since: isWhole && !since.value ? "14d" : since.value, follow: true, limit: last ? 2000 : isWhole || since.value ? 5000 : 500 }),
      take,
      state: (now, error) => {
        if (now === "live") isBack = last > 0;
        look();
        say(status, error?.message || t({ live: "live.live", lost: "live.away", paused: "live.paused" }[now]));
      },
    });
  }
  function stop() {
    end?.();
    end = null;
  }
  const hold = button(t("log.pause"), () => {
    if (end) stop();
    else begin();
    say(hold, t(end ? "log.pause" : "log.go"));
    say(status, t(end ? "live.live" : "live.paused"));
  }, { class: "quiet" });
  function ask() {
    const { app: name, level: least, request: id, since: from } = asked();
    keepQuery({ app: of ? "" : name, level: least === "info" ? "" : least, request: id, since: from, q: search.value });
    const words = ["buntime logs", id || from ? "" : "-f", name && quoted(name), least !== "debug" && `--level ${least}`, id && `--request ${quoted(id)}`, from && `--since ${from}`];
    fill(line, same(words.filter(Boolean).join(" ")));
    stop();
    lines.clear();
    last = 0;
    begin();
    say(hold, t("log.pause"));
  }
  function find() {
    const word = search.value.toLowerCase();
    keepQuery({ q: search.value });
    lines.filter((each) => !word || isGap(each) || `${textOf(each)} ${each.app ?? ""} ${each.worker ?? ""}`.toLowerCase().includes(word));
    look();
  }
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 300);
  };
  for (const each of [app, request]) each.addEventListener("input", soon);
  for (const each of [level, since]) each.addEventListener("change", ask);
  search.addEventListener("input", find);
  fill(root,
    h("section.panel",
      h("header", h("div.tools.filters", app, names, level, since, request, search), h("div.row-actions", status, hold, button(t("log.clear"), () => look(lines.clear()), { class: "quiet" }))),
      none, lines), line);
  ask();
  find();
  const known = of ? { apps: [] } : await api.get("/api/apps", { query: { limit: 1000 } }).catch(() => ({ apps: [] }));
  fill(names, known.apps.map((each) => h("option", { value: each.app })), h("option", { value: "+runtime" }));
  return () => {
    clearTimeout(timer);
    stop();
  };
}

const whose = ({ app, plugin, worker }) => [app ?? (plugin && `plugin:${plugin}`) ?? "runtime", worker].filter(Boolean).join(" ");

// Where lines were lost: by the connection, by an app that prints too much, or by the log.
const GAP = "log.gap";
const GAPS = new Set([GAP, "log.skipped", "log.dropped", "app.output_dropped"]);
const isGap = ({ event }) => GAPS.has(event);

// The text of a line in one row: a request as "GET /path 200 3 ms".
export function textOf(line) {
  if (line.event === "request.access") return `${line.method} ${line.path} ${line.status} ${line.ms} ms`;
  return [isGap(line) && line.lines && t("logs.lost", { n: line.lines }), line.message, line.error].filter(Boolean).join(": ");
}

export const cells = (line) => [h("span.faint", clock(line.time)), h("span.level", line.level), h("span", textOf(line))];

// A link to all lines of a request that has one at `time`; nothing older than ten minutes is read.
export const requestHref = (id, time) =>
  href(`logs?request=${encodeURIComponent(id)}&since=${new Date(new Date(time) - 600_000).toISOString().slice(0, 19)}Z`);

// All that is known about a line, and a link to the rest of its request.
export function showLine(line) {
  const { stack: trace, ...fields } = line;
  open({
    title: line.event,
    wide: true,
    hasClose: true,
    body: h("div.body", h("dl.fields", Object.entries(fields).map(([name, value]) => h("div", h("dt", name), h("dd", typeof value === "string" ? value : JSON.stringify(value))))),
      trace ? stack(trace) : null,
      line.request_id ? h("a", { href: requestHref(line.request_id, line.time) }, t("log.request")) : null),
  });
}
