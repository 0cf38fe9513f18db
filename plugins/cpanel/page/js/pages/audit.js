// Who changed what, newest first, with the values before and after.
import * as api from "../api.js";
import { appLink, quoted } from "../apps.js";
import { button, doing, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { query as keepQuery } from "../router.js";
import { ago, command, header, nothing, same, state } from "../components/parts.js";

export const title = "audit.title";
const FILTERS = ["app", "actor", "action"];

export async function render(root, params, { query }) {
  const inputs = FILTERS.map((name) => h("input", { name, type: "search", value: query.get(name), placeholder: t(`audit.${name}`), "aria-label": t(`audit.${name}`), spellcheck: "false" }));
  const values = () => Object.fromEntries(inputs.map(({ name, value }) => [name, value.trim()]));
  const entries = h("ol.plain");
  const none = h("div");
  const line = h("div");
  const more = button(t("audit.more"), doing(() => load()), { hidden: true });
  let cursor = null;
  let turn = 0;
  async function load(isFirst = false) {
    const mine = isFirst ? ++turn : turn;
    const found = await api.get("/api/audit", { query: { ...values(), limit: 50, cursor: isFirst ? null : cursor } });
    if (mine !== turn) return;
    if (isFirst) fill(entries);
    entries.append(...found.entries.map(entry));
    cursor = found.next;
    more.hidden = !cursor;
    fill(none, entries.childElementCount ? null : nothing(t("audit.none"), h("p", t("audit.teach"))));
  }
  let timer = 0;
  const choose = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 300);
  };
  function ask() {
    const given = Object.entries(values()).filter(([, value]) => value);
    keepQuery(values());
    fill(line, same(["buntime audit", ...given.map(([name, value]) => `--${name} ${quoted(value)}`)].join(" ")));
    return load(true);
  }
  fill(root, header(t("audit.title")), h("section.panel", h("header", h("div.tools", { oninput: choose }, inputs)), entries, none, h("div.more", more)),
    line, h("p.faint.small", t("audit.about")), command("buntime audit --verify"));
  await ask();
  return () => clearTimeout(timer);
}

function entry(each) {
  const hasMore = each.before !== null || each.after !== null;
  const head = [h("strong", each.action), " ", each.app ? appLink(each.app) : h("span", each.subject),
    each.app && each.subject !== each.app ? h("span.faint", ` ${each.subject}`) : null, each.result === "done" ? null : [" ", state(each.result === "begun" ? "busy" : "bad", each.result)]];
  const by = h("span.faint.small", each.actor, " · ", ago(each.time), " · ", each.address);
  return h("li.audit", h("div", head), by, hasMore ? h("details", h("summary.small", t("audit.changes")), changes(each.before, each.after)) : null);
}

// The changes: a row for each key.
function changes(before, after) {
  const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const [was, is] = [isPlain(before) ? before : { "": before }, isPlain(after) ? after : { "": after }];
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])].filter((key) => JSON.stringify(was[key]) !== JSON.stringify(is[key]));
  const cell = (tag, values, key) => (values[key] === undefined || values[key] === null ? null : h(tag, h("code", told(values[key]))));
  return h("dl.fields", keys.map((key) => h("div", h("dt", key), h("dd", cell("del", was, key), " ", cell("ins", is, key)))));
}
const told = (value) => (typeof value === "string" ? value : JSON.stringify(value));
