"""tree/divide.py: one layer directory as several that are the same together."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.tree.divide import SHARED, directories_of, read_listing, write_part
from slimstage.tree.fold import fold
from slimstage.tree.pack import pack
from slimstage.tree.union import UnionTree
from support.trees import Dir, File, Hardlink, Node, Symlink, Tree, Whiteout, listing, make_tree, names_of, read_tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="sets owners and makes whiteouts")
pytestmark = [pytest.mark.root, root_only]


def packed(layer: str) -> bytes:
    sink = io.BytesIO()
    pack(layer, sink.write)
    return sink.getvalue()


def divided(layer: str, place: Path, chosen: Sequence[int]) -> list[str]:
    """The layer's parts as directories, base first; chosen: the part of each entry."""
    found = read_listing(layer)
    parts = directories_of(found, chosen)
    made: list[str] = []
    for part in [*sorted(set(chosen)), *([SHARED] if SHARED in parts else [])]:
        target = place / f"part{len(made)}"
        target.mkdir(parents=True)
        write_part(layer, str(target), found, parts, part)
        made.append(str(target))
    return made


def by_name(layer: str, part_of: dict[str, int], otherwise: int = 0) -> list[int]:
    return [part_of.get(entry.path, otherwise) for entry in read_listing(layer).entries]


TREE: Tree = {
    "opt": Dir(mtime_s=500),
    "opt/site": Dir(0o2775, 7, 8, 600),
    "opt/site/numpy": Dir(mtime_s=100),
    "opt/site/numpy/core.so": File(b"core", mtime_s=90),
    "opt/site/six.py": File(b"six", mtime_s=80),
    "opt/app.py": File(b"app", mtime_s=70),
}


def test_a_part_holds_its_files_and_the_directories_above_with_times_of_its_own(tmp_path: Path) -> None:
    layer = make_tree(tmp_path / "layer", TREE)
    parts = by_name(layer, {"opt/site/numpy/core.so": 0, "opt/site/six.py": 1, "opt/app.py": 2}, 2)
    first, second, third, last = (listing(packed(part)) for part in divided(layer, tmp_path / "parts", parts))
    assert names_of(first) == ["opt", "opt/site", "opt/site/numpy", "opt/site/numpy/core.so"]
    assert [member.mtime for member in first] == [100, 100, 100, 90]
    assert (first[1].mode, first[1].uid, first[1].gid) == (0o2775, 7, 8)
    assert names_of(second) == ["opt", "opt/site", "opt/site/six.py"]
    assert names_of(third) == ["opt", "opt/app.py"]
    assert [(member.name, member.mtime) for member in last] == [("opt", 500), ("opt/site", 600)]


def test_a_change_in_one_part_leaves_the_bytes_of_the_others(tmp_path: Path) -> None:
    changed = {**TREE, "opt/site": Dir(0o2775, 7, 8, 999), "opt/site/six.py": File(b"other", mtime_s=888)}
    blobs = []
    for number, tree in enumerate((TREE, changed)):
        layer = make_tree(tmp_path / f"layer{number}", tree)
        parts = by_name(layer, {"opt/site/numpy/core.so": 0, "opt/site/six.py": 1, "opt/app.py": 2}, 2)
        blobs.append([packed(part) for part in divided(layer, tmp_path / f"parts{number}", parts)])
    before, after = blobs
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, False]


def test_files_are_the_layer_s_own_and_names_of_one_file_stay_so(tmp_path: Path) -> None:
    layer = make_tree(tmp_path / "layer", {"a": "x", "b": Hardlink("a"), "c": "y"})
    first, second = divided(layer, tmp_path / "parts", [0, 0, 1])
    assert os.stat(f"{first}/a").st_ino == os.stat(f"{first}/b").st_ino == os.stat(f"{layer}/a").st_ino
    assert os.listdir(second) == ["c"]


def test_marks_of_deletion_hide_what_is_below_and_nothing_of_the_other_parts(tmp_path: Path) -> None:
    below = make_tree(tmp_path / "below", {"d/old": "1", "gone": "2", "e/old": "3"})
    layer = make_tree(
        tmp_path / "layer", {"d": Dir(is_opaque=True), "d/a": "a", "d/b": "b", "gone": Whiteout(), "e/new": "n"}
    )
    chosen = by_name(layer, {"d/a": 1, "d/b": 2, "e/new": 1, "gone": 0}, 1)
    parts = divided(layer, tmp_path / "parts", [0 if part == 0 else part for part in chosen])
    for stack in ([below, layer], [below, *parts]):
        with UnionTree(stack) as tree:
            assert [entry.path for entry in tree.walk("")] == ["d", "d/a", "d/b", "e", "e/new", "e/old"]


def test_an_empty_directory_goes_with_the_one_around_it(tmp_path: Path) -> None:
    layer = make_tree(tmp_path / "layer", {"p/f": "x", "p/empty/inner": Dir(), "q": "y"})
    found = read_listing(layer)
    chosen = [0 if entry.path == "p/f" else 1 for entry in found.entries]
    parts = dict(zip((entry.path for entry in found.entries), directories_of(found, chosen), strict=True))
    assert parts == {"p": 0, "p/f": 0, "p/empty": 0, "p/empty/inner": 0, "q": 1}


NAMES = st.sampled_from(["a", "b", "c", "a.b", "é"])
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(
        File, st.binary(max_size=20), st.integers(0, 0o777), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99)
    ),
    st.builds(Symlink, NAMES, st.integers(0, 99)),
)
DIRECTORIES = st.builds(Dir, st.integers(0, 0o7777), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))


def flatten(nested: dict[str, object], prefix: str = "") -> dict[str, Node]:
    flat: dict[str, Node] = {}
    for name, node in nested.items():
        if isinstance(node, tuple):
            flat[prefix + name] = node[0]
            flat.update(flatten(node[1], f"{prefix}{name}/"))
        else:
            flat[prefix + name] = node  # type: ignore[assignment]
    return flat


TREES: st.SearchStrategy[Tree] = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES, lambda inner: st.tuples(DIRECTORIES, st.dictionaries(NAMES, inner, max_size=4)), max_leaves=10
    ),
    max_size=4,
).map(flatten)


@settings(max_examples=40, deadline=None)
@given(tree=TREES, data=st.data())
def test_the_parts_together_are_the_layer(tree: Tree, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        layer = make_tree(Path(place) / "layer", tree)
        entries = read_listing(layer).entries
        count = data.draw(st.integers(1, 3))
        chosen = [data.draw(st.integers(0, count - 1)) for _ in entries]
        used = sorted(set(chosen))  # parts are numbered without gaps, and none is empty
        parts = divided(layer, Path(place) / "parts", [used.index(part) for part in chosen])
        together = Path(place) / "together"
        together.mkdir()
        fold(parts, str(together))
        assert read_tree(together) == read_tree(layer)
