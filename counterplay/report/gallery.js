// Instances of a run: filtered, in order of what removing them does, and each in detail.
// Listens and tells: "gallery" is sent when other tiles are shown, "detail" when one is open.
const gallery = JSON.parse(document.getElementById("instances").textContent);
const filters = document.getElementById("filters");
const list = document.getElementById("tiles");
const dialog = document.getElementById("detail");
const CHUNK = 200; // tiles added at once, so that the page answers in between

const make = (name, props = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), props);
  made.append(...inside);
  return made;
};
const SUPERSCRIPT = {
  "-": "⁻",
  0: "⁰",
  1: "¹",
  2: "²",
  3: "³",
  4: "⁴",
  5: "⁵",
  6: "⁶",
  7: "⁷",
  8: "⁸",
  9: "⁹",
};

// Three significant digits and a real minus sign, as everywhere on the page.
function number(value, signed = false) {
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : signed ? "+" : "";
  if (size >= 999.5 && size < 1e6) return sign + Math.round(size).toLocaleString("en");
  if (size === 0 || (size >= 1e-4 && size < 1e6)) return sign + size.toPrecision(3);
  const [digits, power] = size.toExponential(2).split("e");
  return `${sign}${digits}\u2009×\u200910${[...power.replace("+", "")].map((c) => SUPERSCRIPT[c]).join("")}`;
}

const known = (row) => gallery.known[row];
// Positive where removing the instance is predicted to improve the metric.
const harm = (instance, metric) =>
  instance.removal[metric] * (gallery.metrics[metric].higher_is_better ? 1 : -1);
const isTraced = (instance, metric) => instance.removal[metric] !== null;
const agrees = (instance) => {
  const signs = gallery.metrics.map((_, metric) => Math.sign(harm(instance, metric)));
  return signs.every((sign) => sign === signs[0]);
};
const chosenMetric = () => Number(filters.elements.metric?.value ?? 0);

// Shows only the filters that can tell these instances apart.
function prepare() {
  const all = gallery.instances;
  const labels = [...new Set(all.map(({ row }) => known(row).label))].filter(Boolean);
  labels.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  filters.elements.label.append(...labels.map((label) => new Option(label, label)));
  const useful = {
    label: labels.length > 1 && labels.length <= 200,
    agree: gallery.metrics.length > 1,
    planted: all.some(({ row }) => known(row).planted),
    copies: all.some((instance) => instance.n_copies),
  };
  for (const label of filters.querySelectorAll("[data-for]")) label.hidden = !useful[label.dataset.for];
}

function matching() {
  const { sign, label, agree, planted, copies, id } = filters.elements;
  const metric = chosenMetric();
  const part = id.value.trim().toLowerCase();
  const found = gallery.instances.filter((instance) => {
    const who = known(instance.row);
    return (
      isTraced(instance, metric) &&
      (sign.value !== "harmful" || harm(instance, metric) > 0) &&
      (sign.value !== "helpful" || harm(instance, metric) < 0) &&
      (!label.value || who.label === label.value) &&
      (!agree.checked || agrees(instance)) &&
      (!planted.checked || who.planted) &&
      (!copies.checked || instance.n_copies) &&
      (!part || who.id.toLowerCase().includes(part))
    );
  });
  const strength = (instance) =>
    sign.value === "helpful"
      ? -harm(instance, metric)
      : sign.value === "all"
        ? Math.abs(harm(instance, metric))
        : harm(instance, metric);
  return found.sort((a, b) => strength(b) - strength(a));
}

// A file is known by its name; its folder is in the detail.
const shortOf = (id) => id.split("/").pop() || id;
const pictureOf = (row, alt) =>
  make("img", { src: gallery.pictures[row], alt, loading: "lazy", decoding: "async" });

function tileOf(instance, metric, largest) {
  const who = known(instance.row);
  const side = harm(instance, metric) > 0 ? "harm" : "help";
  const bar = make("i");
  bar.style.width = `${Math.round((100 * Math.abs(harm(instance, metric))) / largest)}%`;
  const marks = make("span", { className: "marks" });
  if (who.label) marks.append(make("span", {}, make("span", { className: "unseen" }, "class "), who.label));
  if (who.planted) marks.append(make("span", { className: "planted" }, "planted"));
  if (instance.n_copies) marks.append(make("span", { className: "copies" }, "duplicate"));
  const tile = make("button", { type: "button", className: `tile ${side}`, title: who.id });
  tile.dataset.row = instance.row;
  if (gallery.pictures[instance.row]) tile.append(pictureOf(instance.row, ""));
  const meter = make("span", { className: "bar" }, bar);
  meter.ariaHidden = "true";
  tile.append(
    meter,
    make("span", { className: "id" }, shortOf(who.id)),
    make("span", { className: "score" }, number(instance.removal[metric], true)),
    marks,
  );
  return make("li", {}, tile);
}

