// A grid of many tiles of which only those in sight exist.

const LEAST = 104; // pixels of a tile's width
const GAP = 12;
const TEXT = 44; // pixels below the picture
const MORE = 400; // pixels above and below the window that are ready

export class Grid {
  #order = [];
  #place = new Map(); // row: its place in the order
  #tiles = new Map(); // place: its list item
  #columns = 1;
  #width = LEAST;
  #active = 0;
  #planned = false;

  // `make(row)` is the content of a tile, a button; `mend(button, row)` brings it up to date.
  constructor(list, { make, mend, margin }) {
    Object.assign(this, { list, make, mend, margin });
    new ResizeObserver(() => this.#measure()).observe(list);
    addEventListener("scroll", () => this.#plan(), { passive: true });
    list.addEventListener("keydown", (event) => this.#move(event));
    list.addEventListener("focusin", (event) => {
      const item = event.target.closest("li");
      if (item) this.#activate(Number(item.dataset.place));
    });
  }

  get order() {
    return this.#order;
  }

  get active() {
    return this.#order[this.#active];
  }

  get focused() {
    return this.list.contains(document.activeElement) && document.activeElement !== this.list;
  }

  placeOf(row) {
    return this.#place.get(row);
  }

  // Show these rows. Who had the focus keeps it, or the one that took its place gets it.
  show(order) {
    const focused = this.focused;
    const row = this.active;
    this.#order = order;
    this.#place = new Map(order.map((other, place) => [other, place]));
    this.#active = this.#place.get(row) ?? Math.min(this.#active, Math.max(order.length - 1, 0));
    this.list.replaceChildren();
    this.#tiles.clear();
    this.#measure();
    if (focused && order.length) this.focus(this.#active);
    else if (focused) this.list.focus();
  }

  refresh(rows) {
    for (const row of rows) {
      const item = this.#tiles.get(this.#place.get(row));
      if (item) this.mend(item.firstChild, row);
    }
  }

  focus(place) {
    this.#activate(place);
    this.#bringIntoSight(place);
    this.#draw();
    this.#tiles.get(place)?.firstChild.focus({ preventScroll: true });
  }

  toTop() {
    const top = this.list.getBoundingClientRect().top - this.margin();
    if (top < 0) scrollBy({ top, behavior: "instant" });
  }

  #activate(place) {
    this.#tiles.get(this.#active)?.firstChild.setAttribute("tabindex", "-1");
    this.#active = place;
    this.#tiles.get(place)?.firstChild.setAttribute("tabindex", "0");
  }

  get #step() {
    return this.#width + TEXT + GAP;
  }

  #measure() {
    const width = this.list.clientWidth;
    if (!width) return;
    this.#columns = Math.max(1, Math.floor((width + GAP) / (LEAST + GAP)));
    this.#width = Math.floor((width + GAP) / this.#columns) - GAP;
    const rows = Math.ceil(this.#order.length / this.#columns);
    this.list.style.height = `${Math.max(rows * this.#step - GAP, 0)}px`;
    this.list.style.setProperty("--tile", `${this.#width}px`);
    for (const [place, item] of this.#tiles) this.#lay(item, place);
    this.#draw();
  }

  #plan() {
    if (this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      this.#draw();
    });
  }

  #draw() {
    const above = -this.list.getBoundingClientRect().top;
    const line = (y) => Math.floor(y / this.#step) * this.#columns;
    const first = Math.max(0, line(above - MORE));
    const end = Math.min(this.#order.length, line(above + innerHeight + MORE) + this.#columns);
    for (const [place, item] of this.#tiles) {
      // Who has the focus stays, else it would be lost.
      if ((place < first || place >= end) && place !== this.#active) {
        item.remove();
        this.#tiles.delete(place);
      }
    }
    const wanted = new Set();
    for (let place = first; place < end; place += 1) wanted.add(place);
    if (this.#order.length) wanted.add(this.#active);
    // In the order of places, which is that of reading; nobody who is there is moved.
    let next = this.list.firstChild;
    for (const place of [...wanted].sort((a, b) => a - b)) {
      const item = this.#tiles.get(place);
      if (item) next = item.nextSibling;
      else this.list.insertBefore(this.#made(place), next);
    }
  }

  #made(place) {
    const row = this.#order[place];
    const item = document.createElement("li");
    item.dataset.place = place;
    item.setAttribute("aria-setsize", this.#order.length);
    item.setAttribute("aria-posinset", place + 1);
    const tile = this.make(row);
    tile.setAttribute("tabindex", place === this.#active ? "0" : "-1");
    item.append(tile);
    this.#tiles.set(place, item);
    this.#lay(item, place);
    return item;
  }

  #lay(item, place) {
    const right = (place % this.#columns) * (this.#width + GAP);
    const down = Math.floor(place / this.#columns) * this.#step;
    item.style.transform = `translate(${right}px, ${down}px)`;
  }

  #bringIntoSight(place) {
    const top = this.list.getBoundingClientRect().top + Math.floor(place / this.#columns) * this.#step;
    const least = this.margin() + GAP;
    const most = innerHeight - this.#step;
    if (top < least) scrollBy({ top: top - least, behavior: "instant" });
    else if (top > most) scrollBy({ top: top - most, behavior: "instant" });
  }

  #move(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.#order.length - 1;
    const lines = Math.max(1, Math.floor((innerHeight - this.margin()) / this.#step) - 1);
    const to = {
      ArrowLeft: this.#active - 1,
      ArrowRight: this.#active + 1,
      ArrowUp: this.#active - this.#columns,
      ArrowDown: this.#active + this.#columns,
      PageUp: Math.max(this.#active - lines * this.#columns, this.#active % this.#columns),
      PageDown: Math.min(this.#active + lines * this.#columns, last),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to <= last) this.focus(to);
  }
}
