// Operators' keys: create one, which is shown once, or revoke one.
import * as api from "../api.js";
import { quoted } from "../apps.js";
import { button, doing, fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { act, confirm, open } from "../components/dialog.js";
import { ago, command, header, nothing, state } from "../components/parts.js";
import { table } from "../components/table.js";

export const title = "keys.title";
const ROLES = ["viewer", "deployer", "operator", "admin"];
const KINDS = { active: "good", expired: "warn", revoked: "off" };
const list = (text) => text.split(/[\s,]+/).filter(Boolean);

export async function render(root, params, { can }) {
  const mayWrite = can("keys:write");
  const keys = table({
    label: t("keys.title"),
    empty: () => nothing(t("keys.none"), h("p", t("keys.teach")), command("buntime keys add laptop --role admin")),
    columns: [
      { key: "name", title: t("keys.name"), cell: (row) => [h("strong", row.name), " ", h("code.faint.wide", `${row.hint}…`)], sort: (row) => row.name },
      { key: "state", title: t("apps.state"), cell: (row) => state(KINDS[row.standing], t(`key.${row.standing}`)), sort: (row) => row.standing },
      { key: "roles", title: t("keys.roles"), cell: (row) => row.roles.join(", "), sort: (row) => row.roles[0] },
      { key: "apps", title: t("apps.title"), wide: true, cell: (row) => (row.apps.includes("*") ? t("keys.all") : h("code", row.apps.join(" "))) },
      { key: "used", title: t("keys.used"), wide: true, cell: (row) => ago(row.lastUsed), sort: (row) => row.lastUsed ?? "" },
      { key: "expires", title: t("keys.expires"), wide: true, cell: (row) => (row.expires ? ago(row.expires) : t("keys.never")), sort: (row) => row.expires ?? "" },
      { key: "by", title: t("keys.by"), wide: true, cell: (row) => row.createdBy },
      { key: "do", title: "", away: t("do.all"), number: true, cell: (row) => mayWrite && row.standing === "active"
        && button(t("revoke.do"), doing(() => revoke(row.name)), { "aria-label": t("revoke.title", row) }) },
    ],
  });
  async function load() {
    const found = await api.all("/api/keys", "keys");
    const order = Object.keys(KINDS);
    keys.rows = found.sort((a, b) => order.indexOf(a.standing) - order.indexOf(b.standing));
  }
  async function make() {
    const made = await confirm({
      title: t("key.title"), text: t("key.text"), yes: t("key.do"),
      fields: [
        { name: "name", label: t("keys.name"), required: true, placeholder: "laptop", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}" },
        { name: "role", label: t("keys.roles"), type: "select", options: ROLES, help: t("key.roles") },
        { name: "apps", label: t("apps.title"), placeholder: "*", help: t("key.apps") },
        { name: "expires", label: t("keys.expires"), placeholder: "90d", help: t("key.expires") },
      ],
      command: ({ name, role, apps, expires }) => ["buntime keys add", quoted(name || "NAME"), "--role", role, list(apps).length ? `--apps ${quoted(list(apps).join(","))}` : "", expires ? `--expires ${quoted(expires)}` : ""].filter(Boolean).join(" "),
      run: ({ name, role, apps, expires }) => api.post("/api/keys", { body: { name, roles: [role], ...(list(apps).length && { apps: list(apps) }), ...(expires && { expires }) } }),
    });
    if (made?.key) open({ title: t("key.made", made), hasClose: true, body: h("div.steps", h("p", t("key.once")), command(made.key)), onclose: load });
  }
  const revoke = async (name) => {
    await act("revoke", { name }, { danger: true, command: `buntime keys revoke ${quoted(name)}`, run: () => api.del(`/api/keys/${api.name(name)}`) });
    await load();
  };
  fill(root, header(t("keys.title"), { actions: mayWrite ? button(t("key.title"), doing(make), { class: "primary" }) : null }),
    h("section.panel", keys), h("p.faint.small", t("keys.about")));
  await load();
}
