// Small parts that all pages are made of.
import { button, doing, fill, h } from "../dom.js";
import { moment, relative } from "../format.js";
import { t } from "../i18n.js";
import { toast } from "./toasts.js";

// The text of an error: the catalogue's for known codes, otherwise the runtime's.
export function words(error) {
  const known = t(`error.${error.code}`);
  const text = known === `error.${error.code}` ? error.message || String(error) : known;
  return error.requestId ? `${text} (${t("error.request", { id: error.requestId })})` : text;
}

export function problem(error, again) {
  return h("div.notice.error", { role: "alert" },
    h("p", words(error)),
    again && error.status !== 403 ? button(t("do.again"), doing(again)) : null);
}

// Does several things at once; an error of one is shown in `place`, and does not stop the others.
export async function together(place, ...works) {
  const ended = await Promise.allSettled(works.map((work) => work()));
  const failed = ended.find(({ status }) => status === "rejected");
  fill(place, failed ? problem(failed.reason, () => together(place, ...works)) : null);
}

// The same action as a line of the command line, with a button that copies it.
export function command(text) {
  const copy = button(t("do.copy"), async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast(t("done.copied"));
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
  }, { class: "quiet", "aria-label": t("do.copyThis", { text }) });
  const code = h("code", text);
  return h("div.command", code, copy);
}

export const same = (text) => [h("p.faint.small", t("command.same")), command(text)];

// "online" -> a dot and a word. Kinds: good, warn, bad, off, busy.
export const state = (kind, text) => h("span.state", { class: kind }, text);

// The text of an empty list, and how to fill it.
export const nothing = (title, ...hints) => h("div.nothing", h("p.lead", title), ...hints);

export function section(title, ...children) {
  return h("section.panel", h("header", h("h2", title)), ...children);
}

export function header(title, { kicker = null, actions = [], under = null } = {}) {
  return h("div.head", h("div", kicker ? h("p.kicker", kicker) : null, h("h1", title), under), h("div.actions", actions));
}

export const facts = (...pairs) =>
  h("dl.facts", pairs.filter(Boolean).map(([name, value]) => h("div", h("dt", name), h("dd", value ?? "–"))));

// A time that updates itself (see `tick`).
export function ago(time) {
  if (!time) return h("span.faint", "–");
  return h("time", { datetime: time, title: moment(time) }, relative(time));
}

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = relative(element.getAttribute("datetime"));
    if (element.textContent !== text) element.textContent = text;
  }
}, 10_000);

// A readable stack, in which the frames of the app's own code stand out.
export function stack(text) {
  const lines = String(text ?? "").replace(/\n+$/, "").split("\n");
  const isOwn = (line) => /^\s*File "/.test(line) && !/site-packages|lib\/python|buntime\/(worker|sdk)|<frozen/.test(line);
  let isAfterOwn = false;
  return h("pre.stack", { tabindex: "0", role: "group", "aria-label": t("stack.label") }, lines.map((line, at) => {
    const own = isOwn(line);
    const kind = own || (isAfterOwn && /^\s{4}/.test(line)) ? "own" : /^\S/.test(line) && at === lines.length - 1 ? "reason" : "";
    isAfterOwn = own || (isAfterOwn && /^\s{4}/.test(line) && !/^\s*File "/.test(line));
    return h("span", { class: kind }, `${line}\n`);
  }));
}

// Runs an operator's action, and shows its result.
export async function attempt(work, done = null) {
  try {
    const value = await work();
    if (done) toast(done);
    return value ?? true;
  } catch (error) {
    if (error.name !== "AbortError") toast(words(error), { kind: "bad" });
    return null;
  }
}
