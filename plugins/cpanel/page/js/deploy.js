// Deploys what is dropped or picked: a zip or tar.gz as it is, a folder packed here. The steps are
// shown as they are reached; a deploy goes on when the page is left.
import * as api from "./api.js";
import { appHref, quoted } from "./apps.js";
import { button, doing, fill, h, nextId } from "./dom.js";
import { bytes } from "./format.js";
import { t } from "./i18n.js";
import { go } from "./router.js";
import { open } from "./components/dialog.js";
import { attempt, command, stack, state, words } from "./components/parts.js";
import { pack } from "./zip.js";

// What nobody would want in an archive, as `buntime deploy` has it.
const LEFT_OUT = /^(\.git|\.hg|\.svn|\.venv|venv|node_modules|__pycache__|\.DS_Store|\.mypy_cache|\.pytest_cache|\.ruff_cache|\.tox|\.nox|\.idea)$/;
const SECRET = /^(\.env(\..+)?|.+\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.htpasswd|\.pgpass|\.git-credentials|credentials\.json)$/i;
const NO_SECRET = /^\.env\.(example|sample|template|dist|defaults)$/i;
const ARCHIVE = /\.(zip|tar\.gz|tgz)$/i;

const isWanted = (name) => !LEFT_OUT.test(name) && (!SECRET.test(name) || NO_SECRET.test(name));

// Entries of a drop, walked: {name, files: [{path, file}], leftOut} or {name, archive}.
async function taken(entries) {
  if (entries.length === 1 && entries[0].isFile && ARCHIVE.test(entries[0].name)) {
    return { name: entries[0].name.replace(ARCHIVE, ""), archive: await fileOf(entries[0]) };
  }
  const files = [];
  let leftOut = 0;
  async function walk(entry, path) {
    if (!isWanted(entry.name)) leftOut += 1;
    else if (entry.isFile) files.push({ path, file: await fileOf(entry) });
    else for (const child of await childrenOf(entry)) await walk(child, path ? `${path}/${child.name}` : child.name);
  }
  const folder = entries.length === 1 && entries[0].isDirectory ? entries[0] : null;
  if (folder) for (const child of await childrenOf(folder)) await walk(child, child.name);
  else for (const entry of entries) await walk(entry, entry.name);
  return { name: folder?.name ?? "", files, leftOut };
}

const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

async function childrenOf(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

// The same of what an input has: files with their paths, below one folder.
function picked(files) {
  const all = [...files];
  if (all.length === 1 && !all[0].webkitRelativePath) return { name: all[0].name.replace(ARCHIVE, ""), archive: all[0] };
  const parts = (file) => file.webkitRelativePath.split("/");
  const wanted = all.filter((file) => parts(file).slice(1).every(isWanted));
  return {
    name: parts(all[0])[0],
    files: wanted.map((file) => ({ path: parts(file).slice(1).join("/"), file })),
    leftOut: all.length - wanted.length,
  };
}

// Has an element take what is dropped; gives what ends that.
export function takesDrops(element, work) {
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const over = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.add("over");
  };
  const leave = (event) => { if (!element.contains(event.relatedTarget)) element.classList.remove("over"); };
  const drop = (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.remove("over");
    work([...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean));
  };
  const handlers = { dragover: over, dragleave: leave, drop };
  for (const [name, handler] of Object.entries(handlers)) element.addEventListener(name, handler);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) element.removeEventListener(name, handler);
  };
}

// "1.2.0" -> "1.2.1"
function after(versions) {
  const numbers = versions.map((version) => /^(\d+)\.(\d+)\.(\d+)$/.exec(version ?? "")?.slice(1).map(Number)).filter(Boolean);
  numbers.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  const [major, minor, patch] = numbers.at(-1) ?? [1, 0, -1];
  return `${major}.${minor}.${patch + 1}`;
}

