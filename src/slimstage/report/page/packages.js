// The table of packages: all of them, sorted and filtered as one likes.

const MOST_PACKAGES = 40;
// By column of the table: which field it shows; of those without one the table cannot be sorted by.
const COLUMNS = [
  { key: 1, isNumber: false },
  { key: 3, isNumber: true },
  null,
  { key: 2, isNumber: false },
  { key: 0, isNumber: false },
  { key: 4, isNumber: true },
  null,
];

class PackageTable {
  constructor(packages) {
    this.packages = packages;
    this.table = document.querySelector("#package-table table");
    this.body = this.table.tBodies[0];
    this.more = document.querySelector("#package-more") ?? make("p", { id: "package-more" });
    this.table.parentElement.after(this.more);
    this.sort = { column: 1, isUp: false };
    this.shown = MOST_PACKAGES;
    this.most = packages.reduce((most, each) => Math.max(most, each[3]), 0);
    this.makeTools(document.querySelector("#package-tools"));
    this.makeHeads();
    this.fill();
  }

  makeTools(place) {
    this.filter = make("input", { type: "search", id: "package-filter", placeholder: "Filter packages", autocomplete: "off", spellcheck: "false" });
    const kinds = [...new Set(this.packages.map((each) => each[0]))].sort();
    this.kind = make("select", { id: "package-kind" }, make("option", { value: "" }, "All kinds"), ...kinds.map((each) => make("option", { value: each }, each)));
    this.count = make("output", { role: "status" });
    place.append(
      make("label", { class: "unseen", for: "package-filter" }, "Filter packages"),
      this.filter,
      make("label", { class: "unseen", for: "package-kind" }, "Kind of package"),
      this.kind,
      this.count,
    );
    place.hidden = false;
    const again = () => {
      this.shown = MOST_PACKAGES;
      this.fill();
    };
    this.filter.addEventListener("input", settled(again, 100));
    this.kind.addEventListener("change", again);
  }

  makeHeads() {
    this.heads = [...this.table.tHead.rows[0].cells];
    COLUMNS.forEach((column, number) => {
      if (!column) return;
      const head = this.heads[number];
      const button = make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const isUp = this.sort.column === number ? !this.sort.isUp : !column.isNumber;
        this.sort = { column: number, isUp };
        this.fill();
      });
    });
  }

  chosen() {
    const text = this.filter.value.trim().toLowerCase();
    const kind = this.kind.value;
    const found = this.packages.filter((each) => (!kind || each[0] === kind) && (!text || each[1].toLowerCase().includes(text)));
    const { key, isNumber } = COLUMNS[this.sort.column];
    const way = this.sort.isUp ? 1 : -1;
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    return found.sort((a, b) => way * (isNumber ? a[key] - b[key] : compare(a[key], b[key])) || compare(a[1], b[1]));
  }

  fill() {
    const found = this.chosen();
    this.heads.forEach((head, number) => {
      if (number === this.sort.column) head.setAttribute("aria-sort", this.sort.isUp ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.body.replaceChildren(...found.slice(0, this.shown).map((each) => this.row(each)));
    const bytes = found.reduce((sum, each) => sum + each[3], 0);
    this.count.textContent = `${countText(found.length, "package")}, ${sizeText(bytes)}`;
    this.more.replaceChildren();
    if (found.length > this.shown) {
      const button = make("button", { type: "button", class: "plain" }, `Show all ${COUNT.format(found.length)}`);
      button.addEventListener("click", () => {
        this.shown = Infinity;
        this.fill();
      });
      this.more.append(button);
    }
  }

  row([kind, name, version, size, files, neededBy]) {
    const more = neededBy.length - 3;
    const needed = neededBy.slice(0, 3).join(", ") + (more > 0 ? ` and ${more} more` : "");
    return make(
      "tr",
      {},
      make("th", { scope: "row", class: "any" }, name),
      make("td", { class: "num" }, sizeText(size)),
      make("td", {}, makeBar(size, this.most)),
      make("td", { class: "any" }, version),
      make("td", {}, kind),
      make("td", { class: "num" }, COUNT.format(files)),
      make("td", { class: "any" }, needed),
    );
  }
}
