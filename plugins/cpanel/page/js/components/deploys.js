// The last deploys and their errors: of one app, or of all apps on the overview.
import { fill, h } from "../dom.js";
import { t } from "../i18n.js";
import { ago, nothing, stack, state } from "./parts.js";

const KINDS = { done: "good", failed: "bad", running: "busy" };
export function drawDeploys(place, deploys, link = () => null) {
  fill(place, deploys.length ? h("ul.plain", deploys.map((one) => h("li.deploy",
    state(KINDS[one.state], t(`deploys.${one.state}`)),
    h("span", link(one.app), " ", one.version, one.kind === "deploy" ? null : h("span.faint", ` ${t(`deploys.${one.kind}`)}`)),
    h("span.faint.small", one.by, " · ", ago(one.at ?? one.steps.at(-1)?.at)),
    one.failed ? h("details", h("summary", t("deploy.failed", { step: t(`step.${one.failed}`) })), h("p", one.error?.message), one.stack ? stack(one.stack) : null) : null)))
    : nothing(t("deploys.none"), h("p", t("deploys.teach"))));
}
