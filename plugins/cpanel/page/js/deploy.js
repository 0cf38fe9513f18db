// Deploys an archive, or a folder that is packed here, and shows each step. A deploy continues when
// the page is left.
import * as api from "./api.js";
import { appHref, quoted } from "./apps.js";
import { button, doing, fill, h, nextId } from "./dom.js";
import { dropped, picked, sizeOf, takesDrops } from "./files.js";
import { bytes } from "./format.js";
import { t } from "./i18n.js";
import { go } from "./router.js";
import { open } from "./components/dialog.js";
import { attempt, command, same, stack, state, words } from "./components/parts.js";
import { pack } from "./zip.js";

// ["1.2.0", "1.10.0"] -> "1.10.1"
function after(versions) {
  const releases = versions.filter((version) => /^\d+\.\d+\.\d+$/.test(version));
  const last = releases.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  return last ? last.replace(/\d+$/, (patch) => Number(patch) + 1) : "1.0.0";
}

// "My Shop@2" -> "my-shop"
const named = (text) => text.replace(/@[^@]*$/, "").toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "");

// The dialog asks what to deploy, as which app and version, then shows the steps. `items` are the
// dropped entries.
export async function deploy({ app = "", versions = [], items = null }) {
  let what = null;
  const input = (value, props) => h("input", { id: nextId("deploy"), value, required: true, spellcheck: "false", autocomplete: "off", ...props });
  const name = input(app, { disabled: Boolean(app), onchange: suggest });
  const version = input(after(versions));
  const field = (each, label) => h("div.field", h("label", { for: each.id }, label), each);
  const chosen = h("p", { role: "status" });
  const fault = h("p.fault", { role: "alert" });
  const steps = h("div.steps");
  const line = h("div");
  const submit = h("button.primary", { type: "submit" }, t("deploy.do"));
  const pick = (label, props) => {
    const file = h("input", { type: "file", hidden: true, onchange: () => file.files.length && choose(picked(file.files)), ...props });
    return [button(label, () => file.click()), file];
  };
  const zone = h("div.zone", h("p", t("deploy.drop")), h("div.actions",
    pick(t("deploy.folder"), { webkitdirectory: true }), pick(t("deploy.archive"), { accept: ".zip,.tar.gz,.tgz" })), chosen);
  takesDrops(zone, async (entries) => choose(await dropped(entries)));

  async function suggest() {
    const found = await api.get(`/api/apps/${api.name(name.value)}`).catch(() => null);
    version.value = after(found?.versions.map((each) => each.version) ?? []);
    draw();
  }
  function choose(found) {
    what = found;
    const { archive, files, leftOut } = found;
    if (!name.value && (name.value = named(found.name))) suggest();
    fill(chosen, h("strong", archive?.name ?? found.name), " · ", files ? `${t("deploy.count", { n: files.length })} · ` : null,
      bytes(sizeOf(found)), leftOut ? ` · ${t("deploy.leftOut", { n: leftOut })}` : null);
    fill(fault);
    draw();
  }
  function draw() {
    fill(line, same(`buntime deploy ${quoted(what?.name || ".")} --app ${quoted(name.value || "NAME")} --version ${quoted(version.value)}`));
  }
  async function send(replace) {
    if (!what || what.files?.length === 0) return fill(fault, t("deploy.nothing"));
    submit.setAttribute("aria-busy", "true");
    fill(fault);
    const last = await carry(steps, name.value, {
      method: "PUT",
      path: `/api/apps/${api.name(name.value)}/versions/${api.name(version.value)}`,
      query: { replace },
      content: async () => what.archive ?? pack(what.files),
      again: () => send(true),
      leave: () => leave(),
    });
    submit.removeAttribute("aria-busy");
    submit.hidden = Boolean(last && !last.failed);
  }
  const form = h("form", { oninput: () => { submit.hidden = false; draw(); }, onsubmit: (event) => { event.preventDefault(); send(false); } },
    zone, h("div.two", field(name, t("apps.name")), field(version, t("apps.version"))), fault, steps, line,
    h("div.buttons", button(t("do.close"), () => leave()), submit));
  draw();
  const leave = open({ title: t(app ? "deploy.title" : "deploy.new", { app }), body: form, wide: true });
  if (items) choose(await dropped(items));
}

// Sends the request for a deploy and shows its steps in `place`. Returns the last line, or null.
export async function carry(place, app, { method, path, query = {}, content = null, again = null, leave }) {
  const now = h("li", state("busy", t(content ? "deploy.sending" : "deploy.working")));
  const output = h("pre.stack", { hidden: true, tabindex: "0" });
  const end = h("div", { role: "status" });
  fill(place, h("ol.plain", now), output, end);
  let last = null;
  const take = (lines) => lines.forEach((told) => {
    if (told.line !== undefined) {
      output.hidden = false;
      output.append(`${told.line}\n`);
      output.scrollTop = output.scrollHeight;
      return;
    }
    last = told;
    if (!told.step) return;
    now.before(h("li", state("good", t(`step.${told.step}`)), " ", h("span.faint.small", told.files ? t("deploy.count", { n: told.files }) : told.entrypoint)),
      ...[told.warnings ?? []].flat().map((text) => h("li", state("warn", text))));
  });
  try {
    const body = content ? { body: await content(), type: "application/octet-stream" } : {};
    await api.lines(method, path, { query, ...body }, take);
    fill(end, last?.failed ? failed(last) : succeeded(app, last, leave));
  } catch (error) {
    last = null;
    fill(end, h("div.notice.error", h("p", words(error)),
      again && error.code === "version_exists" ? button(t("deploy.replace"), doing(again)) : null));
  }
  now.remove();
  return last;
}

const failed = (told) => h("div.notice.error",
  h("p", h("strong", t("deploy.failed", { step: t(`step.${told.failed}`) })), " ", told.error?.message),
  told.stack ? stack(told.stack) : null,
  told.log?.length ? h("details", h("summary", t("deploy.log")), h("pre.stack", { tabindex: "0" }, told.log.map((line) => `${line.message ?? line}\n`))) : null,
  h("p.faint", t("deploy.stays")));

const succeeded = (app, told, leave) => h("div.notice",
  state("good", t(told?.step === "unchanged" ? "step.unchanged" : "deploy.done")),
  h("div.actions",
    told?.url ? h("a.button", { href: told.url, target: "_blank", rel: "noopener" }, t("app.open")) : null,
    button(t("deploy.show"), () => { leave(); go(appHref(app)); }),
    button(t("rollback.do"), doing(() => attempt(() => api.post(`/api/apps/${api.name(app)}/rollback`), t("rollback.done", { app }))))));
