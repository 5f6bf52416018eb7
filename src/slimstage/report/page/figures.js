// Sizes, shares and counts as text: figures.py says the same for what is on the page from the beginning.

const COUNT = new Intl.NumberFormat("en"); // one for all: making it takes longer than using it
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** `182 MB`: decimal units, three significant digits. */
function sizeText(bytes) {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.5 && unit + 1 < UNITS.length) {
    value /= 1000;
    unit += 1;
  }
  return `${bytes < 0 ? "−" : ""}${Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

/** `43 %`, `4.3 %`, `< 0.1 %`; "" of nothing. */
function shareText(part, whole) {
  if (!whole || !part) return "";
  const percent = (100 * part) / whole;
  if (percent < 0.1) return "< 0.1 %";
  return percent >= 9.95 ? `${percent.toFixed(0)} %` : `${percent.toFixed(1)} %`;
}

/** `1 file`, `12,345 files`. */
function countText(number, one, several = `${one}s`) {
  return `${COUNT.format(number)} ${number === 1 ? one : several}`;
}
