// The files as trees: by directory, by package, by purpose. All are made of the same leaves, so all come to the same bytes.

const NO_PACKAGE = { "-2": "no package", "-3": "your own files" };

/** One node of a tree; `leaf` is its position in the data, -1 of a group or directory. */
class Item {
  constructor(name, parent) {
    this.name = name;
    this.parent = parent;
    this.size = 0;
    this.files = 0;
    this.leaf = -1;
    this.purpose = -1; // of a group: the one with the most bytes
    this.children = [];
    this.isGroup = false;
    this.isMatch = false; // of the search: this one or something below
  }

  /** Names from the root to here, without the root's. */
  trail() {
    const found = [];
    for (let item = this; item.parent; item = item.parent) found.push(item);
    return found.reverse();
  }

  get isDirectory() {
    return this.children.length > 0;
  }
}

/** The data of the page, made ready once. */
class Files {
  constructor(data) {
    this.purposes = data.purposes;
    this.colours = data.colours;
    this.packages = data.packages;
    this.columns = data.tree;
    const { names, parents, kinds, files } = data.tree;
    this.paths = new Array(names.length);
    this.leaves = [];
    for (let each = 0; each < names.length; each += 1) {
      const above = each ? this.paths[parents[each]] : "";
      this.paths[each] = each ? `${above}/${names[each]}` : "";
      if (kinds[each] === 2) this.paths[each] = `${above}/…`;
      if (kinds[each] !== 0) this.leaves.push(each);
    }
    this.folded = this.leaves.reduce((sum, each) => sum + (kinds[each] === 2 ? files[each] : 0), 0);
    this.trees = new Map();
    this.lower = null;
  }

  /** The tree of a grouping: "directory", "package" or "purpose". */
  tree(grouping) {
    if (!this.trees.has(grouping)) this.trees.set(grouping, this.build(grouping));
    return this.trees.get(grouping);
  }

  /** The class that colours a purpose. */
  colour(purpose) {
    return this.colours[purpose] ?? "px";
  }

  ownerName(leaf) {
    const owner = this.columns.owners[leaf];
    return owner < 0 ? "" : this.packages[owner][1];
  }

  purposeName(leaf) {
    return this.purposes[this.columns.purposes[leaf]] ?? "several";
  }

  /** What a leaf is called in its directory. */
  leafName(leaf) {
    const { names, kinds, files } = this.columns;
    return kinds[leaf] === 2 ? `… ${countText(files[leaf], "smaller file")}` : names[leaf];
  }

  groups(grouping, leaf) {
    if (grouping === "purpose") return [this.purposeName(leaf)];
    if (grouping === "package") {
      const owner = this.columns.owners[leaf];
      if (owner < 0) return [NO_PACKAGE[owner] ?? "several packages"];
      return [this.packages[owner][0], this.packages[owner][1]];
    }
    return [];
  }

  build(grouping) {
    const { sizes, files, purposes } = this.columns;
    const root = new Item("/", null);
    const index = new Map([[root, new Map()]]);
    const below = (item, name, isGroup) => {
      const known = index.get(item);
      let found = known.get(name);
      if (!found) {
        found = new Item(name, item);
        found.isGroup = isGroup;
        known.set(name, found);
        index.set(found, new Map());
        item.children.push(found);
      }
      return found;
    };
    for (const leaf of this.leaves) {
      let item = root;
      for (const group of this.groups(grouping, leaf)) item = below(item, group, true);
      const path = this.paths[leaf];
      const directory = path.slice(1, path.lastIndexOf("/"));
      if (directory) for (const part of directory.split("/")) item = below(item, part, false);
      const end = new Item(this.leafName(leaf), item);
      end.leaf = leaf;
      end.size = sizes[leaf];
      end.files = files[leaf];
      end.purpose = purposes[leaf];
      item.children.push(end);
    }
    finish(root);
    return root;
  }

  /** Positions of the leaves whose path or package has the text in it. */
  search(text) {
    const wanted = text.toLowerCase();
    if (!this.lower) {
      this.lower = this.leaves.map((leaf) => `${this.paths[leaf]}\n${this.ownerName(leaf)}`.toLowerCase());
    }
    return new Set(this.leaves.filter((_, number) => this.lower[number].includes(wanted)));
  }
}

/** Sums, order and main purpose of a whole tree; a directory that holds but another one becomes one with it. */
function finish(root) {
  const order = [root];
  for (const item of order) for (const child of item.children) order.push(child); // grows while it is gone through
  for (const item of order.reverse()) {
    if (item.leaf >= 0) continue;
    const bytes = new Map();
    item.size = 0;
    item.files = 0;
    for (const child of item.children) {
      item.size += child.size;
      item.files += child.files;
      bytes.set(child.purpose, (bytes.get(child.purpose) ?? 0) + child.size);
    }
    let most = -1;
    for (const [purpose, size] of bytes) {
      if (size > most) [most, item.purpose] = [size, purpose];
    }
    item.children.sort((a, b) => b.size - a.size);
    const only = item.children.length === 1 ? item.children[0] : null;
    if (only && only.isDirectory && item.parent && !item.isGroup) {
      item.name = `${item.name}/${only.name}`;
      item.children = only.children;
      for (const child of item.children) child.parent = item;
    }
  }
}

/** Marks what leads to the leaves that were found; null: nothing is sought. Bytes and files of all that were found. */
function markMatches(root, found, columns) {
  const order = [root];
  for (const item of order) {
    item.isMatch = item.leaf >= 0 && (found === null || found.has(item.leaf));
    for (const child of item.children) order.push(child); // grows while it is gone through
  }
  for (const item of order.reverse()) if (item.isMatch && item.parent) item.parent.isMatch = true;
  let bytes = 0;
  let files = 0;
  for (const leaf of found ?? []) {
    bytes += columns.sizes[leaf];
    files += columns.files[leaf];
  }
  return { bytes, files };
}
