// The review: filters, the grid of instances, and what is said of them.

import { Detail } from "./detail.js";
import { Grid } from "./grid.js";
import { RetrainingView } from "./retraining.js";
import { Server } from "./server.js";
import { count, element, number } from "./words.js";

const GLYPHS = { remove: "✕", keep: "✓", unsure: "?" };
const KEYS = { r: "remove", k: "keep", u: "unsure", 0: "" };
const SAID_MS = 4000;

const $ = (id) => document.getElementById(id);
const table = await (await fetch("instances")).json();
const { ids, labels, planted, copies, metrics, rank, removal } = table;
const lower = ids.map((id) => id.toLowerCase());
const everyone = ids.map((_, row) => row);
const alphabetical = [...everyone].sort((a, b) => (ids[a] < ids[b] ? -1 : 1));
const opinions = new Map(); // row: [mark, note]
const opinion = (row) => opinions.get(row) ?? ["", ""];
const valueOf = (id) => $(id)?.value ?? "";
const metricShown = () => Number(valueOf("metric"));

// What removing an instance gains: positive for those that harm.
const harm = (m, row) => (metrics[m].higher_is_better ? 1 : -1) * removal[m][row];
const byRank = metrics.map((_, m) =>
  everyone.filter((row) => rank[m][row] !== null).sort((a, b) => rank[m][a] - rank[m][b]),
);
const untraced = metrics.map((_, m) => everyone.filter((row) => rank[m][row] === null));

function effect(row) {
  const m = metricShown();
  if (rank[m][row] === null) return "was not traced";
  const gain = harm(m, row);
  return `${gain > 0 ? "improves" : "worsens"} the ${metrics[m].short} by ${number(Math.abs(gain))}`;
}

function fits() {
  const m = metricShown();
  const [sign, label, mark] = [valueOf("effect"), valueOf("label"), valueOf("mark")];
  const [bad, same] = [valueOf("planted"), valueOf("copies")];
  const part = valueOf("search").trim().toLowerCase();
  const tests = [];
  const harmful = (other) => (row) => harm(other, row) > 0;
  if (sign === "harmful") tests.push(harmful(m));
  if (sign === "helpful") tests.push((row) => harm(m, row) < 0);
  if (sign === "everywhere") tests.push(...metrics.map((_, other) => harmful(other)));
  if (sign === "disputed") {
    tests.push((row) => metrics.some((_, other) => harm(other, row) * harm(m, row) < 0));
  }
  if (label) tests.push((row) => `=${labels[row]}` === label);
  if (mark === "none") tests.push((row) => !opinion(row)[0]);
  else if (mark === "note") tests.push((row) => opinion(row)[1] !== "");
  else if (mark) tests.push((row) => opinion(row)[0] === mark);
  if (bad) tests.push((row) => planted[row] === (bad === "yes"));
  if (same) tests.push((row) => copies[row] > 0 === (same === "yes"));
  if (part) tests.push((row) => lower[row].includes(part));
  return (row) => tests.every((test) => test(row));
}

function ordered() {
  const m = metricShown();
  const sort = valueOf("sort");
  if (sort === "id") return alphabetical;
  const ranked = sort === "helpful" ? [...byRank[m]].reverse() : byRank[m];
  return [...ranked, ...untraced[m]];
}

function make(row) {
  const tile = element("button", { type: "button", class: "instance", title: ids[row] });
  const picture = element("img", { src: `thumbnail/${row}`, alt: "", decoding: "async", draggable: "false" });
  const mark = element("span", { class: "glyph", "aria-hidden": "true" });
  const score = element("span", { class: "score" });
  const id = element("span", { class: "id" }, ids[row]);
  tile.append(picture, mark, score, " ", id, element("span", { class: "unseen" }));
  tile.addEventListener("click", () => detail.show(row));
  mend(tile, row);
  return tile;
}

function mend(tile, row) {
  const m = metricShown();
  const [mark, note] = opinion(row);
  tile.dataset.mark = mark;
  tile.dataset.effect = rank[m][row] === null ? "" : harm(m, row) > 0 ? "harmful" : "helpful";
  tile.querySelector(".glyph").textContent = (GLYPHS[mark] ?? "") + (note ? "✎" : "");
  tile.querySelector(".score").textContent = number(removal[m][row], true);
  const known = [
    labels?.[row] && `label ${labels[row]}`,
    planted?.[row] && "planted",
    rank[m][row] && `rank ${count(rank[m][row])}, removing it ${effect(row)}`,
    mark && `marked ${mark}`,
    note && "has a note",
  ];
  tile.querySelector(".unseen").textContent = known.filter(Boolean).map((text) => `, ${text}`).join("");
}

