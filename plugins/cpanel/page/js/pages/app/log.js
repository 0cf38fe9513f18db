// What an app prints, its requests, and what the runtime tells of it, as it comes.
import * as api from "../../api.js";
import { button, fill, h, say } from "../../dom.js";
import { clock } from "../../format.js";
import { t } from "../../i18n.js";
import { href } from "../../router.js";
import "../../components/lines.js";
import { open } from "../../components/dialog.js";
import { command, stack } from "../../components/parts.js";

const LEVELS = ["debug", "info", "warn", "error"];
const RANK = Object.fromEntries(LEVELS.map((level, at) => [level, at]));

export async function render(root, { app }) {
  const lines = h("bt-lines", { label: t("app.log") });
  lines.render = cells;
  lines.onpick = showLine;
  const level = h("select", { "aria-label": t("log.level") }, LEVELS.map((name) => h("option", { value: name, selected: name === "info" }, name)));
  const search = h("input", { type: "search", placeholder: t("log.search"), "aria-label": t("log.search") });
  const status = h("span.faint.small", { role: "status" });
  const choose = () => {
    const text = search.value.toLowerCase();
    const least = RANK[level.value];
    lines.filter((line) => (RANK[line.level] ?? 1) >= least && (!text || textOf(line).toLowerCase().includes(text)));
  };
  level.addEventListener("change", choose);
  search.addEventListener("input", choose);
  let last = 0;
  const hold = button(t("log.pause"), () => {
    if (end) {
      end();
      end = null;
    } else end = begin();
    say(hold, t(end ? "log.pause" : "log.go"));
    say(status, t(end ? "live.live" : "live.paused"));
  }, { class: "quiet" });
  fill(root, h("section.panel", h("header", h("div.tools", level, search, status), h("div.row-actions", hold, button(t("log.clear"), () => lines.clear(), { class: "quiet" }))), lines),
    command(`buntime logs -f ${app}`));
  choose();
  const begin = () => api.follow("/api/logs", {
    query: () => ({ app, follow: true, limit: last ? 1000 : 300 }),
    take: (batch) => {
      const fresh = batch.filter((line) => line.seq > last);
      if (fresh.length) {
        last = fresh.at(-1).seq;
        lines.add(fresh);
      }
    },
    state: (now) => say(status, t({ live: "live.live", lost: "live.away", paused: "live.paused" }[now])),
  });
  let end = begin();
  return { update() {}, end: () => end?.() };
}

// What a line says, in one row: a request as "GET /path 200 3 ms".
export function textOf(line) {
  if (line.event === "request.access") return `${line.method} ${line.path} ${line.status} ${line.ms} ms`;
  return [line.message, line.error].filter(Boolean).join(": ");
}

export const cells = (line) => [h("span.faint", clock(line.time)), h("span.level", line.level), h("span", textOf(line))];

// Where all of a request is, some of which was at `time`: nothing older than ten minutes is read.
export const requestHref = (id, time) =>
  href(`logs?request=${encodeURIComponent(id)}&since=${new Date(new Date(time) - 600_000).toISOString().slice(0, 19)}Z`);

// All that is known of a line, with the way to the rest of its request.
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
