// Elements of the page. Text goes in as text: nothing here, or anywhere in the script, parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and content (nodes and text). */
function make(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...content);
  return element;
}

/** How much of the whole it is, as a bar. */
function makeBar(part, whole, kind = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS(SVG, "rect");
  rect.setAttribute("width", `${whole ? (100 * part) / whole : 0}%`);
  rect.setAttribute("height", "100%");
  rect.setAttribute("rx", "2");
  if (kind) rect.setAttribute("class", kind);
  svg.append(rect);
  return svg;
}

/** Calls at most once in `delay` ms, with what was asked last. */
function settled(call, delay) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), delay);
  };
}

const quiet = matchMedia("(prefers-reduced-motion: reduce)");
