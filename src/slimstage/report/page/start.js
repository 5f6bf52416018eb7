// What the page does when it is there.

function start() {
  const data = JSON.parse(document.querySelector("#report-data").textContent);
  const files = new Files(data);
  const place = document.querySelector("#map");
  if (place && files.leaves.length) {
    new FileMap(place, files);
    document.querySelector("#largest").hidden = true;
  }
  if (data.packages.length) new PackageTable(data.packages);
  addSchemes(document.querySelector("nav ul"));
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
