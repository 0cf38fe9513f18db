// Short messages about what was done, with an undo. Errors stay until they are dismissed.
import { button, h } from "../dom.js";
import { t } from "../i18n.js";

const STAY_MS = 8000;

class Toasts extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.setAttribute("aria-live", "polite");
  }
}
customElements.define("bt-toasts", Toasts);

// `action`: {label, run}.
export function toast(text, { kind = "", action = null } = {}) {
  const place = document.querySelector("bt-toasts");
  if (!place) return () => {};
  let timer = 0;
  const away = () => {
    clearTimeout(timer);
    shown.remove();
  };
  const act = action && button(action.label, () => {
    away();
    action.run();
  });
  const shown = h("div.toast", { class: kind }, h("p", text), act,
    button("×", away, { class: "quiet", "aria-label": t("do.dismiss") }));
  const start = () => { if (kind !== "bad") timer = setTimeout(away, STAY_MS); };
  for (const name of ["mouseenter", "focusin"]) shown.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["mouseleave", "focusout"]) shown.addEventListener(name, start);
  start();
  place.append(shown);
  while (place.children.length > 4) place.firstElementChild.remove();
  return away;
}
