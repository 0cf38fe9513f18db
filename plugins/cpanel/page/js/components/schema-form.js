// A form made from a plugin's options. `schema`: [{name, type, label, description, default,
// required, min, max, options}], types string, number, boolean, enum, password, array, multiline.
// `values` by name, in and out; `faults` by name are shown beside their fields. A password that is
// left empty is not among the values, as none is ever told.
import { fill, h, nextId } from "../dom.js";
import { t } from "../i18n.js";

class SchemaForm extends HTMLElement {
  #fields = new Map();
  #given = {};

  set schema(schema) {
    this.#fields = new Map(schema.map((option) => [option.name, made(option)]));
    fill(this, [...this.#fields.values()].map(({ element }) => element));
    this.values = this.#given;
  }

  set values(values) {
    this.#given = values;
    for (const [name, { write }] of this.#fields) if (name in values) write(values[name]);
  }

  get values() {
    const found = {};
    for (const [name, { read }] of this.#fields) {
      const value = read();
      if (value !== undefined) found[name] = value;
    }
    return found;
  }

  // Those that are others than were given.
  get changes() {
    return Object.fromEntries(Object.entries(this.values).filter(
      ([name, value]) => JSON.stringify(value) !== JSON.stringify(this.#given[name] ?? null)));
  }

  set faults(faults) {
    for (const [name, { input, fault }] of this.#fields) {
      fill(fault, faults[name] ?? null);
      input.toggleAttribute("aria-invalid", name in faults);
    }
  }
}
customElements.define("bt-schema-form", SchemaForm);

function made(option) {
  const { name, type, label, description, required, min, max, options = [], note } = option;
  const id = nextId("option");
  const about = `${id}-about`;
  const props = { id, name, required, "aria-describedby": about, spellcheck: "false", autocomplete: "off" };
  let input;
  if (type === "boolean") input = h("input", { ...props, type: "checkbox", required: null });
  else if (type === "enum") input = h("select", props, options.map((each) => h("option", { value: each }, each)));
  else if (type === "array" || type === "multiline") input = h("textarea", { ...props, rows: "3" });
  else if (type === "number") input = h("input", { ...props, type: "number", step: "any", min, max });
  else input = h("input", { ...props, type: type === "password" ? "password" : "text" });
  const fault = h("p.fault", { role: "alert" });
  const told = h("p.faint.small", { id: about },
    [description, option.default !== undefined && option.default !== null ? t("form.default", { value: String(option.default) }) : null, note]
      .filter(Boolean).join(" · "));
  const text = h("label", { for: id }, label || name);
  const element = h("div.field", type === "boolean" ? { class: "check" } : {}, type === "boolean" ? [input, text] : [text, input], told, fault);
  return { element, input, fault, ...ways(type, input) };
}

function ways(type, input) {
  if (type === "boolean") return { read: () => input.checked, write: (value) => { input.checked = Boolean(value); } };
  if (type === "number") return { read: () => (input.value === "" ? null : Number(input.value)), write: (value) => { input.value = value ?? ""; } };
  if (type === "array") {
    return {
      read: () => input.value.split("\n").map((line) => line.trim()).filter(Boolean),
      write: (value) => { input.value = (value ?? []).join("\n"); },
    };
  }
  if (type === "password") return { read: () => input.value || undefined, write: () => {} };
  return { read: () => (input.value === "" ? null : input.value), write: (value) => { input.value = value ?? ""; } };
}
