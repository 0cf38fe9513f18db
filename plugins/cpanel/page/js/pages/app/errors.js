// What went wrong in an app, grouped, and why its workers ended: with stacks one can read.
import * as api from "../../api.js";
import { fill, h } from "../../dom.js";
import { t } from "../../i18n.js";
import { current } from "../app.js";
import { ago, nothing, section, stack } from "../../components/parts.js";

export async function render(root, { app, known }) {
  const errors = h("div");
  const autopsies = h("div");
  fill(root, section(t("errors.title"), errors), section(t("autopsies.title"), autopsies));
  async function load() {
    const { lastError } = current(known()) ?? {};
    fill(errors, lastError ? one(lastError) : nothing(t("errors.none"), h("p", t("errors.teach"))));
    fill(autopsies, nothing(t("autopsies.none"), h("p", t("autopsies.teach"))));
  }
  await load();
  return { update: load };
}

const one = (error) => h("details.entry", { open: true }, h("summary", h("strong", error.message), " ", h("span.faint", ago(error.at * 1000))), stack(error.stack));
