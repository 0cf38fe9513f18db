// Current settings, where each value comes from, and which a reload can change.
import * as api from "../api.js";
import { fill, h, say } from "../dom.js";
import { t } from "../i18n.js";
import { href, query as keepQuery } from "../router.js";
import { command, header, nothing, section } from "../components/parts.js";
import { table } from "../components/table.js";

export const title = "settings.title";
// Text between backticks is code.
const marked = (text) => text.split("`").map((part, at) => (at % 2 ? h("code", part) : part));
const told = (value) => (value === null || value === undefined ? "–" : typeof value === "string" ? value : Array.isArray(value) ? value.join(", ") || "–" : JSON.stringify(value));

export async function render(root, params, { query }) {
  const config = await api.get("/api/config");
  const search = h("input", { type: "search", placeholder: t("settings.search"), "aria-label": t("settings.search"), value: query.get("q") });
  const only = h("input", { type: "checkbox", id: "only", checked: query.has("set") });
  const count = h("span.faint.small", { role: "status" });
  const all = Object.entries(config.settings).map(([name, entry]) => ({ name, ...entry }));
  const settings = rows(t("settings.title"), [
    { key: "name", title: t("settings.name"), cell: (row) => [h("code", row.name), row.live ? [" ", h("span.tag", { title: t("settings.liveWhy") }, t("settings.live"))] : null, h("div.faint.small", marked(row.meaning))], sort: (row) => row.name },
  ], () => nothing(t("settings.unmatched")));
  const choose = () => {
    const word = search.value.trim().toLowerCase();
    keepQuery({ q: search.value, set: only.checked ? "1" : "" });
    settings.rows = all.filter(({ name, meaning, origin }) => (!only.checked || origin !== "default") && `${name} ${meaning}`.toLowerCase().includes(word));
    say(count, t("settings.count", { n: settings.rows.length }));
  };
  const others = [];
  const [apps, plugins] = [Object.entries(config.apps), Object.entries(config.plugins).filter(([, { options }]) => Object.keys(options).length)];
  for (const [glob, keys] of apps) others.push(section(t("settings.apps", { glob }), rowsOf(keys)));
  for (const [name, { options }] of plugins) others.push(section(h("a", { href: href(`plugins/${api.name(name)}`) }, `${t("settings.plugin")} ${name}`), rowsOf(options)));
  fill(root, header(t("settings.title"), { under: h("p.faint", config.file ? [t("settings.file"), " ", h("code", config.file)] : t("settings.noFile")) }),
    h("section.panel", h("header", h("div.tools", { oninput: choose }, search, h("label.check", { for: "only" }, only, t("settings.only")), count)), settings),
    others, h("p.faint.small", t("settings.about")), command("buntime config show"));
  choose();
}

function rows(label, first, empty = () => null) {
  return table({ label, empty, columns: [...first,
    { key: "value", title: t("manifest.value"), cell: (row) => h("code", told(row.value)) },
    { key: "origin", title: t("manifest.origin"), wide: true, cell: (row) => h("span.small", { class: row.origin === "default" ? "faint" : "" }, row.origin === "default" ? t("settings.default") : row.origin), sort: (row) => row.origin }] });
}

const rowsOf = (keys) => Object.assign(rows("", [{ key: "name", title: t("manifest.key"), cell: (row) => h("code", row.name) }]),
  { rows: Object.entries(keys).map(([name, entry]) => ({ name, ...entry })) });
