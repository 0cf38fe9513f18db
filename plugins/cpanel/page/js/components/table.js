// A table that is updated in place: a row keeps its element by its key, so that updates do not lose
// focus, selection or scroll position. Columns: {key, title or away (for screen readers alone),
// cell(row) -> nodes or text, sort(row), number: true, wide: true (not on narrow screens)}.
import { fill, h } from "../dom.js";

// "app-2" comes before "app-10".
export const compare = new Intl.Collator(undefined, { numeric: true }).compare;
const FOCUSABLE = "a, button, input";

class Table extends HTMLElement {
  #columns = [];
  #rows = [];
  #lines = new Map(); // by key: {line, text}
  #sorted = null;
  #isDown = false;
  #head = h("tr");
  #body = h("tbody");
  #table = h("table", h("thead", this.#head), this.#body);
  #none = h("div");
  rowKey = (row) => row.name;
  empty = () => null; // returns what is shown if there are no rows
  label = "";

  connectedCallback() {
    if (this.#table.isConnected) return;
    this.#table.prepend(h("caption.away", this.label));
    this.append(this.#table, this.#none);
  }

  set columns(columns) {
    this.#columns = columns;
    fill(this.#head, columns.map((column) => h("th", { scope: "col", class: kind(column) },
      column.sort ? h("button.sort", { type: "button", onclick: () => this.#sort(column) }, column.title)
        : column.title || h("span.away", column.away))));
  }

  set rows(rows) {
    this.#rows = rows;
    this.#draw();
  }

  get rows() {
    return this.#rows;
  }

  #sort(column) {
    this.#isDown = this.#sorted === column ? !this.#isDown : Boolean(column.number);
    this.#sorted = column;
    this.#columns.forEach((each, at) => {
      const cell = this.#head.children[at];
      if (each === column) cell.setAttribute("aria-sort", this.#isDown ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    this.#draw();
  }

  #inOrder() {
    if (!this.#sorted) return this.#rows;
    const { sort } = this.#sorted;
    const sign = this.#isDown ? -1 : 1;
    return this.#rows.toSorted((one, other) => {
      const [a, b] = [sort(one), sort(other)];
      return sign * (typeof a === "number" ? a - b : compare(String(a), b));
    });
  }

  #draw() {
    const keys = new Set(this.#rows.map(this.rowKey));
    for (const [key, { line }] of this.#lines) {
      if (keys.has(key)) continue;
      line.remove();
      this.#lines.delete(key);
    }
    let place = this.#body.firstChild; // an element that is moved loses the focus
    for (const row of this.#inOrder()) {
      const line = this.#line(row);
      if (line === place) place = place.nextSibling;
      else this.#body.insertBefore(line, place);
    }
    this.#table.hidden = !this.#rows.length;
    fill(this.#none, this.#rows.length ? null : this.empty());
  }

  #line(row) {
    const key = this.rowKey(row);
    const text = JSON.stringify(row);
    const known = this.#lines.get(key) ?? { line: h("tr") };
    this.#lines.set(key, known);
    if (known.text === text) return known.line;
    known.text = text;
    const focused = [...known.line.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    fill(known.line, this.#columns.map((column, at) =>
      h(at ? "td" : "th", { class: kind(column), scope: at ? null : "row" }, column.cell(row))));
    if (focused >= 0) known.line.querySelectorAll(FOCUSABLE)[focused]?.focus();
    return known.line;
  }
}

const kind = ({ key, number, wide }) => [`of-${key}`, number && "number", wide && "wide"].filter(Boolean).join(" ");
customElements.define("bt-table", Table);

// table({label, columns, rowKey, empty, rows})
export const table = (props) => Object.assign(h("bt-table"), props);
