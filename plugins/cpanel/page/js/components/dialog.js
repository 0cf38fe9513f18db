// Asks before an action. Uses the browser's own dialog: it keeps the focus, Escape closes it, and the
// focus returns to where it was.
import { button, fill, h, nextId } from "../dom.js";
import { t } from "../i18n.js";
import { same, words } from "./parts.js";
import { toast } from "./toasts.js";

class Dialog extends HTMLElement {}
customElements.define("bt-dialog", Dialog);

// Opens a dialog with a body; returns a function that closes it. `onclose` runs once, however it ends.
export function open({ title, body, onclose = () => {}, wide = false, hasClose = false }) {
  const id = nextId("dialog");
  const close = () => dialog.close();
  const dialog = h("dialog", { "aria-labelledby": id, class: wide ? "wide" : "" }, h("h2", { id }, title), body,
    hasClose ? h("div.buttons", button(t("do.close"), close)) : null);
  const place = h("bt-dialog", dialog);
  document.body.append(place);
  dialog.addEventListener("close", () => {
    place.remove();
    onclose();
  });
  dialog.showModal();
  return close;
}

// Asks, then calls `run(values)` while the dialog is open, so that errors are shown in it. `fields`:
// [{name, label, help, and attributes of an input}]; type select has `options`, and multiline is a type
// too. `command` is a line of the command line, or a function that makes one of the values. Returns the
// result of `run`, or the values without it; null if the dialog was cancelled.
export function confirm({ title, text, command = null, danger = false, yes = title, fields = [], run = (values) => values }) {
  return new Promise((resolve) => {
    let answer = null;
    const inputs = fields.map((field) => [field, Object.assign(made(field), { id: nextId("field") })]);
    const values = () => Object.fromEntries(inputs.map(([{ name }, input]) => [name, input.value]));
    const line = h("div");
    const draw = () => {
      const told = typeof command === "function" ? command(values()) : command;
      if (told) fill(line, same(told));
    };
    const fault = h("p.fault", { role: "alert" });
    const go = h("button.primary", { type: "submit", class: danger ? "danger" : "" }, yes);
    async function submit(event) {
      event.preventDefault();
      if (go.getAttribute("aria-busy")) return;
      go.setAttribute("aria-busy", "true");
      fill(fault);
      try {
        answer = (await run(values())) ?? true;
        close();
      } catch (error) {
        fill(fault, words(error));
      }
      go.removeAttribute("aria-busy");
    }
    draw();
    const close = open({ title, onclose: () => resolve(answer), body: h("form", { onsubmit: submit, oninput: draw },
      h("p", text),
      inputs.map(([{ label, help }, input]) => h("div.field", h("label", { for: input.id }, label), input, help ? h("p.faint.small", help) : null)),
      line, fault, h("div.buttons", button(t("do.cancel"), () => close()), go)) });
    (inputs[0]?.[1] ?? go).focus();
  });
}

// The same with the words of a key: "recycle" has recycle.title, .text, .do and .done. The last one is
// filled in with `values` and the result of `run`, and shown with `undo`.
export async function act(key, values, { undo = null, count = () => 1, ...more }) {
  const done = await confirm({ title: t(`${key}.title`, values), text: t(`${key}.text`, values), yes: t(`${key}.do`), ...more });
  if (done) toast(t(`${key}.done`, { ...values, ...done, n: count(done) }), { action: undo && { label: t("do.undo"), run: undo } });
  return done;
}

function made({ type = "text", options = [], label, help, ...props }) {
  const given = { spellcheck: "false", autocomplete: "off", ...props };
  if (type === "select") return h("select", given, options.map((option) => h("option", { value: option, selected: option === props.value }, option)));
  return type === "multiline" ? h("textarea", { rows: "4", ...given }) : h("input", { ...given, type });
}
