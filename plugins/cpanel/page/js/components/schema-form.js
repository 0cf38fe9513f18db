// A form made from options: [{name, type, label, description, default, required, min, max, options,
// note}], of type string, number, boolean, enum, password, array or multiline. `values` can be set and
// read, by name; `changes` has the changed ones, `faults` texts by name. A password is never shown, and
// is among the values only if one was typed.
import { fill, h, nextId } from "../dom.js";
import { t } from "../i18n.js";

class SchemaForm extends HTMLElement {
  #fields = [];
  #given = {};

  set schema(schema) {
    this.#fields = schema.map(made);
    fill(this, this.#fields.map(({ element }) => element));
    this.values = this.#given;
  }

  set values(values) {
    this.#given = values;
    for (const { name, write } of this.#fields) if (name in values) write(values[name]);
  }

  get values() {
    return Object.fromEntries(this.#fields.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined));
  }

  get changes() {
    const isOther = ([name, value]) => JSON.stringify(value) !== JSON.stringify(this.#given[name] ?? null);
    return Object.fromEntries(Object.entries(this.values).filter(isOther));
  }

  set faults(faults) {
    for (const { name, input, fault } of this.#fields) {
      fill(fault, faults[name]);
      input.toggleAttribute("aria-invalid", name in faults);
    }
  }
}
customElements.define("bt-schema-form", SchemaForm);

const WAYS = {
  boolean: [(input) => input.checked, (input, value) => { input.checked = Boolean(value); }],
  number: [(input) => (input.value === "" ? null : Number(input.value))],
  array: [(input) => input.value.split("\n").map((line) => line.trim()).filter(Boolean), (input, value) => { input.value = (value ?? []).join("\n"); }],
  password: [(input) => input.value || undefined, () => {}],
};

function made({ name, type, label, description, required, min, max, options = [], note, default: usual = null }) {
  const id = nextId("option");
  const props = { id, name, required: required && type !== "boolean", "aria-describedby": `${id}-about`, spellcheck: "false", autocomplete: "off" };
  const kinds = { boolean: "checkbox", number: "number", password: "password" };
  const input = type === "enum" ? h("select", props, options.map((each) => h("option", { value: each }, each)))
    : type === "array" || type === "multiline" ? h("textarea", { ...props, rows: "3" })
    : h("input", { ...props, type: kinds[type] ?? "text", step: "any", min, max });
  const fault = h("p.fault", { role: "alert" });
  const about = [description, usual === null ? null : t("form.default", { value: usual }), note].filter(Boolean).join(" · ");
  const parts = [h("label", { for: id }, label || name), input];
  const element = h("div.field", type === "boolean" ? { class: "check" } : {}, type === "boolean" ? parts.reverse() : parts,
    h("p.faint.small", { id: `${id}-about` }, about), fault);
  const [read = () => (input.value === "" ? null : input.value), write = (_, value) => { input.value = value ?? ""; }] = WAYS[type] ?? [];
  return { name, element, input, fault, read: () => read(input), write: (value) => write(input, value) };
}
