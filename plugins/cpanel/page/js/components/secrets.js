// Secrets by name, of an app or a plugin: which are missing, set or unused. Values are never shown.
import * as api from "../api.js";
import { button, doing, h } from "../dom.js";
import { t } from "../i18n.js";
import { act } from "./dialog.js";
import { ago, nothing, state } from "./parts.js";
import { table } from "./table.js";

// `path` is for the API, "/api/apps/shop", `holder` for the command line, "shop" or "plugin:login".
export const setSecret = (path, holder, name = "") => act("secret", { name }, {
  title: t(name ? "secret.one" : "secret.title", { name }),
  fields: [
    ...(name ? [] : [{ name: "name", label: t("secrets.name"), required: true, placeholder: "PAYMENT_KEY", pattern: "[A-Za-z_][A-Za-z0-9_]*" }]),
    { name: "value", label: t("secrets.value"), type: "password", required: true },
  ],
  command: (values) => `buntime secrets set ${holder} ${name || values.name || "NAME"}`,
  run: ({ value, ...values }) => api.put(`${path}/secrets/${api.name(name || values.name)}`, { body: { value } }),
});

export function secretsOf(path, holder, mayWrite) {
  const set = (name) => setSecret(path, holder, name).then(load);
  const standing = (row) => (row.missing ? "missing" : row.isUsed ? "used" : "unused");
  const secrets = table({
    label: t("secrets.title"),
    empty: () => nothing(t("secrets.none"), h("p", t("secrets.teach"))),
    columns: [
      { key: "name", title: t("secrets.name"), cell: (row) => h("code", row.name) },
      { key: "state", title: t("apps.state"), cell: (row) => state(row.missing || row.fault ? "bad" : row.isUsed ? "good" : "off", row.fault ?? t(`secrets.${standing(row)}`)) },
      { key: "at", title: t("secrets.at"), wide: true, cell: (row) => (row.setAt ? ago(row.setAt) : row.origin) },
      { key: "do", title: "", away: t("do.all"), number: true, cell: ({ name, missing, origin }) => mayWrite && h("div.row-actions",
        origin !== "RUNTIME_SECRETS_DIR" && button(t(missing ? "secrets.do" : "secrets.change"), doing(() => set(name)), { "aria-label": t("secret.one", { name }) }),
        origin === "state" && button(t("unset.do"), doing(() => unset(name)), { class: "quiet", "aria-label": t("unset.title", { name }) })) },
    ],
  });
  async function unset(name) {
    await act("unset", { name }, { danger: true, command: `buntime secrets remove ${holder} ${name}`, undo: () => set(name), run: () => api.del(`${path}/secrets/${api.name(name)}`) });
    await load();
  }
  async function load() {
    const found = await api.get(`${path}/secrets`);
    secrets.rows = [...found.missing.map((name) => ({ name, missing: true })), ...found.secrets];
  }
  return { element: h("section.panel", h("header", h("h2", t("secrets.title")), mayWrite ? button(t("secret.title"), doing(() => set())) : null), secrets), load };
}
