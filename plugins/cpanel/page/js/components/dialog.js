// Questions before something is done. A dialog of the browser's own: it holds the focus, Escape
// leaves, and the focus goes back to where it was.
import { button, fill, h, nextId } from "../dom.js";
import { t } from "../i18n.js";
import { same, words } from "./parts.js";

class Dialog extends HTMLElement {}
customElements.define("bt-dialog", Dialog);

// Opens a dialog with a body; gives {close}. `onclose` runs once, however it ends.
export function open({ title, body, buttons = [], onclose = () => {}, wide = false }) {
  const id = nextId("dialog");
  const dialog = h("dialog", { "aria-labelledby": id, class: wide ? "wide" : "" },
    h("h2", { id }, title), body, buttons.length ? h("div.buttons", buttons) : null);
  const place = h("bt-dialog", dialog);
  document.body.append(place);
  dialog.addEventListener("close", () => {
    place.remove();
    onclose();
  });
  dialog.showModal();
  return { close: () => dialog.close() };
}

// `fields`: [{name, label, type, value, help, required, placeholder}]. `run(values)` does it while
// the dialog stands, so that what goes wrong is said there; without it the values are the answer.
// Gives what `run` gave, or the values (or true), or null where it was left.
export function confirm({ title, text, command = null, danger = false, yes = null, fields = [], run = null }) {
  return new Promise((resolve) => {
    let answer = null;
    const inputs = fields.map((field) => ({ field, input: made(field), id: nextId("field") }));
    const line = h("div");
    const fault = h("p.fault", { role: "alert" });
    const values = () => Object.fromEntries(inputs.map(({ field, input }) => [field.name, input.value]));
    const draw = () => {
      const told = typeof command === "function" ? command(values()) : command;
      if (told) fill(line, same(told));
    };
    const go = h("button.primary", { type: "submit", class: danger ? "danger" : "" }, yes ?? title);
    const form = h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        if (go.getAttribute("aria-busy")) return;
        answer = fields.length ? values() : true;
        if (!run) return opened.close();
        go.setAttribute("aria-busy", "true");
        fill(fault);
        try {
          answer = (await run(answer)) ?? true;
          opened.close();
        } catch (error) {
          answer = null;
          fill(fault, words(error));
        }
        go.removeAttribute("aria-busy");
      },
    },
    [text].flat().filter(Boolean).map((part) => (part instanceof Node ? part : h("p", part))),
    inputs.map(({ field, input, id }) => {
      input.id = id;
      input.addEventListener("input", draw);
      return h("div.field", h("label", { for: id }, field.label), input, field.help ? h("p.faint.small", field.help) : null);
    }),
    line, fault,
    h("div.buttons", button(t("do.cancel"), () => opened.close()), go));
    draw();
    const opened = open({ title, body: form, onclose: () => resolve(answer) });
    (inputs[0]?.input ?? go).focus();
  });
}

function made({ type = "text", options = [], ...props }) {
  const given = { spellcheck: "false", autocomplete: "off", ...props, label: null, help: null };
  if (type === "select") return h("select", given, options.map((option) => h("option", { value: option, selected: option === props.value }, option)));
  return type === "multiline" ? h("textarea", { rows: "4", ...given }) : h("input", { ...given, type });
}
