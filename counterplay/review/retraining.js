// The retraining of the selection: its progress, and before and after.

import { count, element, row as line } from "./words.js";

const left = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`);

export class RetrainingView {
  #shown = "";

  constructor(section, { onCancel, onEnd }) {
    Object.assign(this, { section, onEnd });
    section.querySelector("#cancel").addEventListener("click", onCancel);
  }

  show(said) {
    const content = JSON.stringify(said);
    if (content === this.#shown) return;
    const was = this.#shown && JSON.parse(this.#shown).state;
    this.#shown = content;
    this.section.hidden = said.state === "idle";
    if (said.state === "idle") return;
    this.section.querySelector("#retraining-text").textContent = this.#text(said);
    const progress = this.section.querySelector(".progress");
    progress.hidden = said.state !== "running";
    const bar = progress.querySelector("progress");
    if (said.stage === "playing" && said.step) bar.value = said.step / said.n_steps;
    else bar.removeAttribute("value");
    this.#table(said.rows ?? said.so_far ?? []);
    const pictures = this.section.querySelector(".pictures");
    pictures.hidden = !said.grids;
    if (said.grids) {
      for (const image of pictures.querySelectorAll("img")) {
        image.src = `grid/${image.dataset.grid}?of=${encodeURIComponent(said.child)}`;
      }
    }
    if (was === "running" && said.state !== "running") this.onEnd(this.#text(said));
  }

  #text(said) {
    const without = `without ${count(said.n_removed)} ${said.n_removed === 1 ? "instance" : "instances"}`;
    const folder = said.child.split("/").pop(); // beside that of the run
    switch (said.state) {
      case "running": {
        if (said.stage === "measuring") return `Played ${without}; measuring both runs on test data.`;
        const rest = said.left_s ? `, about ${left(said.left_s)} left` : "";
        return `Playing ${without}: move ${count(said.step ?? 0)} of ${count(said.n_steps)}${rest}.`;
      }
      case "done":
        return [`Played again ${without}, in the folder ${folder}.`, said.text].filter(Boolean).join(" ");
      case "cancelled":
        return `Cancelled. What was played is in the folder ${folder}.`;
      default:
        return said.text;
    }
  }

  #table(rows) {
    const table = this.section.querySelector(".scroll");
    table.hidden = !rows.length;
    const step = rows[0]?.step;
    table.querySelector("#retraining-when").textContent = step === undefined ? "metric" : `metric at move ${count(step)}`;
    const lines = rows.map((one) => {
      const verdict = element("td", { class: one.better ? "yes" : "no" });
      verdict.textContent = one.better === null ? "the same" : one.better ? "better" : "worse";
      const made = line(one.title, one.before, one.after, one.change);
      made.append(verdict);
      return made;
    });
    table.querySelector("tbody").replaceChildren(...lines);
  }
}
