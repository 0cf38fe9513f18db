// One plugin: its state and the reason, its hooks, and a form for its options.
import * as api from "../../api.js";
import { button, doing, fill, h } from "../../dom.js";
import { ms, number } from "../../format.js";
import { own, t } from "../../i18n.js";
import { go, href } from "../../router.js";
import { act } from "../../components/dialog.js";
import { ago, facts, header, nothing, same, section } from "../../components/parts.js";
import "../../components/schema-form.js";
import { secretsOf } from "../../components/secrets.js";
import { table } from "../../components/table.js";
import { actions, standing } from "./acts.js";

export async function render(root, plugin, { can }) {
  const path = `/api/plugins/${api.name(plugin)}`;
  const mayWrite = can("plugins:write");
  const top = h("div.view-body");
  const about = h("div.body");
  const hooks = table({
    label: t("plugins.hooks"),
    empty: () => nothing(t("plugins.noHooks")),
    columns: [
      { key: "name", title: t("plugins.hook"), cell: (row) => h("code", row.name) },
      { key: "asked", title: t("plugins.asked"), number: true, cell: (row) => number(row.asked) },
      { key: "time", title: t("plugins.time"), number: true, cell: (row) => ms(row.asked ? (row.seconds / row.asked) * 1000 : null) },
      { key: "verdicts", title: t("plugins.verdicts"), wide: true, cell: (row) => counts(row.verdicts) },
      { key: "failed", title: t("plugins.failed"), number: true, cell: (row) => counts(row.failures) || "0" },
    ],
  });
  const secrets = secretsOf(path, `plugin:${plugin}`, can("secrets:write", `plugin:${plugin}`));
  const options = h("div");
  let form = null;
  let edited = "";

  async function load() {
    let found;
    try {
      found = await api.get(path);
    } catch (error) {
      if (error.status !== 404) throw error;
      return fill(root, header(plugin, { kicker: kicker() }), nothing(t("plugins.gone"), h("p", error.message)));
    }
    const page = found.menus?.length ? found.menus.map((menu) => h("a", { href: menu.href ?? `${found.base}/` }, own(menu.title))) : found.base ? [h("a", { href: `${found.base}/` }, found.base)] : null;
    fill(top, header(plugin, { kicker: kicker(), under: h("p.faint", standing(found), found.version ? ` · ${found.version}` : null),
      actions: mayWrite ? [...actions(found, load), found.isInstalled ? button(t("plugin-remove.do"), doing(() => remove(found)), { class: "quiet", "aria-label": t("plugin-remove.title", { name: plugin }) }) : null] : null }),
    found.why || found.error ? h("div.notice.error", { role: "alert" }, h("p", h("strong", found.why ?? found.error)), found.guards ? h("p.faint", t("plugins.closed")) : null) : null);
    fill(about, facts([t("plugins.stage"), found.stage], [t("plugins.page"), page], found.base && [t("plugins.frame"), frame(found.frame)], [t("plugins.since"), ago(found.since)], [t("plugins.enabledBy"), found.enabledBy],
      [t("plugins.services"), Object.keys(found.services ?? {}).join(", ") || null], [t("plugins.guards"), t(found.guards ? "plugins.yes" : "plugins.no")], [t("app.folder"), h("code", found.folder)]));
    hooks.rows = Object.entries(found.hookCounts).map(([name, row]) => ({ name, ...row }));
    drawOptions(found);
    await secrets.load();
  }

  // Does not overwrite values that somebody is typing.
  function drawOptions({ options: known, etag }) {
    if (form && (Object.keys(form.changes).length || JSON.stringify(known) === edited)) return;
    edited = JSON.stringify(known);
    if (!known.length) return fill(options, nothing(t("options.none")));
    form = h("bt-schema-form");
    form.schema = known.map(({ name, schema, origin }) => ({ ...schema, name, note: ["default", "not set"].includes(origin) ? null : t("options.from", { origin }) }));
    form.values = Object.fromEntries(known.filter(({ isSecret }) => !isSecret).map(({ name, value }) => [name, value]));
    const line = h("div");
    const fault = h("p.fault", { role: "alert" });
    const save = h("button.primary", { type: "submit", disabled: !mayWrite }, t("options.save"));
    const told = () => {
      const changes = Object.entries(form.changes);
      fill(line, changes.length ? same(`buntime plugins options ${plugin} ${changes.map(([name, value]) => `${name}=${known.find((each) => each.name === name).isSecret ? "…" : Array.isArray(value) ? value.join(",") : value}`).join(" ")}`) : null);
    };
    const submit = async () => {
      const { changes } = form;
      fill(fault);
      form.faults = {};
      if (!Object.keys(changes).length) return fill(fault, t("options.same"));
      const done = await act("options", { name: plugin }, { run: () => api.put(`/api/plugins/${api.name(plugin)}/options`, { body: changes, etag }) });
      if (!done) return null;
      form = null;
      return load();
    };
    fill(options, h("form.body", { oninput: told, onsubmit: (event) => { event.preventDefault(); doing(submit)({ currentTarget: save }); } }, form, line, fault, h("div.buttons", save)));
  }
  const remove = async ({ guards }) => {
    const done = await act("plugin-remove", { name: plugin }, {
      danger: true, command: `buntime plugins remove ${plugin}${guards ? " --yes" : ""}`,
      run: () => api.del(`/api/plugins/${api.name(plugin)}`, { query: { confirm: guards ? plugin : null } }),
    });
    if (done) go(href("plugins"));
  };
  const kicker = () => h("a", { href: href("plugins") }, t("plugins.title"));
  fill(root, top, section(t("plugins.about"), about), section(t("plugins.hooks"), hooks), section(t("options.title"), options), secrets.element);
  await load();
  return api.events({ open: (isAgain) => { if (isAgain) load(); }, plugins: (told) => { if (!told.plugin || told.plugin === plugin) load(); } });
}

const counts = (by) => Object.entries(by ?? {}).filter(([, count]) => count).map(([name, count]) => `${name} ${number(count)}`).join(", ");

// Whether its pages have the operator's rights: an operator decides, a manifest can only ask.
const frame = ({ trusted, asked, origin }) => [
  trusted && origin ? h("span.tag.trusted", t("plugins.trusted")) : null, trusted && origin ? " " : null,
  t(trusted ? "plugins.trustedWhy" : "plugins.sandboxed"), origin ? [" ", h("code.small", origin)] : null,
  asked && !trusted ? h("p.faint.small", t("plugins.asks")) : null,
];
