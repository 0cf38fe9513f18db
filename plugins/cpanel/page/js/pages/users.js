// Users who sign in to apps by password; the plugin that signs people in has them.
import * as api from "../api.js";
import { quoted } from "../apps.js";
import { button, doing, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { href } from "../router.js";
import { confirm, open } from "../components/dialog.js";
import { ago, command, header, nothing, state } from "../components/parts.js";
import { table } from "../components/table.js";

export const title = ({ user }) => user ?? t("users.title");

const list = (text) => text.split(/[\s,]+/).filter(Boolean);
export const pathOf = (user, what = "") => `/api/users/${api.name(user)}${what}`;
export const standing = (user) =>
  user.disabled ? state("off", t("user.disabled")) : user.hasPassword ? state("good", t("user.active")) : state("warn", t("user.invited"));

// A user's details: fields of a form, the body of the request, and flags of the command line.
export const fields = (user = {}) => [
  { name: "email", label: t("users.email"), value: user.email, type: "email" },
  { name: "fullName", label: t("users.fullName"), value: user.fullName, maxlength: "200" },
  { name: "roles", label: t("users.roles"), value: user.roles?.join(", "), placeholder: "editor", help: t("users.help") },
  { name: "groups", label: t("users.groups"), value: user.groups?.join(", ") },
];
export const said = ({ roles, groups, ...texts }) => ({ ...texts, roles: list(roles), groups: list(groups) });
export function flags({ email, fullName, roles, groups }) {
  const given = [["email", email], ["full-name", fullName], ["role", list(roles).join(",")], ["group", list(groups).join(",")]];
  return given.filter(([, value]) => value).map(([name, value]) => ` --${name} ${quoted(value)}`).join("");
}

// The link with which a user sets a password; it is shown only once.
export const showLink = ({ user, link, expiresAt }, onclose) => open({
  title: t("users.link", user), hasClose: true, onclose,
  body: h("div.steps", h("p", t("users.send"), " ", t("keys.expires"), ": ", ago(expiresAt)), command(link)),
});

export async function render(root, { user }, context) {
  if (user) return (await import("./users/one.js")).render(root, user, context);
  const mayWrite = context.can("users:write", "*");
  const words = (values) => (values.length ? values.join(", ") : "–");
  const users = table({
    label: t("users.title"),
    empty: () => nothing(t("users.none"), h("p", t("users.teach")), command("buntime users invite ann --role editor")),
    columns: [
      { key: "name", title: t("keys.name"), cell: (row) => [h("a.name", { href: href(`users/${api.name(row.name)}`) }, row.name), " ", h("span.faint.small", row.fullName)], sort: (row) => row.name },
      { key: "state", title: t("apps.state"), cell: standing, sort: (row) => `${row.disabled} ${row.hasPassword}` },
      { key: "roles", title: t("users.roles"), cell: (row) => words(row.roles), sort: (row) => words(row.roles) },
      { key: "groups", title: t("users.groups"), wide: true, cell: (row) => words(row.groups) },
      { key: "email", title: t("users.email"), wide: true, cell: (row) => row.email || "–", sort: (row) => row.email },
      { key: "factor", title: t("users.factor"), wide: true, cell: (row) => t(row.hasSecondFactor ? "plugins.yesShort" : "plugins.no") },
    ],
  });
  async function load() {
    users.rows = await api.all("/api/users", "users");
  }
  async function invite() {
    const made = await confirm({
      title: t("users.invite"), text: t("users.inviteText"), yes: t("users.inviteDo"),
      fields: [{ name: "name", label: t("keys.name"), required: true, placeholder: "ann", maxlength: "64" }, ...fields()],
      command: ({ name, ...values }) => `buntime users invite ${quoted(name || "NAME")}${flags(values)}`,
      run: ({ name, ...values }) => api.post("/api/users", { body: { name, ...said(values) } }),
    });
    if (made) showLink(made, load);
  }
  fill(root, header(t("users.title"), { actions: mayWrite ? button(t("users.invite"), doing(invite), { class: "primary" }) : null }),
    h("section.panel", users), h("p.faint.small", t("users.about")));
  try {
    await load();
  } catch (error) {
    if (error.code !== "sign_in_unavailable") throw error;
    fill(root, header(t("users.title")), nothing(t("users.off"), h("p", t("users.offWhy")), command("buntime plugins enable authn")));
  }
}
