// One instance in a dialog: how it looks, what removing it does, whom it resembles.

import { element, number, row as line } from "./words.js";

export class Detail {
  #row = -1;
  #place = 0;
  #saved = "";

  // `table` is what the server sent; `opinion(row)` is [mark, note].
  constructor(dialog, { table, grid, opinion, effect, onNote }) {
    Object.assign(this, { dialog, table, grid, opinion, effect, onNote });
    this.note = dialog.querySelector("textarea");
    dialog.querySelector("#previous").addEventListener("click", () => this.step(-1));
    dialog.querySelector("#next").addEventListener("click", () => this.step(1));
    this.note.addEventListener("change", () => this.save());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => {
      this.save();
      const place = this.grid.placeOf(this.#row) ?? Math.min(this.#place, this.grid.order.length - 1);
      this.#row = -1;
      if (place >= 0) this.grid.focus(place);
    });
  }

  get open() {
    return this.dialog.open;
  }

  get row() {
    return this.#row;
  }

  show(row) {
    this.save();
    this.#row = row;
    this.#place = this.grid.placeOf(row) ?? this.#place;
    const { ids, labels, planted, copies } = this.table;
    const picture = this.dialog.querySelector("#detail-picture");
    picture.src = `picture/${row}`;
    this.dialog.querySelector("h2").textContent = ids[row];
    const known = [
      labels?.[row] && `Label ${labels[row]}.`,
      planted?.[row] && "Planted: known to be corrupt.",
      copies[row] && `${copies[row]} ${copies[row] === 1 ? "copy" : "copies"} with the same content.`,
    ];
    const said = [`Removing it ${this.effect(row)} (predicted).`, ...known.filter(Boolean)];
    this.dialog.querySelector(".said").textContent = said.join(" ");
    this.#effects([]);
    this.dialog.querySelector("#near").replaceChildren();
    this.dialog.querySelector(".values").hidden = true;
    this.mend();
    this.#saved = this.note.value = this.opinion(row)[1];
    if (!this.open) this.dialog.showModal();
    this.#lookUp(row);
  }

  // Bring the mark up to date, and the note unless it is being written.
  mend() {
    if (this.#row < 0) return;
    const [mark, note] = this.opinion(this.#row);
    for (const button of this.dialog.querySelectorAll("[data-mark]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    }
    if (this.note.value === this.#saved) this.note.value = note;
    this.#saved = note;
  }

  step(by) {
    const now = this.grid.placeOf(this.#row);
    const place = now === undefined ? this.#place + Math.min(by, 0) : now + by;
    const row = this.grid.order[place];
    if (row !== undefined) this.show(row);
  }

  save() {
    const text = this.note.value;
    if (this.#row < 0 || text === this.#saved) return;
    this.#saved = text;
    this.onNote(this.#row, text);
  }

  async #lookUp(row) {
    const answer = await fetch(`about/${row}`);
    if (!answer.ok || row !== this.#row) return;
    const about = await answer.json();
    this.#effects(about.actual);
    const near = about.nearest.map(([other, distance]) => {
      const tile = element("button", { type: "button", title: this.table.ids[other] });
      tile.append(element("img", { src: `thumbnail/${other}`, alt: "" }));
      tile.append(element("span", { class: "id" }, this.table.ids[other]));
      tile.append(element("span", {}, `${number(distance)} away`));
      tile.addEventListener("click", () => this.show(other));
      return element("li", {}, tile);
    });
    this.dialog.querySelector("#near").replaceChildren(...near);
    const values = this.dialog.querySelector(".values");
    values.hidden = !about.values.length;
    values.querySelector("tbody").replaceChildren(
      ...about.values.map(([name, value, far]) => line(name, number(value), number(far, true))),
    );
  }

  #effects(actual) {
    const { metrics, rank, removal } = this.table;
    const rows = metrics.map((metric, m) =>
      line(
        metric.title,
        rank[m][this.#row] === null ? "–" : String(rank[m][this.#row]),
        number(removal[m][this.#row], true),
        number(actual[m], true),
      ),
    );
    this.dialog.querySelector(".effects tbody").replaceChildren(...rows);
  }
}
