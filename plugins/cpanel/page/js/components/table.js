// A table that changes in place: rows keep their elements by key, so that focus, selection and
// scrolling outlive each change. Columns: {key, title, cell(row) -> node or text, sort(row) ->
// number or text, number: true, wide: true (left out on narrow screens)}.
import { fill, h, nextId } from "../dom.js";

class Table extends HTMLElement {
  #columns = [];
  #rows = [];
  #lines = new Map();
  #sorted = null;
  #isDown = false;
  #head = h("tr");
  #body = h("tbody");
  #table = h("table", h("thead", this.#head), this.#body);
  #none = h("div");
  rowKey = (row) => row.name;
  empty = null; // what is shown where there are no rows: a node, or a function that makes one

  connectedCallback() {
    if (this.#table.isConnected) return;
    const label = this.getAttribute("label");
    if (label) this.#table.append(h("caption.away", label));
    this.append(this.#table, this.#none);
  }

  set columns(columns) {
    this.#columns = columns;
    fill(this.#head, columns.map((column) => {
      const title = column.sort
        ? h("button.sort", { type: "button", onclick: () => this.#sort(column) }, column.title)
        : column.title || h("span.away", column.away ?? column.key);
      return h("th", { scope: "col", class: kind(column), data: { key: column.key } }, title);
    }));
    this.#lines.clear();
    this.#draw();
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
    for (const cell of this.#head.children) cell.removeAttribute("aria-sort");
    const cell = this.#head.children[this.#columns.indexOf(column)];
    cell.setAttribute("aria-sort", this.#isDown ? "descending" : "ascending");
    this.#draw();
  }

  #inOrder() {
    if (!this.#sorted) return this.#rows;
    const { sort } = this.#sorted;
    const sign = this.#isDown ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? "")));
    return [...this.#rows].sort((a, b) => sign * compare(sort(a), sort(b)));
  }

  #draw() {
    const seen = new Set();
    let before = null;
    for (const row of this.#inOrder()) {
      const key = this.rowKey(row);
      seen.add(key);
      const line = this.#line(key, row);
      const wanted = before ? before.nextSibling : this.#body.firstChild;
      if (line !== wanted) this.#body.insertBefore(line, wanted);
      before = line;
    }
    for (const [key, { line }] of this.#lines) {
      if (seen.has(key)) continue;
      line.remove();
      this.#lines.delete(key);
    }
    while (before ? before.nextSibling : this.#body.firstChild) this.#body.lastChild.remove();
    this.#table.hidden = !this.#rows.length;
    const none = typeof this.empty === "function" ? this.empty() : this.empty;
    fill(this.#none, this.#rows.length ? null : none);
  }

  #line(key, row) {
    const text = JSON.stringify(row);
    let known = this.#lines.get(key);
    if (known?.text === text) return known.line;
    if (!known) this.#lines.set(key, (known = { line: h("tr") }));
    known.text = text;
    const places = [...known.line.querySelectorAll("a, button, input")];
    const focused = places.indexOf(document.activeElement);
    fill(known.line, this.#columns.map((column, at) =>
      h(at === 0 ? "th" : "td", { class: kind(column), scope: at === 0 ? "row" : null, data: { label: column.title } }, column.cell(row))));
    if (focused >= 0) known.line.querySelectorAll("a, button, input")[focused]?.focus();
    return known.line;
  }
}

const kind = (column) => [column.number ? "number" : "", column.wide ? "wide" : "", column.class ?? ""].join(" ");
customElements.define("bt-table", Table);
export const table = (props) => h("bt-table", { id: nextId("table"), ...props });
