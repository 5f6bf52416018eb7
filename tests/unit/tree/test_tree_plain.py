"""A tree that a command may change, as a copy: what it changed becomes the layer, and nothing else does."""

from __future__ import annotations

import os
import random
import shutil
import socket
from pathlib import Path

import pytest

from slimstage.tree.entry import Entry
from slimstage.tree.plain import PlainTree
from slimstage.tree.scan import scan
from slimstage.tree.union import UnionTree
from slimstage.values import replace


class Copy:
    """Two layers, their copy, and the layer that the changes make."""

    def __init__(self, top: Path) -> None:
        self.lower, self.upper, self.place, self.layer = (top / name for name in ("lower", "upper", "place", "layer"))
        for path in (self.lower, self.upper, self.place, self.layer):
            path.mkdir()
        for name in ("etc/conf", "etc/keep", "usr/lib/x", "usr/lib/y", "data/one", "data/two"):
            path = self.lower / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (1_000, 1_000))
        os.link(self.lower / "data/one", self.lower / "data/linked")
        (self.lower / "link").symlink_to("etc/conf")
        (self.upper / "etc").mkdir()
        (self.upper / "etc/conf").write_text("newer")
        self.tree = PlainTree(self.lowers, str(self.place))
        self.tree.fill()

    @property
    def lowers(self) -> tuple[str, ...]:
        return str(self.lower), str(self.upper)

    def changed(self, *exempt: str) -> list[str]:
        """Paths of the layer, directories that only lead to others included; whiteouts with a minus, opaque with a star."""
        self.tree.changes_into(str(self.layer), exempt)
        return [("-" if e.is_whiteout else "*" if e.is_opaque else "") + e.path for e in scan(str(self.layer))]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def facts(entry: Entry) -> Entry:
    # Of a hard link the count, and of all the inode, are the copy's own.
    return replace(entry, identity=(0, 0), nlink=0)


def listing(layers: tuple[str, ...]) -> list[tuple[Entry, bytes | None]]:
    with UnionTree(layers) as tree:
        return [
            (facts(e), tree.read(e.path) if e.kind == "file" else None) for e in tree.walk("") if e.kind != "socket"
        ]


def test_the_copy_is_the_tree(copy: Copy) -> None:
    assert listing((str(copy.place),)) == listing(copy.lowers)
    assert (copy.place / "data/one").stat().st_ino == (copy.place / "data/linked").stat().st_ino
    assert (copy.place / "data/one").stat().st_ino != (copy.lower / "data/one").stat().st_ino
    assert copy.changed() == []


def test_a_change_that_keeps_size_and_time_is_seen(copy: Copy) -> None:
    path = copy.place / "usr/lib/x"
    path.write_text("usr/lib/X")
    os.utime(path, (1_000, 1_000))
    assert copy.changed() == ["usr", "usr/lib", "usr/lib/x"]


def test_a_change_of_mode_to_itself_counts_as_on_an_overlay(copy: Copy) -> None:
    (copy.place / "etc/keep").chmod((copy.place / "etc/keep").stat().st_mode)
    assert copy.changed() == ["etc", "etc/keep"]


def test_a_directory_in_the_place_of_another_hides_all_of_it(copy: Copy) -> None:
    other = copy.place / "other"
    other.mkdir()
    (other / "one").write_text("DATA/ONE")
    os.utime(other / "one", (1_000, 1_000))
    times = (copy.place / "data").stat()
    shutil.rmtree(copy.place / "data")
    other.rename(copy.place / "data")
    os.utime(copy.place / "data", ns=(times.st_mtime_ns, times.st_mtime_ns))
    assert copy.changed() == ["*data", "data/one"]
    assert listing((*copy.lowers, str(copy.layer))) == listing((str(copy.place),))


def test_a_directory_made_anew_is_opaque_even_with_the_old_ones_inode(copy: Copy) -> None:
    shutil.rmtree(copy.place / "usr/lib")
    (copy.place / "usr/lib").mkdir()
    assert copy.changed() == ["usr", "*usr/lib"]


def test_a_file_that_became_a_directory_and_the_reverse(copy: Copy) -> None:
    (copy.place / "etc/keep").unlink()
    (copy.place / "etc/keep").mkdir()
    shutil.rmtree(copy.place / "data")
    (copy.place / "data").write_text("file")
    assert copy.changed() == ["data", "etc", "*etc/keep"]
    assert listing((*copy.lowers, str(copy.layer))) == listing((str(copy.place),))


def test_a_socket_is_in_no_layer_and_hides_what_it_replaced(copy: Copy) -> None:
    (copy.place / "etc/keep").unlink()
    for name in ("etc/keep", "etc/new"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{copy.place}/{name}")
    assert copy.changed() == ["etc", "-etc/keep"]


def test_mount_points_that_came_and_went_are_no_change(copy: Copy) -> None:
    before = (copy.place / "etc").stat()
    (copy.place / "etc/stub").touch()
    (copy.place / "etc/stub").unlink()
    os.utime(copy.place / "etc", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert copy.changed("etc") == []


def test_names_of_one_inode_in_several_layers_are_several_files(tmp_path: Path) -> None:
    made = Copy(tmp_path)
    os.link(made.lower / "usr/lib/x", made.upper / "x-too")
    place = tmp_path / "again"
    place.mkdir()
    PlainTree(made.lowers, str(place)).fill()
    assert (place / "x-too").stat().st_ino != (place / "usr/lib/x").stat().st_ino


@pytest.mark.parametrize("seed", range(12))
def test_stack_and_changes_give_the_changed_tree(seed: int, tmp_path: Path) -> None:
    made, chance = Copy(tmp_path), random.Random(seed)
    for number in range(chance.randrange(1, 12)):
        paths = sorted(path for path in made.place.rglob("*"))
        path = chance.choice(paths)
        new = chance.choice([p for p in paths if p.is_dir() and not p.is_symlink()] or [made.place]) / f"n{number}"
        match chance.randrange(7):
            case 0 if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            case 0:
                path.unlink()
            case 1:
                path.chmod(0o750, follow_symlinks=True) if path.exists() else path.unlink()
            case 2:
                new.write_text(str(number))
            case 3:
                new.mkdir()
            case 4 if path not in new.parents:
                path.rename(new)
            case 5 if path.is_file():
                path.write_text("changed")
            case 6 if path.is_file() and not path.is_symlink():
                os.link(path, new)
            case _:
                new.symlink_to("usr")
    made.changed()
    assert listing((*made.lowers, str(made.layer))) == listing((str(made.place),))
