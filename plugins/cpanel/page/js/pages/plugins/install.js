// Installs a dropped or chosen archive of a plugin, or replaces the plugin of that name.
import * as api from "../../api.js";
import { button, h } from "../../dom.js";
import { dropped, picked, takesDrops } from "../../files.js";
import { t } from "../../i18n.js";
import { confirm } from "../../components/dialog.js";
import { quoted } from "../../apps.js";
import { toast } from "../../components/toasts.js";

async function install({ name, archive }, load) {
  if (!archive) return toast(t("install.archive"), { kind: "bad" });
  const done = await confirm({
    title: t("install.title"), text: t("install.text"), yes: t("install.do"),
    fields: [{ name: "name", label: t("plugins.name"), required: true, value: name.replace(/[@-]\d.*$/, "") }],
    command: `buntime plugins install ${quoted(archive.name)}`,
    run: ({ name: wanted }) => api.put(`/api/plugins/${api.name(wanted)}`, { body: archive, type: /zip$/i.test(archive.name) ? "application/zip" : "application/gzip" })
      .then(() => ({ name: wanted })),
  });
  if (done) toast(t("install.done", done));
  return load();
}

// A button for that: {element, end}; files can be dropped on `place` until `end` is called.
export function installs(place, load) {
  const file = h("input", { type: "file", hidden: true, accept: ".zip,.gz,.tgz", "aria-label": t("install.title"), onchange: () => {
    if (file.files.length) install(picked(file.files), load);
    file.value = "";
  } });
  return {
    element: [button(t("install.title"), () => file.click(), { class: "primary" }), file],
    end: takesDrops(place, async (items) => install(await dropped(items), load)),
  };
}
