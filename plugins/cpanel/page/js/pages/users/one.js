// One user: what apps learn, the user's sessions, and actions of operators.
import * as api from "../../api.js";
import { quoted } from "../../apps.js";
import { button, doing, fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { go, href } from "../../router.js";
import { act, confirm } from "../../components/dialog.js";
import { ago, facts, header, nothing, section } from "../../components/parts.js";
import { table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";
import { fields, flags, pathOf, said, showLink, standing } from "../users.js";

export async function render(root, name, { can }) {
  const mayWrite = can("users:write", "*");
  const top = h("div.view-body");
  const about = h("div.body");
  const place = quoted(name);
  const sessions = table({
    label: t("users.sessions"),
    rowKey: (row) => `${row.host} ${row.createdAt} ${row.expiresAt}`,
    empty: () => nothing(t("users.nowhere")),
    columns: [
      { key: "host", title: t("users.host"), cell: (row) => h("code", row.host) },
      { key: "by", title: t("users.by"), cell: (row) => row.provider },
      { key: "since", title: t("plugins.since"), wide: true, cell: (row) => ago(row.createdAt) },
      { key: "seen", title: t("users.seen"), cell: (row) => ago(row.seenAt) },
      { key: "ends", title: t("keys.expires"), wide: true, cell: (row) => ago(row.expiresAt) },
    ],
  });
  const kicker = () => h("a", { href: href("users") }, t("users.title"));

  async function load() {
    let found;
    try {
      found = await api.get(pathOf(name));
    } catch (error) {
      if (error.status !== 404) throw error;
      return fill(root, header(name, { kicker: kicker() }), nothing(t("users.gone"), h("p", error.message)));
    }
    const { user } = found;
    fill(top, header(user.name, { kicker: kicker(), under: h("p.faint", standing(user), user.fullName ? ` · ${user.fullName}` : null), actions: mayWrite ? actions(user) : null }));
    fill(about, facts([t("users.email"), user.email || null], [t("users.roles"), user.roles.join(", ") || null], [t("users.groups"), user.groups.join(", ") || null],
      [t("users.factor"), t(user.hasSecondFactor ? "plugins.yesShort" : "plugins.no")], [t("users.created"), ago(user.createdAt)]));
    sessions.rows = found.sessions;
  }
  const one = (key, work, props = {}) => button(t(`user-${key}.do`), doing(() => work().then(load)), props);
  const actions = (user) => [
    one("change", () => change(user)),
    one("reset", reset),
    one("out", () => act("user-out", { name }, { command: `buntime users sign-out ${place}`, count: ({ ended }) => ended, run: () => api.del(pathOf(name, "/sessions")) })),
    user.hasSecondFactor ? one("factor", () => act("user-factor", { name }, { danger: true, command: `buntime users set ${place} --no-second-factor`, run: () => patch({ secondFactor: false }) })) : null,
    user.disabled ? one("enable", () => turn(false), { class: "primary" }) : one("disable", () => turn(true)),
    button(t("user-remove.do"), doing(remove), { class: "quiet" }),
  ];
  const patch = (body) => api.patch(pathOf(name), { body });
  const turn = (disabled) => act(disabled ? "user-disable" : "user-enable", { name }, {
    danger: disabled, command: `buntime users set ${place} --${disabled ? "disable" : "enable"}`,
    run: () => patch({ disabled }), undo: () => patch({ disabled: !disabled }).then(load),
  });
  async function change(user) {
    const done = await confirm({
      title: t("user-change.title", user), text: t("user-change.text"), yes: t("options.save"), fields: fields(user),
      command: (values) => `buntime users set ${place}${flags(values)}`,
      run: (values) => patch(said(values)),
    });
    const { email, fullName, roles, groups } = user;
    if (done) toast(t("user-change.done", user), { action: { label: t("do.undo"), run: () => patch({ email, fullName, roles, groups }).then(load) } });
  }
  async function reset() {
    const made = await confirm({ title: t("user-reset.title", { name }), text: t("user-reset.text"), yes: t("user-reset.do"), command: `buntime users reset ${place}`, run: () => api.post(pathOf(name, "/reset")) });
    if (made) showLink(made);
  }
  async function remove() {
    const done = await act("user-remove", { name }, { danger: true, command: `buntime users remove ${place}`, run: () => api.del(pathOf(name)) });
    if (done) go(href("users"));
  }
  fill(root, top, section(t("users.told"), about), section(t("users.sessions"), sessions));
  await load();
}