const filters = $("filters");
const margin = () => {
  const { position } = getComputedStyle(filters);
  return position === "sticky" ? filters.offsetHeight : 0;
};
const grid = new Grid($("grid"), { make, mend, margin });
const detail = new Detail($("detail"), { table, grid, opinion, effect, onNote });

function show() {
  const order = ordered().filter(fits());
  grid.show(order);
  $("shown").textContent = `${count(order.length)} of ${count(ids.length)} shown`;
  $("n-first").max = Math.max(order.length, 1);
}

function say(text) {
  $("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => ($("said").textContent = ""), SAID_MS);
}

function onFault(text) {
  $("fault").hidden = !text;
  if ($("fault").textContent !== text) $("fault").textContent = text;
}

const retraining = new RetrainingView($("retraining"), {
  onCancel: () => change("cancel", {}),
  onEnd: say,
});

function onState(state) {
  const rows = Object.entries(state.changed).map(([row, said]) => {
    opinions.set(Number(row), said);
    return Number(row);
  });
  if (rows.length) {
    const marked = valueOf("mark");
    if (marked) show();
    else grid.refresh(rows);
    detail.mend();
  }
  const n = { remove: 0, keep: 0, unsure: 0 };
  for (const [mark] of opinions.values()) if (mark) n[mark] += 1;
  for (const mark of Object.keys(n)) $(`n-${mark}`).textContent = count(n[mark]);
  $("undo").disabled = !state.undoable;
  $("undo").title = state.undoable && `Undo: ${state.undoable}`;
  const running = state.retraining.state === "running";
  $("retrain").disabled = running || !n.remove;
  $("retrain").textContent = running ? "Retraining …" : `Retrain without ${count(n.remove)}`;
  retraining.show(state.retraining);
}

const server = new Server({ onState, onFault });

// A change that failed is told by `onFault`.
const change = (address, body) => server.ask(address, body).catch(() => undefined);

async function mark(rows, how) {
  const state = await change("mark", { rows, mark: how });
  const who = rows.length === 1 ? ids[rows[0]] : `${count(rows.length)} instances`;
  if (state) say(`${who}: ${how || "no mark"}`);
}

async function onNote(row, text) {
  if (await change("note", { row, text })) say(`${ids[row]}: note saved`);
}

async function undo() {
  const state = await change("undo", {});
  if (state) say(state.undone ? `Undone: ${state.undone}` : "There is nothing to undo.");
}

filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("input", (event) => {
  if (event.target.id === "metric") {
    for (const verdict of document.querySelectorAll(".verdict")) {
      verdict.hidden = verdict.dataset.metric !== event.target.value;
    }
  }
  show();
  grid.toTop();
});
$("bulk").addEventListener("submit", (event) => {
  event.preventDefault();
  const rows = grid.order.slice(0, Number(valueOf("n-first")));
  if (rows.length) mark(rows, valueOf("as"));
});
$("undo").addEventListener("click", undo);
$("retrain").addEventListener("click", async () => {
  if (await change("retrain", {})) $("retraining").scrollIntoView({ block: "nearest" });
});
const menu = document.querySelector(".menu");
document.addEventListener("click", (event) => {
  if (!menu.querySelector("summary").contains(event.target)) menu.open = false;
});
menu.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu.open) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
$("help").addEventListener("click", () => $("keys").showModal());
for (const button of document.querySelectorAll("[data-mark]")) {
  button.addEventListener("click", () => {
    mark([detail.row], opinion(detail.row)[0] === button.dataset.mark ? "" : button.dataset.mark);
  });
}

// Keys act on the instance in the detail, or on the tile that has the focus.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input, select")) return;
  const row = detail.open ? detail.row : grid.focused ? grid.active : undefined;
  if (row === undefined) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key in KEYS) mark([row], KEYS[event.key]);
  else if (event.key === "z") undo();
  else if (detail.open && by) detail.step(by);
  else if (detail.open && event.key === "n") detail.note.focus();
  else return;
  event.preventDefault();
});

show();
await server.watch();
document.body.dataset.ready = "yes";
