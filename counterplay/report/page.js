// Tables sort by a press on a column's name; an instance opens in a dialog.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column)));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}

const detail = document.getElementById("detail");
const entry = (name, text) => {
  const term = document.createElement("dt");
  const value = document.createElement("dd");
  term.textContent = name;
  value.textContent = text;
  return [term, value];
};

function open(tile) {
  const { rank, label, effect, removal, others, planted } = tile.dataset;
  const picture = detail.querySelector("img");
  const small = tile.querySelector("img");
  picture.hidden = !small;
  if (small) {
    picture.src = small.src;
    picture.style.imageRendering = getComputedStyle(small).imageRendering;
  }
  detail.querySelector("h2").textContent = tile.title;
  detail.querySelector(".said").textContent = `Removing it ${effect} (predicted).`;
  detail.querySelector("dl").replaceChildren(
    ...entry("removal effect", removal),
    ...entry("rank", `${rank} (1 is the most harmful)`),
    ...(label ? entry("label", label) : []),
    ...(planted ? entry("planted", "yes, known to be corrupt") : []),
    ...(others ? entry("other metrics", others) : []),
  );
  detail.showModal();
}

for (const tile of document.querySelectorAll(".tile")) {
  tile.addEventListener("click", () => open(tile));
}
detail?.addEventListener("click", (event) => event.target === detail && detail.close());

// Left and right step through a gallery.
document.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const tile = document.activeElement.closest(".tile");
  if (!by || !tile || detail.open) return;
  const tiles = [...tile.closest(".tiles").querySelectorAll(".tile")];
  tiles[tiles.indexOf(tile) + by]?.focus();
  event.preventDefault();
});
