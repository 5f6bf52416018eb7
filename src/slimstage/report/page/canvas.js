// The drawing of the map: boxes into a bitmap once, then bitmaps only, so that moving and zooming cost the same for any image.

const ZOOM_MS = 260;
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

class MapCanvas {
  constructor(canvas, classes) {
    this.canvas = canvas;
    this.classes = classes;
    this.pen = canvas.getContext("2d");
    this.boxes = [];
    this.root = null;
    this.bitmap = null;
    this.marked = null; // the item that is selected
    this.under = null; // the item under the pointer
    this.isSought = false;
    this.frame = 0;
    this.colours = null;
  }

  /** Takes the colours from the page's style; to be called again when the scheme changes. */
  readColours() {
    const probe = make("span", { hidden: true });
    document.body.append(probe);
    const colour = (kind) => {
      probe.className = `swatch ${kind}`;
      return getComputedStyle(probe).backgroundColor;
    };
    this.colours = {
      purposes: this.classes.map(colour),
      other: colour("px"),
      ground: colour("map-ground"),
      directories: [colour("map-even"), colour("map-odd")],
      text: colour("map-text"),
      muted: colour("map-muted"),
      accent: colour("map-accent"),
    };
    probe.remove();
  }

  /** The size of the drawing as it is on the page, in CSS pixels. */
  size() {
    const { width, height } = this.canvas.getBoundingClientRect();
    return { width: Math.round(width), height: Math.round(height) };
  }

  /** Shows an item; `way` is "in" or "out" for a zoom from what is shown now, else it is there at once. */
  show(root, way = "") {
    const before = { bitmap: this.bitmap, boxes: this.boxes, root: this.root };
    const { width, height } = this.size();
    this.root = root;
    this.under = null;
    this.boxes = layOut(root, 0, 0, width, height);
    this.redraw();
    cancelAnimationFrame(this.frame);
    const near = way === "in" ? before.boxes.find((box) => box.item === root) : this.boxes.find((box) => box.item === before.root);
    if (!way || !near || !before.bitmap || quiet.matches) return;
    const started = performance.now();
    const step = (now) => {
      const t = Math.min(1, Math.max(0, now - started) / ZOOM_MS);
      this.between(before.bitmap, near, way, 1 - (1 - t) ** 3);
      if (t < 1) this.frame = requestAnimationFrame(step);
      else this.present();
    };
    this.frame = requestAnimationFrame(step);
  }

  /** One picture of a zoom: the outer drawing grows or shrinks, the inner one comes or goes at its place in it. */
  between(before, near, way, t) {
    const { width, height } = this.size();
    const at = way === "in" ? t : 1 - t;
    const view = {
      x: near.x * at,
      y: near.y * at,
      width: width + (near.width - width) * at,
      height: height + (near.height - height) * at,
    };
    const [sx, sy] = [width / view.width, height / view.height];
    const [outer, inner] = way === "in" ? [before, this.bitmap] : [this.bitmap, before];
    const { pen } = this;
    this.reset(pen, width, height);
    pen.drawImage(outer, -view.x * sx, -view.y * sy, width * sx, height * sy);
    pen.globalAlpha = at;
    pen.drawImage(inner, (near.x - view.x) * sx, (near.y - view.y) * sy, near.width * sx, near.height * sy);
    pen.globalAlpha = 1;
  }

  reset(pen, width, height) {
    const ratio = devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = this.colours.ground;
    pen.fillRect(0, 0, width, height);
  }

  /** Draws all boxes anew: after a zoom, a search, a change of size or colours. */
  redraw() {
    if (!this.colours) this.readColours();
    const { width, height } = this.size();
    const ratio = devicePixelRatio || 1;
    const bitmap = document.createElement("canvas");
    bitmap.width = Math.max(1, Math.round(width * ratio));
    bitmap.height = Math.max(1, Math.round(height * ratio));
    const pen = bitmap.getContext("2d");
    this.reset(pen, width, height);
    pen.font = FONT;
    pen.textBaseline = "middle";
    for (const box of this.boxes) this.drawBox(pen, box);
    this.bitmap = bitmap;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.present();
  }

  drawBox(pen, box) {
    const { item } = box;
    const { colours } = this;
    const isDim = this.isSought && !item.isMatch;
    if (box.isOpen) {
      if (box.depth === 0) return;
      pen.fillStyle = colours.directories[box.depth % 2];
      pen.fillRect(box.x, box.y, box.width, box.height);
      if (box.hasHead) {
        const size = box.width > 120 ? sizeText(item.size) : "";
        pen.fillStyle = isDim ? colours.muted : colours.text;
        const room = box.width - 12 - (size ? pen.measureText(size).width + 8 : 0);
        pen.fillText(fitted(pen, item.name, room), box.x + 6, box.y + HEAD / 2 + 0.5);
        if (size) {
          pen.fillStyle = colours.muted;
          pen.textAlign = "right";
          pen.fillText(size, box.x + box.width - 6, box.y + HEAD / 2 + 0.5);
          pen.textAlign = "left";
        }
      }
      return;
    }
    const gap = Math.min(box.width, box.height) > 3 ? 0.5 : 0;
    pen.globalAlpha = isDim ? 0.16 : 1;
    pen.fillStyle = colours.purposes[item.purpose] ?? colours.other;
    pen.fillRect(box.x + gap, box.y + gap, box.width - 2 * gap, box.height - 2 * gap);
    pen.globalAlpha = 1;
    if (isDim || box.width < 34 || box.height < 17) return;
    pen.fillStyle = colours.text;
    const isTall = box.height > 36;
    const name = fitted(pen, item.name, box.width - 10);
    if (name) pen.fillText(name, box.x + 6, box.y + (isTall ? 13 : box.height / 2));
    if (isTall && box.width > 56) pen.fillText(fitted(pen, sizeText(item.size), box.width - 10), box.x + 6, box.y + 29);
  }

  /** The bitmap, with what is selected and what the pointer is on. */
  present() {
    const { pen } = this;
    if (!this.bitmap) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.bitmap, 0, 0);
    const ratio = devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const [item, thick] of [[this.under, 1.5], [this.marked, 3]]) {
      const box = item && this.boxes.find((each) => each.item === item);
      if (!box || box.depth === 0) continue;
      pen.strokeStyle = this.colours.accent;
      pen.lineWidth = thick;
      pen.strokeRect(box.x + thick / 2, box.y + thick / 2, Math.max(0, box.width - thick), Math.max(0, box.height - thick));
    }
  }

  mark(item) {
    this.marked = item;
    this.present();
  }

  point(item) {
    if (item === this.under) return;
    this.under = item;
    this.present();
  }
}

/** The text, cut with "…" to the room that there is; "" where not even a few letters fit. */
function fitted(pen, text, room) {
  if (room < 16) return "";
  const most = Math.ceil(room / 3); // no letter that can be read is narrower
  let cut = text.length > most ? `${text.slice(0, most)}…` : text;
  let width = pen.measureText(cut).width;
  while (width > room && cut.length > 2) {
    const keep = Math.max(1, Math.min(cut.length - 2, Math.floor((cut.length * room) / width)));
    cut = `${cut.slice(0, keep).replace(/[\ud800-\udbff]$/, "")}…`;
    width = pen.measureText(cut).width;
  }
  return width > room || cut.length < 3 && text.length > 3 ? "" : cut;
}
