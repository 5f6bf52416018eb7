"""Layers of an image as an analysis sees them: directories of the store and blobs say the same."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.analyze.blob_layer import Spool
from slimstage.analyze.contents import Contents
from slimstage.analyze.layers import Layer, LayerEntry, LayerFacts, read_all
from slimstage.analyze.stacking import Stack
from slimstage.digest import digest_bytes
from slimstage.errors import DigestMismatch, FormatError
from support.layering import blob_layer, layer_tar, opened_image
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Tree, Whiteout, make_tar, member

_TREE: Tree = {
    "etc": Dir(),
    "etc/motd": "hello\n",
    "usr": Dir(mode=0o700),
    "usr/lib": Dir(is_opaque=True),
    "usr/lib/a.so": File(b"x" * 5000, mode=0o755),
    "usr/lib/b.so": Hardlink("usr/lib/a.so"),
    "usr/lib/c": Symlink("../../etc/motd"),
    "usr/gone": Whiteout(),
    "usr/pipe": Fifo(),
}


@pytest.fixture(params=["directory", "blob"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "directory" else None


@pytest.fixture
def layer(place: Path | None) -> Iterator[Layer]:
    with opened_image(place, [_TREE]) as image:
        yield image.layers[0]


def _all(path: str, size: int) -> int:
    return size


def test_every_entry_is_said_once_with_deletions_as_entries(layer: Layer) -> None:
    found = {(each.path, each.kind): each for each in layer.entries(_all)}
    assert set(found) == {
        ("etc", "dir"), ("etc/motd", "file"), ("usr", "dir"), ("usr/lib", "dir"), ("usr/lib", "opaque"),
        ("usr/lib/a.so", "file"), ("usr/lib/b.so", "file"), ("usr/lib/c", "symlink"), ("usr/gone", "whiteout"),
        ("usr/pipe", "other"),
    }  # fmt: skip
    first, second = found["usr/lib/a.so", "file"], found["usr/lib/b.so", "file"]
    assert first.link == second.link != 0
    assert (first.size, first.mode) == (5000, 0o755) == (second.size, second.mode)
    assert found["etc/motd", "file"].link == 0
    assert found["usr/lib/c", "symlink"].target == "../../etc/motd"


def test_content_is_read_after_the_entries_by_every_name(layer: Layer) -> None:
    list(layer.entries(_all))
    content = layer.open("usr/lib/b.so")
    assert content is not None
    assert read_all(content, 5000) == b"x" * 5000
    assert read_all(content, 4999) is None
    assert content.at(4990, 100) == b"x" * 10
    content.close()
    assert layer.open("usr/lib/c") is None
    assert layer.open("nothing") is None
    want = hashlib.sha256(b"x" * 5000).digest()
    assert layer.digest("usr/lib/a.so") == layer.digest("usr/lib/b.so") == want


def test_a_blob_keeps_what_was_asked_for_and_no_more() -> None:
    with opened_image(None, [{"a": b"1234567890", "b": b"1234567890"}]) as image:
        (layer,) = image.layers
        list(layer.entries(lambda path, size: 4 if path == "a" else 0))
        content = layer.open("a")
        assert content is not None
        assert (content.size, content.at(0, 100), content.at(2, 1)) == (10, b"1234", b"3")
        assert read_all(content, 100) is None
        assert layer.open("b") is None


def test_a_blob_keeps_nothing_when_there_is_no_room() -> None:
    spool = Spool()
    spool.left_bytes = 15
    layer = blob_layer(layer_tar({"a": b"x" * 10, "b": b"y" * 10}), spool)
    list(layer.entries(_all))
    assert layer.open("a") is not None
    assert layer.open("b") is None
    spool.close()


def test_a_blob_that_is_not_what_its_digest_says_is_an_error() -> None:
    spool = Spool()
    layer = blob_layer(layer_tar({"a": b"x"}), spool)
    layer._open_blob = lambda blob: io.BytesIO(layer_tar({"a": b"y"}))
    with pytest.raises(DigestMismatch):
        list(layer.entries(_all))
    spool.close()


def test_a_blob_that_leads_outside_is_an_error() -> None:
    spool = Spool()
    for name in ("../../etc/passwd", "a/../../b"):
        with pytest.raises(FormatError, match="outside"):
            list(blob_layer(make_tar(member(name, b"x")), spool).entries(_all))
    spool.close()


def test_of_a_name_that_comes_twice_the_last_counts_and_links_to_nothing_hold_nothing() -> None:
    spool = Spool()
    tar = make_tar(
        member("a", b"first"),
        member("link", type=tarfile.LNKTYPE, linkname="a"),
        member("a", b"second one"),
        member("lost", type=tarfile.LNKTYPE, linkname="elsewhere"),
    )
    layer = blob_layer(tar, spool, LayerFacts(diff_id=digest_bytes(tar)))
    found = {each.path: each for each in layer.entries(_all)}
    assert {path: (each.size, each.link != 0) for path, each in found.items()} == {
        "link": (5, True), "a": (10, False), "lost": (0, False),
    }  # fmt: skip
    spool.close()


# The stack ----------------------------------------------------------------------------------------------------


def _stack(place: Path | None, *trees: Tree) -> Stack:
    stack = Stack()
    with opened_image(place, trees) as image:
        for layer in image.layers:
            stack.add(layer.entries(_all))
    stack.finish()
    return stack


def _states(stack: Stack) -> dict[tuple[str, int], tuple[str, int, int]]:
    """(path, layer) → (state, hidden by, bytes)."""
    return {(each.path, each.layer): (each.state, each.hidden_by, each.size_bytes) for each in stack.files}


def test_files_are_seen_overwritten_or_deleted(place: Path | None) -> None:
    stack = _stack(
        place,
        {"a": b"1", "b": b"22", "d": Dir(), "d/x": b"333", "d/y": b"4444", "e": Dir(), "e/z": b"5"},
        {"a": b"11", "d": Dir(is_opaque=True), "d/y": b"4444", "e": Whiteout()},
        {"b": Whiteout(), "e": b"6"},
    )
    assert _states(stack) == {
        ("a", 0): ("overwritten", 1, 1), ("a", 1): ("seen", -1, 2), ("b", 0): ("deleted", 2, 2),
        ("d/x", 0): ("deleted", 1, 3), ("d/y", 0): ("overwritten", 1, 4), ("d/y", 1): ("seen", -1, 4),
        ("e/z", 0): ("deleted", 1, 1), ("e", 2): ("seen", -1, 1),
    }  # fmt: skip
    files = stack.files
    assert {(files.paths[low], files.paths[high]) for low, high in stack.replaced.items()} == {
        ("a", "a"),
        ("d/y", "d/y"),
    }


def test_hard_links_count_once_where_they_are_seen(place: Path | None) -> None:
    stack = _stack(place, {"a": b"12345", "b": Hardlink("a"), "c": Hardlink("a")}, {"a": Whiteout(), "c": b"new"})
    assert _states(stack) == {
        ("a", 0): ("deleted", 1, 0), ("b", 0): ("seen", -1, 5), ("c", 0): ("overwritten", 1, 0), ("c", 1): ("seen", -1, 3),
    }  # fmt: skip
    hidden = _stack(place and place / "hidden", {"a": b"12345", "b": Hardlink("a")}, {"a": Whiteout(), "b": Whiteout()})
    assert _states(hidden) == {("a", 0): ("deleted", 1, 5), ("b", 0): ("deleted", 1, 0)}


def test_names_below_a_symlink_of_a_lower_layer_are_where_it_leads() -> None:
    stack = _stack(
        None, {"usr": Dir(), "usr/lib": Dir(), "usr/lib/a": b"1", "lib": Symlink("usr/lib")}, {"lib/a": b"22"}
    )
    assert _states(stack) == {("usr/lib/a", 0): ("overwritten", 1, 1), ("usr/lib/a", 1): ("seen", -1, 2)}
    assert stack.resolve("lib/x/y") == "usr/lib/x/y"
    loop = _stack(None, {"a": Symlink("b"), "b": Symlink("a")}, {"a/x": b"1"})
    assert [each.size_bytes for each in loop.files] == [1]


def test_links_never_lead_above_the_root() -> None:
    stack = _stack(None, {"out": Symlink("../../../etc"), "up": Symlink("/..")})
    assert stack.resolve("out/passwd") == "etc/passwd"
    assert stack.resolve("up/../x") == "x"


def test_directories_become_files_and_files_directories(place: Path | None) -> None:
    stack = _stack(place, {"a": Dir(), "a/x": b"1", "b": b"22"}, {"a": b"333", "b": Dir(), "b/y": b"4444"})
    assert _states(stack) == {
        ("a/x", 0): ("deleted", 1, 1), ("a", 1): ("seen", -1, 3), ("b", 0): ("deleted", 1, 2), ("b/y", 1): ("seen", -1, 4),
    }  # fmt: skip


def test_a_layer_that_says_a_name_twice_stores_it_once() -> None:
    stack = Stack()
    stack.add([LayerEntry("a", "file", 5), LayerEntry("a", "file", 7), LayerEntry("", "dir")])
    stack.add([LayerEntry("", "whiteout"), LayerEntry("", "opaque")])
    stack.finish()
    assert sum(stack.files.sizes) == 7
    assert [each.state for each in stack.files] == ["overwritten", "deleted"]


def test_contents_are_found_by_paths_of_the_tree(place: Path | None) -> None:
    base: Tree = {"usr": Dir(), "usr/etc": Dir(), "usr/etc/motd": b"old", "etc": Symlink("usr/etc")}
    above: Tree = {"usr/etc/motd": b"new", "usr/link": Symlink("/etc/motd"), "usr/round": Symlink("round")}
    with opened_image(place, [base, above]) as image:
        contents = Contents(image, _all, lambda number, entries: None)
        assert contents.text("/etc/motd") == contents.text("usr/link") == "new"
        assert contents.text("usr/link", 2) is None
        assert contents.text("usr/round") is contents.text("usr") is contents.text("nothing") is None
        assert [contents.read(position, 10) for position in range(2)] == [b"old", b"new"]


def test_names_that_a_blob_writes_through_a_symlink_are_read_by_their_own() -> None:
    with opened_image(None, [{"usr": Dir(), "lib": Symlink("usr")}, {"lib/a": b"x" * 5000}]) as image:
        contents = Contents(image, _all, lambda number, entries: None)
        assert contents.text("usr/a") == contents.text("lib/a") == "x" * 5000
        assert contents.digest(contents.seen["usr/a"]) == hashlib.sha256(b"x" * 5000).digest()
