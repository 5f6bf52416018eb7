// What the page does when it is there.

/** The place of the map is made at once, what is in it after the page was painted: it takes most of the time. */
function start() {
  document.querySelector("#largest").hidden = true;
  document.querySelector("#map").hidden = false;
  addSchemes(document.querySelector("nav ul"));
  keepStops();
  requestAnimationFrame(() => setTimeout(fill));
}

function fill() {
  const data = JSON.parse(document.querySelector("#report-data").textContent);
  const files = new Files(data);
  const place = document.querySelector("#map");
  if (files.leaves.length) new FileMap(place, files);
  else place.hidden = true;
  if (data.packages.length) new PackageTable(data.packages);
  document.documentElement.dataset.ready = "";
  performance.mark("map-ready");
}

/** What has nothing to scroll is no stop for the Tab key. */
function keepStops() {
  const renew = ({ target }) => {
    const isWide = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (isWide) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  };
  const observer = new ResizeObserver((entries) => entries.forEach(renew));
  for (const each of document.querySelectorAll(".scroll, main pre")) observer.observe(each);
}

/** A button that goes through the schemes: as the system has it, light, dark. */
function addSchemes(place) {
  const names = ["auto", "light", "dark"];
  let at = 0;
  const button = make("button", { type: "button", class: "scheme" });
  const show = () => {
    const scheme = names[at];
    if (at) document.documentElement.dataset.scheme = scheme;
    else delete document.documentElement.dataset.scheme;
    button.textContent = `Colours: ${scheme}`;
    dispatchEvent(new Event("schemechange"));
  };
  button.addEventListener("click", () => {
    at = (at + 1) % names.length;
    show();
  });
  show();
  place.append(make("li", { class: "last" }, button));
}

start();
