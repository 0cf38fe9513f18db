// "May key X GET /shop/admin?": each check in order, and the one that decides.
import * as api from "../api.js";
import { quoted } from "../apps.js";
import { doing, fill, h, nextId } from "../dom.js";
import { t } from "../i18n.js";
import { query as keepQuery } from "../router.js";
import { header, nothing, problem, same, section, state } from "../components/parts.js";
import { table } from "../components/table.js";

export const title = "access.title";
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const FIELDS = ["app", "path", "key", "user", "roles", "address"];

export async function render(root, params, { query, can, session }) {
  const names = h("datalist", { id: nextId("names") });
  const inputs = FIELDS.map((name) => h("input", {
    id: nextId("access"), name, value: query.get(name) ?? (name === "path" ? "/" : ""), required: name === "app", placeholder: { app: "shop", path: "/admin" }[name],
    list: name === "app" ? names.id : null, spellcheck: "false", autocomplete: "off",
  }));
  const method = h("select", { id: nextId("access"), name: "method" }, METHODS.map((each) => h("option", { value: each, selected: each === query.get("method") }, each)));
  const right = h("select", { id: nextId("access"), name: "right" }, ["", ...session.caller.rights].map((each) => h("option", { value: each, selected: each === query.get("right") }, each || t("access.request"))));
  const field = (input) => h("div.field", h("label", { for: input.id }, t(`access.${input.name}`)), input);
  const answer = h("div.view-body", { "aria-live": "polite" });
  const values = () => Object.fromEntries([...inputs, method, right].map(({ name, value }) => [name, value.trim()]));
  const ask = async () => {
    const given = values();
    keepQuery(given);
    try {
      const told = await api.get("/api/access/explain", { query: given });
      const { app, path, ...more } = given;
      const flags = Object.entries(more).filter(([name, value]) => value && !(name === "method" && value === "GET"));
      fill(answer, verdict(told, given), h("div", same(["buntime access explain", quoted(app), quoted(path || "/"), ...flags.map(([name, value]) => `--${name} ${quoted(value)}`)].join(" "))));
    } catch (error) {
      fill(answer, problem(error));
    }
  };
  const go = h("button.primary", { type: "submit" }, t("access.do"));
  const form = h("form.ask", { onsubmit: (event) => { event.preventDefault(); doing(ask)({ currentTarget: go }); } }, [inputs[0], method, ...inputs.slice(1), right].map(field), h("div.buttons", go));
  const rules = h("div");
  fill(root, header(t("access.title"), { under: h("p.faint", t("access.about")) }),
    h("section.panel", h("div.body", form, names)), answer, can("config:read") ? section(t("access.rules"), rules) : null);
  const known = await api.get("/api/apps", { query: { limit: 1000 } }).catch(() => ({ apps: [] }));
  fill(names, known.apps.map(({ app }) => h("option", { value: app })));
  if (can("config:read")) loadRules(rules);
  if (query.get("app")) await ask();
}

// The last check that refuses decides; if none does, the request is allowed.
function verdict({ isLetIn, checks }, { app, path, method, key, right }) {
  const request = right ? t("access.may", { key, right, app }) : `${method} /${app}${path}`;
  const decides = isLetIn ? null : checks.findLast(({ passes }) => passes === false) ?? checks.at(-1);
  return h("section.panel", h("header", h("h2", t(`access.${right ? "right" : ""}${isLetIn ? "yes" : "no"}`, { request }))),
    h("ol.plain", checks.map((each) => h("li.check", { class: each === decides ? "decides" : "" },
      state({ true: "good", false: "bad", null: "off" }[each.passes], each.check), h("span", each.why),
      each === decides ? h("span.tag", t("access.decides")) : null))));
}

async function loadRules(place) {
  const { rules } = await api.get("/api/access/rules");
  const list = (values) => (values?.length ? h("code", values.join(" ")) : h("span.faint", t("access.any")));
  fill(place, Object.assign(table({
    label: t("access.rules"),
    rowKey: (row) => row.place,
    empty: () => nothing(t("access.none"), h("p", t("access.teach")), h("pre.stack", 'access:\n  - {who: ["role:admin"], apps: [shop], paths: ["/admin/**"], do: allow}\n  - {who: [anyone], apps: [shop], paths: ["/admin/**"], do: deny}')),
    columns: [
      { key: "do", title: t("access.rule"), cell: (row) => state(row.do === "allow" ? "good" : "bad", t(`rule.${row.do}`)) },
      { key: "who", title: t("access.who"), cell: (row) => list(row.who) },
      { key: "apps", title: t("apps.title"), cell: (row) => list(row.apps) },
      { key: "paths", title: t("access.path"), wide: true, cell: (row) => list(row.paths) },
      { key: "methods", title: t("access.method"), wide: true, cell: (row) => list(row.methods) },
      { key: "place", title: t("manifest.origin"), wide: true, cell: (row) => h("span.faint.small", row.place) },
    ],
  }), { rows: rules }));
}
