import json
import pathlib

here = pathlib.Path(__file__).parent
path = here / "model.json"
model = json.loads((path if path.exists() else here / "dist/model.json").read_text())
left = sorted(p.name for p in here.rglob("*") if p.is_file())
print("f(7) =", model["slope"] * 7 + model["offset"], "; files in the image:", ", ".join(left))