let shown = [];
let drawing = 0;

function show() {
  const metric = chosenMetric();
  shown = matching();
  const largest = Math.max(...gallery.instances.map((one) => Math.abs(harm(one, metric)) || 0)) || 1;
  const count = shown.length.toLocaleString("en");
  const noun = shown.length === 1 ? "instance" : "instances";
  document.getElementById("shown").textContent = shown.length
    ? `${count} ${noun} of the ${gallery.instances.length.toLocaleString("en")} on this page, of ${gallery.n.toLocaleString("en")} in all; the strongest effect first.`
    : `No instance of the ${gallery.instances.length.toLocaleString("en")} on this page is like that.`;
  list.replaceChildren();
  list.classList.toggle("doubtful", gallery.metrics[metric].attributable === false);
  const turn = ++drawing;
  const more = (begin) => {
    if (turn !== drawing) return; // other filters were chosen meanwhile
    list.append(...shown.slice(begin, begin + CHUNK).map((one) => tileOf(one, metric, largest)));
    if (begin + CHUNK < shown.length) requestAnimationFrame(() => more(begin + CHUNK));
    else document.dispatchEvent(new CustomEvent("gallery", { detail: shown }));
  };
  more(0);
}

const cells = (name, row) =>
  make("tr", {}, ...row.map((text) => make(name, name === "th" ? { scope: "col" } : {}, text)));
function tableOf(caption, head, rows) {
  const found = make("table", {}, make("thead", {}, cells("th", head)));
  found.append(make("tbody", {}, ...rows.map((row) => cells("td", row))));
  const around = make("div", { className: "scroll", tabIndex: 0 }, found);
  around.role = "group";
  around.ariaLabel = caption;
  return [make("h3", {}, caption), around];
}

// Without its protocol, unless another has the same name.
const nameOf = (metric) =>
  gallery.metrics.filter(({ short }) => short === metric.short).length > 1 ? metric.title : metric.short;

function scoresOf(instance) {
  const interval = gallery.metrics.some((metric) => metric.margin !== null);
  const retrained = gallery.metrics.some((metric) => instance.row in metric.actual);
  const head = [
    "metric",
    "removal effect",
    ...(interval ? ["9 in 10 lie between"] : []),
    "rank (1 is the most harmful)",
    ...(retrained ? ["retrained without"] : []),
  ];
  const rows = gallery.metrics.map((metric, i) => {
    const value = instance.removal[i];
    if (value === null) return [nameOf(metric), "not traced", ...head.slice(2).map(() => "–")];
    const within =
      metric.margin === null
        ? "–"
        : `${number(value - metric.margin, true)} and ${number(value + metric.margin, true)}`;
    const actual = instance.row in metric.actual ? number(metric.actual[instance.row], true) : "–";
    return [
      nameOf(metric),
      number(value, true),
      ...(interval ? [within] : []),
      `${instance.rank[i].toLocaleString("en")} of ${metric.n.toLocaleString("en")}`,
      ...(retrained ? [actual] : []),
    ];
  });
  return tableOf("What removing it does", head, rows);
}

const drawn = (name, attributes, ...inside) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
};

// Bars of what each stretch of the run adds to the removal effect.
function epochsOf(instance, metric) {
  const values = instance.by_stretch[metric];
  if (!values) return [];
  const { stretches, short } = gallery.metrics[metric];
  const sign = gallery.metrics[metric].higher_is_better ? 1 : -1;
  const top = Math.max(...values.map(Math.abs)) || 1;
  const width = 480 / values.length;
  const bars = values.map((value, i) => {
    const height = (54 * Math.abs(value)) / top;
    const when = `moves ${stretches[i].toLocaleString("en")} to ${stretches[i + 1].toLocaleString("en")}: ${number(value, true)}`;
    return drawn(
      "rect",
      {
        x: i * width + 1,
        width: Math.max(width - 2, 1),
        y: value > 0 ? 60 - height : 60,
        height,
        fill: `var(--${value * sign > 0 ? "harm" : "help"})`,
      },
      drawn("title", {}, when),
    );
  });
  const most = values.reduce((best, value, i) => (Math.abs(value) > Math.abs(values[best]) ? i : best), 0);
  const text = `What each of ${values.length} stretches of the run adds to the removal effect. Most comes from moves ${stretches[most].toLocaleString("en")} to ${stretches[most + 1].toLocaleString("en")}: ${number(values[most], true)}.`;
  const picture = drawn(
    "svg",
    { viewBox: "0 0 480 120", preserveAspectRatio: "xMinYMid", role: "img", "aria-label": text },
    drawn("path", { d: "M0 60H480", stroke: "var(--soft)" }),
    ...bars,
  );
  const caption = `What each stretch of the run adds to the effect on the ${short}, from the first move (left) to the last.`;
  return [
    make("h3", {}, "When it acted"),
    make("figure", { className: "epochs" }, picture, make("figcaption", {}, caption)),
  ];
}

