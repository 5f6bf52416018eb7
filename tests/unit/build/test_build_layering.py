"""build/layering.py: which files of a layer go together."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.build.layering import Layering, layering, shares
from slimstage.tree.entry import Entry

SITE = "opt/venv/lib/python3.11/site-packages"
MIB = 1 << 20


def file(path: str, size: int = 10, **more: object) -> Entry:
    return Entry(path, "file", 0o644, 0, 0, size, **more)  # type: ignore[arg-type]


def tree(sizes: Mapping[str, int], records: Mapping[str, str] | None = None) -> tuple[list[Entry], dict[str, bytes]]:
    """Entries with their directories, in a scan's order, and the texts of RECORDs."""
    known = {path: text.encode() for path, text in (records or {}).items()}
    paths = {**sizes, **{path: len(text) for path, text in known.items()}}
    directories = {path[:at] for path in paths for at, character in enumerate(path) if character == "/"}
    entries = [Entry(path, "dir", 0o755, 0, 0) for path in directories]
    entries += [file(path, size) for path, size in paths.items()]
    return sorted(entries, key=lambda entry: entry.path.split("/")), known


def split(sizes: Mapping[str, int], records: Mapping[str, str] | None = None, most: int = 100) -> dict[str, list[str]]:
    """Title of each layer, in order, and its files."""
    entries, known = tree(sizes, records)
    found = layering(entries, known.get, most)
    return shown(entries, found)


def shown(entries: list[Entry], found: Layering) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {group.title: [] for group in found.groups}
    for entry, part in zip(entries, found.parts, strict=True):
        if entry.kind != "dir":
            layers[found.groups[part].title].append(entry.path)
    return layers


def record(*paths: str) -> str:
    return "".join(f"{path},,\n" for path in paths)


PACKAGES = {
    f"{SITE}/numpy-2.4.1.dist-info/RECORD": record("numpy/__init__.py", "numpy/core.so", "../../../bin/f2py"),
    f"{SITE}/six-1.17.0.dist-info/RECORD": record("six.py", "__pycache__/six.cpython-311.pyc"),
    f"{SITE}/idna-3.10.dist-info/RECORD": record("idna/__init__.py"),
}


def test_layers_are_ordered_by_how_often_they_change() -> None:
    layers = split(
        {
            "app/main.py": 100,
            "models/large.safetensors": 3 * MIB,
            "models/small.joblib": 900,
            "usr/lib/x86_64-linux-gnu/libgomp.so.1": 300_000,
            "usr/local/bin/python3.11": 5 * MIB,
            "usr/local/lib/python3.11/os.py": 40_000,
            "usr/local/lib/libpython3.11.so.1.0": 5 * MIB,
            f"{SITE}/numpy/__init__.py": 10,
            f"{SITE}/numpy/core.so": 20 * MIB,
            f"{SITE}/six.py": 30_000,
            f"{SITE}/idna/__init__.py": 5_000,
            "opt/venv/bin/f2py": 300,
        },
        PACKAGES,
    )
    assert list(layers) == [
        "system files",
        "Python 3.11 interpreter",
        "numpy 2.4.1",
        "2 Python packages: idna 3.10, six 1.17.0",
        "/models/large.safetensors",
        "small files of weights",
        "everything else",
    ]
    assert "opt/venv/bin/f2py" in layers["numpy 2.4.1"]
    assert layers["everything else"] == ["app/main.py"]
    assert len(layers["Python 3.11 interpreter"]) == 3


def test_what_nobody_names_goes_with_the_package_around_it_but_never_with_one_of_many() -> None:
    layers = split(
        {
            f"{SITE}/numpy/core.so": 20 * MIB,
            f"{SITE}/numpy/generated.txt": 4,
            f"{SITE}/numpy/sub/deep/cache.bin": 3 * MIB,
            f"{SITE}/six.py": 10,
            f"{SITE}/__pycache__/six.cpython-311.opt-1.pyc": 10,
            f"{SITE}/mine.pth.py": 10,
            f"{SITE}/__pycache__/mine.pth.cpython-311.pyc": 10,
        },
        PACKAGES,
    )
    assert {f"{SITE}/numpy/generated.txt", f"{SITE}/numpy/sub/deep/cache.bin"} < set(layers["numpy 2.4.1"])
    (light,) = (files for title, files in layers.items() if "Python packages" in title)
    assert f"{SITE}/__pycache__/six.cpython-311.opt-1.pyc" in light
    assert layers["everything else"] == [f"{SITE}/__pycache__/mine.pth.cpython-311.pyc", f"{SITE}/mine.pth.py"]


def test_scripts_beside_those_of_one_package_are_not_its_own() -> None:
    layers = split(
        {"opt/venv/bin/f2py": 5, "opt/venv/bin/serve": 5, f"{SITE}/numpy/core.so": 20 * MIB},
        {key: text for key, text in PACKAGES.items() if "numpy" in key},
    )
    assert layers["everything else"] == ["opt/venv/bin/serve"]


