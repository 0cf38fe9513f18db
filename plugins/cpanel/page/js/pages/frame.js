// A page of a plugin or an app, shown in a frame of its own.
import { nothing } from "../components/parts.js";
import { t } from "../i18n.js";

export const title = "frame.title";

export function render(root) {
  root.append(nothing(t("frame.none")));
}
