"""A small analysis made by hand, for those who show analyses and read no image."""

from __future__ import annotations

from slimstage.analyze.analysis import (
    AnalysedImage,
    AnalysedLayer,
    Analysis,
    AnalysisFinding,
    FileTable,
    OwnedPackage,
    Waste,
)
from slimstage.analyze.inventory import System
from slimstage.digest import Digest, digest_bytes

SITE = "usr/lib/python3/site-packages"


def small_analysis(name: str = "app:1", *, numpy: str = "2.4.6", own_bytes: int = 1200) -> Analysis:
    """Three layers: a base, a package with tests, the user's file over an older one. Everything sums."""
    files = FileTable()

    def add(path: str, size: int, layer: int, purpose: str, owner: int) -> int:
        position = files.add(path, size, layer)
        files.purpose(position, purpose)
        files.own(position, owner, is_listed=owner > 1)
        return position

    add("usr/bin/python3", 6_000_000, 0, "interpreter", 2)
    old = add("srv/app.py", 900, 0, "application", 1)
    add(f"{SITE}/numpy/core.so", 20_000_000, 1, "library", 3)
    add(f"{SITE}/numpy/tests/test_core.py", 300_000, 1, "tests", 3)
    add(f"{SITE}/numpy/[b]odd\x1b.py", 5, 1, "library", 3)
    new = add("srv/app.py", own_bytes, 2, "application", 1)
    files.hide(old, "overwritten", 2)
    assert files.is_seen(new)
    purposes: dict[str, int] = {}
    owners = {0: 0, 1: 0, 2: 0, 3: 0}
    layers = [0, 0, 0]
    for file in files:
        purposes[file.purpose] = purposes.get(file.purpose, 0) + file.size_bytes
        owners[file.owner] += file.size_bytes
        layers[file.layer] += file.size_bytes
    size = sum(layers)
    made = ("ADD rootfs /", f"RUN pip install numpy=={numpy}", "COPY app.py /srv/")
    return Analysis(
        image=AnalysedImage(name, digest_bytes(f"{name}{numpy}{own_bytes}".encode()), None, "linux/amd64"),
        system=System("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
        size_bytes=size,
        seen_bytes=size - 900,
        compressed_bytes=None,
        layers=tuple(
            AnalysedLayer(
                number,
                _diff_id(number, numpy, own_bytes),
                None,
                layers[number],
                layers[number] - (900 if number == 0 else 0),
                None,
                2,
                created_by,
                "serve" if number else None,
                number * 3 or None,
            )
            for number, created_by in enumerate(made)
        ),
        files=files,
        owners=(
            OwnedPackage("none", size_bytes=owners[0]),
            OwnedPackage("own", size_bytes=owners[1], hidden_bytes=900, files=2),
            OwnedPackage("debian", "python3", "3.11.2-1", layer=0, size_bytes=owners[2], files=1),
            OwnedPackage("python", "numpy", numpy, layer=1, size_bytes=owners[3], files=3, needed_by=("scikit-learn",)),
        ),
        purposes=dict(sorted(purposes.items(), key=lambda item: -item[1])),
        waste=Waste(overwritten_bytes=900),
        findings=(
            AnalysisFinding(
                "test-suites", 300_000, "test suites of packages are in the image", "remove them", ("x",), 1, 1, 3
            ),
        ),
    )


def _diff_id(number: int, numpy: str, own_bytes: int) -> Digest:
    return digest_bytes(("base", f"numpy {numpy}", f"own {own_bytes}")[number].encode())