def test_an_environment_without_interpreter_is_a_layer_below_its_packages() -> None:
    sizes = {"opt/venv/pyvenv.cfg": 5, "opt/venv/bin/activate": 5, f"{SITE}/numpy/core.so": 20 * MIB}
    layers = split(sizes, PACKAGES)
    assert list(layers)[:2] == ["Python environment", "numpy 2.4.1"]


def test_any_large_file_has_a_layer_and_a_small_one_only_by_its_ending() -> None:
    layers = split(
        {"data/huge": 20 * MIB, "data/a.bin": 100, "data/b.bin": 2 * MIB, "data/c.onnx": 100, "x.py": 2 * MIB}
    )
    assert list(layers) == ["/data/huge", "/data/b.bin", "small files of weights", "everything else"]
    assert layers["everything else"] == ["data/a.bin", "x.py"]


def test_names_of_one_file_are_in_one_layer() -> None:
    entries = [
        file("a.safetensors", 2 * MIB, identity=(1, 7), nlink=2),
        file("b.py", 5),
        file("c.py", 2 * MIB, identity=(1, 7), nlink=2),
    ]
    found = layering(entries, lambda path: None, 100)
    assert [found.groups[part].title for part in found.parts] == ["/a.safetensors", "everything else", "/a.safetensors"]
    assert found.groups[0].size_bytes == 2 * MIB


def test_the_lightest_are_joined_until_the_layers_fit() -> None:
    sizes = {f"{name}.safetensors": (number + 2) * MIB for number, name in enumerate("abcdef")}
    assert list(split(sizes, most=4)) == ["/d.safetensors", "/e.safetensors", "/f.safetensors", "3 large files"]
    assert list(split(sizes, most=1)) == ["6 large files"]


def test_with_room_for_two_layers_the_user_s_own_code_keeps_one_to_itself() -> None:
    sizes = {
        "app/main.py": 5,
        "usr/lib/libx.so": 5,
        "m.safetensors": 3 * MIB,
        f"{SITE}/numpy/core.so": 20 * MIB,
        f"{SITE}/six.py": 4,
    }
    layers = split(sizes, PACKAGES, most=2)
    assert list(layers) == [
        "system files; 3 Python packages: idna 3.10, numpy 2.4.1, six 1.17.0; /m.safetensors",
        "everything else",
    ]
    assert layers["everything else"] == ["app/main.py"]


@pytest.mark.parametrize("text", ["", "\0", "../../../../etc/passwd,,\n", '"unclosed', "numpy/core.so" * 2000])
def test_a_record_that_is_none_costs_its_package_its_layer_and_no_more(text: str) -> None:
    layers = split({f"{SITE}/numpy/core.so": 20 * MIB, "app.py": 4}, {f"{SITE}/numpy-1.dist-info/RECORD": text})
    assert sorted(path for files in layers.values() for path in files) == sorted(
        [f"{SITE}/numpy/core.so", "app.py", f"{SITE}/numpy-1.dist-info/RECORD"]
    )


def test_marks_of_deletion_are_the_first_layer_s() -> None:
    entries = [file("a.py"), file("m.safetensors", 2 * MIB), Entry("z", "char", 0, 0, 0)]
    found = layering(entries, lambda path: None, 100)
    assert found.parts == (1, 0, 0)


@given(
    sizes=st.dictionaries(
        st.sampled_from([f"{place}{name}" for place in ("", "app/", "usr/lib/", f"{SITE}/numpy/") for name in
                         ("a.py", "b.safetensors", "c.bin", "d", "e.onnx", "f.pt")]),
        st.integers(0, 40 * MIB),
        min_size=1,
    ),
    most=st.integers(1, 12),
)  # fmt: skip
def test_every_file_is_in_exactly_one_layer_and_there_are_never_too_many(sizes: dict[str, int], most: int) -> None:
    entries, known = tree(sizes, PACKAGES)
    found = layering(entries, known.get, most)
    assert 1 <= len(found.groups) <= most
    assert len(found.parts) == len(entries)
    used = {part for entry, part in zip(entries, found.parts, strict=True) if entry.kind == "file"}
    assert used == set(range(len(found.groups)))
    titles = [group.title for group in found.groups]
    assert len(set(titles)) == len(titles)
    assert sum(group.size_bytes for group in found.groups) == sum(entry.size for entry in entries)


def test_layers_that_one_step_does_not_need_are_for_the_others() -> None:
    assert shares([1, 150, 1, 1], 127) == [1, 124, 1, 1]
    assert shares([80, 80, 10], 127) == [58, 59, 10]
    assert shares([5, 6], 127) == [5, 6]
    assert shares([5, 6, 7], 2) == [1, 1, 1]
    assert shares([], 5) == []


@given(st.lists(st.integers(1, 200), max_size=20), st.integers(0, 127))
def test_shares_never_come_to_more_than_there_is_room_for(wanted: list[int], room: int) -> None:
    found = shares(wanted, room)
    assert all(1 <= share <= want for share, want in zip(found, wanted, strict=True))
    assert sum(found) <= max(room, len(wanted))
