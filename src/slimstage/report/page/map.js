// The map of the files: what is shown, what is selected, what is sought; by pointer, keys and screen reader alike.

const MOST_ROWS = 100;
const HELP = "Arrow keys move, Enter opens, Escape goes out, / searches.";

class FileMap {
  constructor(place, files) {
    this.files = files;
    this.grouping = "directory";
    this.item = files.tree("directory");
    this.chosen = null;
    this.sought = "";
    this.found = null;
    this.results = [];
    this.resultAt = -1;
    this.build(place);
    this.drawing = new MapCanvas(this.canvas, files.colours);
    this.listen();
    this.drawing.show(this.item);
    this.update();
  }

  build(place) {
    const radios = ["directory", "package", "purpose"].map((grouping) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "grouping", value: grouping, checked: grouping === this.grouping }),
        make("span", {}, grouping[0].toUpperCase() + grouping.slice(1)),
      ),
    );
    this.radios = make("fieldset", { class: "segments" }, make("legend", { class: "unseen" }, "Group by"), ...radios);
    this.search = make("input", { type: "search", id: "map-search", placeholder: "Search files and packages  /", autocomplete: "off", spellcheck: "false" });
    this.trail = make("ol");
    this.canvas = make("canvas", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "map",
      "aria-describedby": "map-help",
      "aria-label": "Map of the files",
    });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.heading = make("h3", { id: "map-heading" });
    this.list = make("ul", { class: "entries", "aria-labelledby": "map-heading" });
    this.details = make("dl", { class: "chosen" });
    this.said = make("p", { class: "unseen", role: "status" });
    place.append(
      make(
        "div",
        { class: "map-tools" },
        this.radios,
        make("div", { class: "search" }, make("label", { class: "unseen", for: "map-search" }, "Search files and packages"), this.search),
      ),
      make("nav", { class: "trail", "aria-label": "Where the map is" }, this.trail),
      make(
        "div",
        { class: "map-body" },
        make("div", { class: "canvas-box" }, this.canvas, this.tip),
        make("div", { class: "side" }, this.heading, this.list, this.details),
      ),
      make("p", { class: "hint", id: "map-help" }, HELP),
      this.said,
    );
  }

  listen() {
    this.radios.addEventListener("change", (event) => this.group(event.target.value));
    this.search.addEventListener("input", settled(() => this.seek(this.search.value.trim()), 120));
    this.search.addEventListener("keydown", (event) => this.searchKey(event));
    this.canvas.addEventListener("keydown", (event) => this.canvasKey(event));
    this.canvas.addEventListener("pointermove", (event) => this.pointer(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.list.addEventListener("keydown", (event) => this.listKey(event));
    document.addEventListener("keydown", (event) => this.anyKey(event));
    const renew = () => this.drawing.show(this.item);
    new ResizeObserver(settled(renew, 60)).observe(this.canvas);
    const recolour = () => {
      this.drawing.readColours();
      this.drawing.redraw();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
    addEventListener("schemechange", recolour);
  }

  // What is shown

  group(grouping) {
    this.grouping = grouping;
    this.item = this.files.tree(grouping);
    this.chosen = null;
    this.matchAll();
    this.drawing.marked = null;
    this.drawing.show(this.item);
    this.update();
  }

  /** Shows an item's inside; a leaf is only chosen. */
  open(item, chosen = null) {
    if (!item.isDirectory) {
      this.choose(item);
      return;
    }
    const way = isBelow(item, this.item) ? "in" : isBelow(this.item, item) ? "out" : "";
    this.item = item;
    this.chosen = chosen;
    this.drawing.marked = chosen;
    this.leave();
    this.drawing.show(item, way);
    this.update();
    this.say(`${item.parent ? item.name : "All files"}, ${sizeText(item.size)}, ${countText(item.children.length, "entry", "entries")}`);
  }

  out() {
    if (this.item.parent) this.open(this.item.parent, this.item);
    else if (this.sought) this.clearSearch();
  }

  choose(item) {
    this.chosen = item;
    this.drawing.mark(item);
    this.tell();
    for (const row of this.list.querySelectorAll("button")) row.classList.toggle("here", row.item === item);
    if (item) this.say(`${item.name}, ${sizeText(item.size)}, ${shareText(item.size, this.item.size)}`);
  }

  say(text) {
    this.said.textContent = text;
  }

  // The text beside the map

  update() {
    const steps = [...this.item.trail()];
    const root = this.files.tree(this.grouping);
    this.trail.replaceChildren(
      ...[root, ...steps].map((item, number, all) => {
        const isLast = number === all.length - 1;
        const button = make("button", { type: "button", "aria-current": isLast ? "location" : null }, item.parent ? item.name : "All files");
        button.addEventListener("click", () => this.open(item, steps[number] ?? null));
        return make("li", {}, button);
      }),
    );
    if (this.sought) this.listResults();
    else this.listChildren();
    this.tell();
    this.canvas.setAttribute("aria-label", `Map of ${this.item.parent ? this.item.name : "all files"}, ${sizeText(this.item.size)}`);
  }

  listChildren() {
    this.heading.replaceChildren(this.item.parent ? this.item.name : "All files", " ", make("span", { class: "num" }, sizeText(this.item.size)));
    const { children } = this.item;
    const rows = children.slice(0, MOST_ROWS).map((item) => this.row(item, item.name, item.isDirectory ? "/" : ""));
    const rest = children.slice(MOST_ROWS);
    if (rest.length) {
      const bytes = rest.reduce((sum, item) => sum + item.size, 0);
      rows.push(make("li", { class: "rest" }, `and ${countText(rest.length, "entry", "entries")} more, ${sizeText(bytes)}`));
    }
    this.list.replaceChildren(...rows);
    this.rove(this.chosen);
  }

  listResults() {
    const { bytes, files } = this.matches;
    const told = this.results.length ? `${countText(files, "file")} found` : "Nothing found";
    this.heading.replaceChildren(told, " ", make("span", { class: "num" }, this.results.length ? sizeText(bytes) : ""));
    const rows = this.results.slice(0, MOST_ROWS).map((item) => {
      const path = this.files.paths[item.leaf];
      return this.row(item, item.name, "", path.slice(0, path.length - item.name.length) || "/");
    });
    if (this.results.length > MOST_ROWS) rows.push(make("li", { class: "rest" }, `the ${MOST_ROWS} largest are listed`));
    if (this.files.folded) rows.push(make("li", { class: "rest" }, "Files that are folded are found by their directory alone."));
    this.list.replaceChildren(...rows);
    this.rove(null);
  }

  row(item, name, mark, place = "") {
    const whole = this.sought ? this.matches.bytes : this.item.size;
    const button = make(
      "button",
      { type: "button", tabindex: "-1", class: item === this.chosen ? "here" : "" },
      make("span", { class: `swatch ${this.files.colour(item.purpose)}`, "aria-hidden": "true" }),
      make("span", { class: "name" }, name + (item.isGroup ? "" : mark)),
      make("span", { class: "num" }, sizeText(item.size)),
      ...(place ? [make("span", { class: "place", title: place }, place)] : []),
      makeBar(item.size, whole),
    );
    button.item = item;
    button.addEventListener("click", () => {
      if (this.sought) this.open(item.parent, item);
      else this.open(item);
      if (item.isDirectory) this.list.querySelector("button")?.focus();
    });
    button.addEventListener("focus", () => {
      if (this.chosen !== item && item.parent === this.item) {
        this.chosen = item;
        this.drawing.mark(item);
        this.tell();
      }
    });
    return make("li", {}, button);
  }

  /** Makes one row the one that Tab reaches. */
  rove(item) {
    const rows = [...this.list.querySelectorAll("button")];
    const here = rows.find((row) => row.item === item) ?? rows[0];
    for (const row of rows) row.tabIndex = row === here ? 0 : -1;
  }

  /** All about what is chosen. */
  tell() {
    const item = this.chosen;
    if (!item) {
      this.details.replaceChildren();
      return;
    }
    const facts = [[item.isGroup ? "Group" : "Path", this.pathOf(item)], ["Size", `${sizeText(item.size)} (${COUNT.format(item.size)} bytes)`]];
    facts.push(["Share", [shareText(item.size, this.item.size) || "0 %", " of what is shown"].join("")]);
    if (item.files !== 1) facts.push(["Files", COUNT.format(item.files)]);
    facts.push([item.isDirectory ? "Mostly" : "Purpose", this.files.purposes[item.purpose] ?? "several"]);
    if (item.leaf >= 0) facts.push(["Package", this.files.ownerName(item.leaf) || "none"]);
    this.details.replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  pathOf(item) {
    return item.leaf >= 0 ? this.files.paths[item.leaf] : item.trail().map((each) => each.name).join("/");
  }

  // Search

  matchAll() {
    const root = this.files.tree(this.grouping);
    this.matches = markMatches(root, this.found, this.files.columns);
    this.drawing.isSought = this.found !== null;
    this.results = [];
    if (this.found === null) return;
    const todo = [root];
    while (todo.length) {
      const item = todo.pop();
      if (!item.isMatch) continue;
      if (item.leaf >= 0) this.results.push(item);
      for (const child of item.children) todo.push(child);
    }
    this.results.sort((a, b) => b.size - a.size);
    this.resultAt = -1;
  }

  seek(text) {
    if (text === this.sought) return;
    this.sought = text;
    this.found = text ? this.files.search(text) : null;
    this.matchAll();
    this.drawing.redraw();
    this.update();
    if (text) this.say(`${countText(this.matches.files, "file")} found, ${sizeText(this.matches.bytes)}`);
  }

  clearSearch() {
    this.search.value = "";
    this.seek("");
  }

  /** Goes to the next of what was found, the largest first. */
  nextResult() {
    if (!this.results.length) return;
    this.resultAt = (this.resultAt + 1) % this.results.length;
    const item = this.results[this.resultAt];
    this.open(item.parent, item);
    this.say(`${this.files.paths[item.leaf]}, ${sizeText(item.size)}`);
  }

  // Keys and pointer

  anyKey(event) {
    const isWritten = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "radio";
    if (event.key === "/" && !isWritten && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      this.search.focus();
      this.search.select();
    }
  }

  searchKey(event) {
    if (event.key === "Enter") {
      this.seek(this.search.value.trim());
      this.nextResult();
    } else if (event.key === "Escape") {
      this.clearSearch();
      this.canvas.focus();
    } else if (event.key === "ArrowDown") {
      this.list.querySelector("button")?.focus();
    } else return;
    event.preventDefault();
  }

  canvasKey(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) this.move(...step);
    else if (event.key === "Enter") {
      if (this.chosen) this.open(this.chosen);
    } else if (event.key === "Escape") this.out();
    else if (event.key === "Home") this.open(this.files.tree(this.grouping));
    else return;
    event.preventDefault();
  }

  move(dx, dy) {
    const first = this.item.children[0];
    const siblings = this.drawing.boxes.filter((box) => box.item.parent === (this.chosen ?? first)?.parent);
    const here = siblings.find((box) => box.item === this.chosen);
    if (here) this.choose(neighbour(siblings, here, dx, dy).item);
    else if (first) this.choose(first);
  }

  listKey(event) {
    const rows = [...this.list.querySelectorAll("button")];
    const at = rows.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
      this.rove(row?.item);
      row?.focus();
    } else if (event.key === "ArrowRight" && !this.sought && rows[at]?.item.isDirectory) rows[at].click();
    else if (event.key === "Escape" || event.key === "ArrowLeft") {
      this.out();
      (this.list.querySelector("button.here") ?? this.list.querySelector("button"))?.focus();
    } else return;
    event.preventDefault();
  }

  boxOf(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return boxAt(this.drawing.boxes, event.clientX - left, event.clientY - top);
  }

  pointer(event) {
    const box = this.boxOf(event);
    const item = box && box.depth ? box.item : null;
    this.drawing.point(item);
    this.canvas.classList.toggle("opens", Boolean(item?.isDirectory));
    if (!item || event.pointerType === "touch") {
      this.tip.hidden = true;
      return;
    }
    if (this.tip.item !== item) {
      this.tip.item = item;
      this.tip.replaceChildren(
        make("strong", {}, this.pathOf(item)),
        make("span", {}, `${sizeText(item.size)} · ${shareText(item.size, this.item.size)} · ${this.files.purposes[item.purpose] ?? "several"}`),
      );
    }
    this.tip.hidden = false;
    const area = this.canvas.getBoundingClientRect();
    const x = Math.min(event.clientX - area.left + 14, area.width - this.tip.offsetWidth - 4);
    const y = event.clientY - area.top + 18;
    this.tip.style.left = `${Math.max(4, x)}px`;
    this.tip.style.top = `${y + this.tip.offsetHeight > area.height ? y - this.tip.offsetHeight - 30 : y}px`;
  }

  leave() {
    this.tip.hidden = true;
    this.drawing.point(null);
  }

  click(event) {
    const box = this.boxOf(event);
    if (!box || !box.depth) return;
    if (box.item.isDirectory) this.open(box.item);
    else this.choose(box.item);
  }
}

/** Whether an item is somewhere below another. */
function isBelow(item, above) {
  for (let at = item.parent; at; at = at.parent) if (at === above) return true;
  return false;
}
