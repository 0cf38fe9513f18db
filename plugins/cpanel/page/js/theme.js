// Light or dark: the system's choice, or the operator's.
import { keep, kept } from "./i18n.js";

const KEPT = "buntime.theme";
export const themes = ["auto", "light", "dark"];
export const theme = () => (themes.includes(kept(KEPT)) ? kept(KEPT) : "auto");

export function wear(name) {
  keep(KEPT, name === "auto" ? null : name);
  document.documentElement.dataset.theme = name;
}
wear(theme());
