// Where the rectangles of the map are: squarified, directories around what they hold.
// Source: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).

const HEAD = 19; // height of a directory's name
const PAD = 2;
const LEAST = 4; // a side that is shorter shows nothing inside

/** Boxes of all that can be seen of an item in a rectangle, what is around before what is inside. */
function layOut(item, x, y, width, height) {
  const boxes = [];
  const todo = [{ item, x, y, width, height, depth: 0 }];
  while (todo.length) {
    const box = todo.pop();
    boxes.push(box);
    const { children } = box.item;
    box.isOpen = children.length > 0 && box.width >= LEAST * 3 && box.height >= LEAST * 3;
    if (!box.isOpen) continue;
    const isRoot = box.depth === 0;
    box.hasHead = !isRoot && box.width >= 44 && box.height >= HEAD + 16;
    const pad = isRoot ? 0 : PAD;
    const top = box.hasHead ? HEAD : pad;
    const inside = {
      x: box.x + pad,
      y: box.y + top,
      width: box.width - 2 * pad,
      height: box.height - top - pad,
    };
    if (inside.width < LEAST || inside.height < LEAST) {
      box.isOpen = false;
      continue;
    }
    for (const each of squarify(children, box.item.size, inside, box.depth + 1)) todo.push(each);
  }
  return boxes;
}

/** Boxes of the children, the largest first; those too small to be seen are left out. */
function squarify(children, whole, area, depth) {
  const boxes = [];
  let { x, y, width, height } = area;
  const scale = whole > 0 ? (width * height) / whole : 0;
  let start = 0;
  while (start < children.length && width > 0.5 && height > 0.5) {
    const side = Math.min(width, height);
    let sum = 0;
    let end = start;
    let worst = Infinity;
    // A row takes one more as long as that makes its boxes squarer.
    while (end < children.length) {
      const size = children[end].size * scale;
      const next = sum + size;
      if (size <= 0) break;
      const thick = next / side;
      const first = children[start].size * scale;
      const ratio = Math.max((thick * thick) / size, first / (thick * thick));
      if (ratio > worst) break;
      worst = ratio;
      sum = next;
      end += 1;
    }
    if (end === start) break;
    const thick = sum / side;
    let at = 0;
    for (let each = start; each < end; each += 1) {
      const long = (children[each].size * scale) / thick;
      const box =
        width >= height
          ? { x, y: y + at, width: thick, height: long }
          : { x: x + at, y, width: long, height: thick };
      at += long;
      if (box.width >= 0.7 && box.height >= 0.7) boxes.push({ ...box, item: children[each], depth });
    }
    if (width >= height) {
      x += thick;
      width -= thick;
    } else {
      y += thick;
      height -= thick;
    }
    start = end;
  }
  return boxes;
}

/** The innermost box at a place, or null. */
function boxAt(boxes, x, y) {
  let found = null;
  for (const box of boxes) {
    const isHit = x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
    if (isHit && (!found || box.depth > found.depth)) found = box;
  }
  return found;
}

/** The box nearest in a direction (dx, dy: -1, 0 or 1) among those given; the same when there is none. */
function neighbour(boxes, from, dx, dy) {
  const middle = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  const [fx, fy] = middle(from);
  let best = from;
  let least = Infinity;
  for (const box of boxes) {
    if (box === from) continue;
    const [x, y] = middle(box);
    const along = (x - fx) * dx + (y - fy) * dy;
    if (along <= 0.5) continue;
    // How far to the side its near edge is: none where the two overlap.
    const aside = dx
      ? Math.max(0, box.y - (from.y + from.height), from.y - (box.y + box.height))
      : Math.max(0, box.x - (from.x + from.width), from.x - (box.x + box.width));
    const off = dx ? Math.abs(y - fy) : Math.abs(x - fx);
    const cost = along + 3 * aside + 0.4 * off;
    if (cost < least) [least, best] = [cost, box];
  }
  return best;
}