function neighbours(title, found, content) {
  if (!found?.length) return [];
  return [
    make("h3", {}, title),
    make(
      "ul",
      { className: "near" },
      ...found.map(([at, distance]) =>
        make("li", {}, ...content(at), make("span", { className: "aside" }, `distance ${number(distance)}`)),
      ),
    ),
  ];
}

function trainingNeighbour(row) {
  const who = known(row);
  const inside = [
    pictureOf(row, ""),
    make("span", { className: "id", title: who.id }, shortOf(who.id)),
    ...(who.label ? [make("span", {}, `class ${who.label}`)] : []),
  ];
  const instance = gallery.instances.find((one) => one.row === row);
  if (!instance) return inside;
  const button = make("button", { type: "button", className: "tile" }, ...inside);
  button.addEventListener("click", () => openDetail(instance));
  return [button];
}

function aboutOf(instance) {
  const who = known(instance.row);
  const metric = chosenMetric();
  const facts = [
    ...(who.label ? [["class", who.label]] : []),
    ...(who.planted ? [["planted", "yes, known to be corrupt"]] : []),
    ...(instance.n_copies
      ? [
          [
            "same bytes as",
            instance.copies.join(", ") +
              (instance.n_copies > instance.copies.length
                ? ` and ${instance.n_copies - instance.copies.length} more`
                : ""),
          ],
        ]
      : []),
    ["row", `${instance.row.toLocaleString("en")}, counted from 0`],
  ];
  const who_is = make("div", { className: "who" });
  if (gallery.pictures[instance.row])
    who_is.append(pictureOf(instance.row, `Instance ${who.id}${who.label ? `, class ${who.label}` : ""}`));
  who_is.append(
    make("dl", {}, ...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])),
  );
  const values = instance.values
    ? tableOf(
        "Its values, the most unusual first",
        ["column", "value", "deviations from the mean"],
        instance.values.map(([name, value, deviations]) => [name, number(value), number(deviations, true)]),
      )
    : [];
  const among =
    gallery.n_compared < gallery.n ? `, of ${gallery.n_compared.toLocaleString("en")} compared` : "";
  return [
    who_is,
    ...scoresOf(instance),
    ...epochsOf(instance, metric),
    ...values,
    ...neighbours(`Nearest training instances${among}`, instance.near, trainingNeighbour),
    ...neighbours(
      `Nearest of ${gallery.n_samples.toLocaleString("en")} generated`,
      instance.near_samples,
      (at) => [make("img", { src: gallery.samples[at], alt: `Sample ${at}` })],
    ),
  ];
}

let current = null;

function openDetail(instance) {
  current = instance;
  const metric = chosenMetric();
  const effect = harm(instance, metric);
  const verb = effect > 0 ? "improves" : "worsens";
  dialog.querySelector("h2").textContent = known(instance.row).id;
  dialog.querySelector(".said").textContent = isTraced(instance, metric)
    ? `Removing it ${verb} the ${gallery.metrics[metric].short} by ${number(Math.abs(effect))} (predicted).`
    : "Its effect was not traced.";
  dialog.querySelector(".about").replaceChildren(...aboutOf(instance));
  const place = shown.indexOf(instance);
  for (const button of dialog.querySelectorAll("[data-turn]"))
    button.disabled = !shown[place + Number(button.dataset.turn)];
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.querySelector("h2").focus();
  document.dispatchEvent(new CustomEvent("detail", { detail: instance }));
}

const turn = (by) => {
  const next = shown[shown.indexOf(current) + by];
  if (next) openDetail(next);
};

// Left and right walk through the gallery, up and down by a row of it.
function walk(event) {
  const tiles = [...list.querySelectorAll(".tile")];
  const at = tiles.indexOf(document.activeElement);
  if (at < 0) return;
  const top = tiles[0].offsetTop;
  const wrap = tiles.findIndex((tile) => tile.offsetTop !== top);
  const columns = wrap < 0 ? tiles.length : wrap;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  if (!by || !tiles[at + by]) return;
  tiles[at + by].focus();
  event.preventDefault();
}

list.addEventListener("click", (event) => {
  const row = event.target.closest(".tile")?.dataset.row;
  if (row !== undefined) openDetail(gallery.instances.find((one) => one.row === Number(row)));
});
list.addEventListener("keydown", walk);
filters.addEventListener("input", show);
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", () => setTimeout(show));
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by && !event.target.closest("input, textarea, select, .scroll")) turn(by);
});
dialog.addEventListener("close", () => list.querySelector(`[data-row="${current?.row}"]`)?.focus());
for (const button of dialog.querySelectorAll("[data-turn]")) {
  button.addEventListener("click", () => turn(Number(button.dataset.turn)));
}
prepare();
show();
