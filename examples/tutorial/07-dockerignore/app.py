import pathlib

print("in the image:", ", ".join(sorted(str(p) for p in pathlib.Path(".").rglob("*") if p.is_file())))