// The dialog: what, as which app and version, then the steps. `items` are entries of a drop.
export async function deploy({ app = "", versions = [], items = null }) {
  let what = null;
  const inputs = { app: h("input", { id: nextId("app"), value: app, required: true, disabled: Boolean(app), spellcheck: "false", autocomplete: "off" }),
    version: h("input", { id: nextId("version"), value: after(versions), required: true, spellcheck: "false", autocomplete: "off" }) };
  const chosen = h("p", { role: "status" });
  const fault = h("p.fault", { role: "alert" });
  const progress = h("div.steps");
  const line = h("div");
  const go_ = h("button.primary", { type: "submit" }, t("deploy.do"));
  const picks = (props, label) => {
    const input = h("input.away", { type: "file", tabindex: "-1", "aria-hidden": "true", onchange: () => input.files.length && choose(picked(input.files)), ...props });
    return [button(label, () => input.click()), input];
  };
  const zone = h("div.zone", h("p", t("deploy.drop")),
    h("div.row-actions", picks({ webkitdirectory: true }, t("deploy.folder")), picks({ accept: ".zip,.tar.gz,.tgz" }, t("deploy.archive"))), chosen);
  takesDrops(zone, async (entries) => choose(await taken(entries)));

  async function suggest() {
    const found = await api.get(`/api/apps/${api.name(inputs.app.value)}`).catch(() => null);
    if (found) inputs.version.value = after(found.versions.map(({ version }) => version));
    draw();
  }
  function choose(found) {
    what = found;
    if (!inputs.app.value) {
      inputs.app.value = found.name.replace(/@[^@]*$/, "").toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "");
      if (inputs.app.value) suggest();
    }
    const size = found.archive ? found.archive.size : found.files.reduce((sum, { file }) => sum + file.size, 0);
    fill(chosen, h("strong", found.archive?.name ?? (found.name || t("deploy.files"))), " · ",
      found.archive ? null : `${t("deploy.count", { n: found.files.length })} · `, bytes(size),
      found.leftOut ? ` · ${t("deploy.leftOut", { n: found.leftOut })}` : null);
    fill(fault);
    draw();
  }
  function draw() {
    fill(line, h("p.faint.small", t("command.same")), command(`buntime deploy ${quoted(what?.name || ".")} --app ${inputs.app.value || "NAME"} --version ${inputs.version.value}`));
  }
  async function send(event, replace = false) {
    event.preventDefault();
    if (!what || (what.files && !what.files.length)) return fill(fault, t("deploy.nothing"));
    go_.setAttribute("aria-busy", "true");
    fill(fault);
    await carry(progress, inputs.app.value, {
      method: "PUT",
      path: `/api/apps/${api.name(inputs.app.value)}/versions/${api.name(inputs.version.value)}`,
      query: { replace },
      body: async () => what.archive ?? pack(what.files),
      done: () => opened.close(),
      replace: () => send(event, true),
    });
    go_.removeAttribute("aria-busy");
  }
  inputs.app.addEventListener("change", suggest);
  for (const input of Object.values(inputs)) input.addEventListener("input", draw);
  const field = (input, label) => h("div.field", h("label", { for: input.id }, label), input);
  const form = h("form", { onsubmit: send }, zone, h("div.two", field(inputs.app, t("apps.name")), field(inputs.version, t("apps.version"))),
    fault, progress, line, h("div.buttons", button(t("do.close"), () => opened.close()), go_));
  draw();
  const opened = open({ title: t(app ? "deploy.title" : "deploy.new", { app }), body: form, wide: true });
  if (items) choose(await taken(items));
}

const STEPS = ["received", "unpacked", "checked", "installing", "releasing", "booted", "probed", "active"];

// Sends what makes a deploy, and shows its steps in `place`. Gives the last line, or null.
export async function carry(place, app, { method, path, query, body = async () => undefined, done = () => {}, replace = null }) {
  const list = h("ol.plain");
  const end = h("div", { role: "status" });
  const output = h("pre.stack", { hidden: true, tabindex: "0" });
  const now = h("li", state("busy", t(method === "PUT" ? "deploy.sending" : "deploy.working")));
  fill(place, list, output, end);
  list.append(now);
  let last = null;
  const take = (lines) => {
    for (const told of lines) {
      last = told;
      if (told.line !== undefined) {
        output.hidden = false;
        output.append(`${told.line}\n`);
        output.scrollTop = output.scrollHeight;
      } else if (told.step) {
        const about = told.files !== undefined ? t("deploy.count", { n: told.files }) : (told.entrypoint ?? "");
        now.before(h("li", state(STEPS.includes(told.step) ? "good" : "off", t(`step.${told.step}`)), " ", h("span.faint.small", about)));
        for (const warning of [told.warnings ?? []].flat()) now.before(h("li.warn", String(warning)));
      }
    }
  };
  try {
    const content = await body();
    await api.lines(method, path, { query, ...(content ? { body: content, type: "application/octet-stream" } : {}) }, take);
    now.remove();
    if (last?.failed) failed(end, app, last);
    else succeeded(end, app, last, done);
  } catch (error) {
    now.remove();
    fill(end, h("div.notice.error", h("p", words(error)),
      error.code === "version_exists" && replace ? button(t("deploy.replace"), doing(replace)) : null));
    return null;
  }
  return last;
}

function failed(end, app, told) {
  const step = t(`step.${told.failed}`);
  fill(end, h("div.notice.error", h("p", h("strong", t("deploy.failed", { step })), " ", told.error?.message ?? ""),
    told.stack ? stack(told.stack) : null,
    told.log?.length ? h("details", h("summary", t("deploy.log")), h("pre.stack", { tabindex: "0" }, told.log.map((line) => `${line.message ?? line}\n`))) : null,
    h("p.faint", t("deploy.stays"))));
}

function succeeded(end, app, told, done) {
  const url = told?.url;
  fill(end, h("div.notice", state("good", t(told?.step === "unchanged" ? "step.unchanged" : "deploy.done")),
    h("div.actions",
      url ? h("a.button", { href: url, target: "_blank", rel: "noopener" }, t("app.open")) : null,
      h("button", { type: "button", onclick: () => { done(); go(appHref(app)); } }, t("deploy.show")),
      h("button", { type: "button", onclick: doing(() => attempt(() => api.post(`/api/apps/${api.name(app)}/rollback`), t("rollback.done", { app }))) }, t("rollback.do")))));
}
