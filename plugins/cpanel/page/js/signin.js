// The form to sign in with a key.
import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { t } from "./i18n.js";
import { command, words } from "./components/parts.js";

export function signInForm(body, { reason, done }) {
  const key = h("input", { id: "key", type: "password", autocomplete: "off", required: true, placeholder: "bt_…", spellcheck: "false" });
  const fault = h("p.fault", { role: "alert" }, reason ? t(reason) : null);
  const go = h("button.primary", { type: "submit" }, t("signin.go"));
  const form = h("form.signin", {
    onsubmit: async (event) => {
      event.preventDefault();
      if (go.getAttribute("aria-busy")) return;
      go.setAttribute("aria-busy", "true");
      fill(fault);
      try {
        done(await api.signIn(key.value.trim()));
      } catch (error) {
        fill(fault, error.status === 401 ? t("signin.wrong") : words(error));
        key.select();
      }
      go.removeAttribute("aria-busy");
    },
  },
  h("p.brand", "Buntime"),
  h("h1", t("signin.title")),
  h("div.field", h("label", { for: "key" }, t("signin.key")), key),
  fault, go,
  h("div.hint", h("p", t("signin.host")), command("buntime open"), h("p", t("signin.none")), command("buntime keys add laptop --role admin")));
  document.title = `${t("signin.title")} · Buntime`;
  fill(body, h("main", { id: "main" }, form), h("bt-toasts"));
  key.focus();
}
