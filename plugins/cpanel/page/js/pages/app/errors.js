// An app's errors by kind, and why its workers ended, with readable stacks.
import * as api from "../../api.js";
import { fill, h } from "../../dom.js";
import { duration } from "../../format.js";
import { t } from "../../i18n.js";
import { requestHref } from "../logs.js";
import { ago, nothing, section, stack } from "../../components/parts.js";

export async function render(root, { app }) {
  const errors = h("div");
  const autopsies = h("div");
  fill(root, section(t("errors.title"), errors), section(t("autopsies.title"), autopsies));
  const open = new Set(); // keys of unfolded entries, which stay unfolded

  // An entry that can be unfolded: its key, its summary and its content.
  function entry(key, isFirst, line, ...below) {
    if (isFirst && !open.size) open.add(key);
    return h("details.entry", { open: open.has(key), ontoggle: (event) => open[event.target.open ? "add" : "delete"](key) }, h("summary", line), below);
  }
  async function load() {
    const found = await Promise.all([api.get(`/api/apps/${api.name(app)}/errors`), api.get(`/api/apps/${api.name(app)}/autopsies`)]);
    const ended = found[1].autopsies.filter(({ planned }) => !planned);
    fill(errors, found[0].errors.map((one, at) => entry(one.id, at === 0,
      [h("strong", one.message), " ", h("span.faint", one.where ?? "", " · ", t("errors.count", { n: one.count }), " · ", ago(one.lastAt * 1000))],
      stack(one.stack ?? one.message),
      one.requestId ? h("a", { href: requestHref(one.requestId, one.lastAt * 1000) }, t("log.request")) : null)),
    found[0].errors.length ? null : nothing(t("errors.none"), h("p", t("errors.teach"))));
    fill(autopsies, ended.map((one) => entry(one.worker, false,
      [h("strong", one.worker), " ", one.why, " ", h("span.faint", ago(one.at * 1000))],
      h("p.faint", t("autopsies.text", { age: duration(one.ageSeconds), served: one.requestCount, lost: one.requestsLost })),
      one.stack ? stack(one.stack) : h("p", t("autopsies.blank")))),
    ended.length ? null : nothing(t("autopsies.none"), h("p", t("autopsies.teach"))));
  }
  await load();
  return { update: load };
}
