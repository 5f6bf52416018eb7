"""Cache directories as they travel: packs, index, and what comes back."""

from __future__ import annotations

import json
import os
import stat
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cache.mount_export import PackedMount, pack_mount
from slimstage.cache.mount_import import fill_mount
from slimstage.cache.mounts import Part, packs_of, read_index
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.blobs import Blobs
from slimstage.store.store import Store

_MIB = 1 << 20


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    store = Store.open(tmp_path / "store")
    return store.blobs


def fill(tmp_path: Path, name: str, packed: PackedMount, blobs: Blobs) -> Path:
    place = tmp_path / name
    place.mkdir()

    def fetch(pack: Descriptor) -> bytes:
        return blobs.read(pack.digest)

    assert fill_mount(str(place), blobs.read(packed.index.digest), packed.packs, fetch) == packed.file_bytes
    return place


def seen(root: Path) -> dict[str, tuple[object, ...]]:
    """All that travels of each path."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = (path.read_bytes(), status.st_nlink)
        mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(root))] = (mode, status.st_uid, status.st_gid, status.st_mtime_ns, content)
    return found


def test_what_a_directory_holds_comes_back_with_owners_modes_times_and_links(tmp_path: Path, blobs: Blobs) -> None:
    place = tmp_path / "from"
    (place / "a/b").mkdir(parents=True)
    (place / "a/b/file").write_bytes(b"x" * 5000)
    (place / "a/empty").write_bytes(b"")
    (place / "a/.wh.kept").write_bytes(b"a name like any other")
    (place / os.fsdecode(b"bytes\xff")).write_bytes(b"no text")
    (place / "to").symlink_to("a/b/../nowhere")
    os.link(place / "a/b/file", place / "again")
    (place / "large").write_bytes(os.urandom(9 * _MIB + 1))
    os.mkfifo(place / "fifo")
    os.chmod(place / "a/empty", 0o4711)
    os.chmod(place / "a/b", 0o2770)
    if os.geteuid() == 0:
        os.chown(place / "a/b/file", 12, 34)
    for number, path in enumerate([place / "a/b/file", place / "a/b", place / "a"]):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number))
    packed = pack_mount(str(place), blobs, 2)
    assert len(packed.packs) == 3
    os.unlink(place / "fifo")
    assert seen(fill(tmp_path, "to", packed, blobs)) == seen(place)


def test_the_same_directory_gives_the_same_blobs_and_a_deleted_file_is_gone(tmp_path: Path, blobs: Blobs) -> None:
    place = tmp_path / "from"
    place.mkdir()
    for number in range(3):
        (place / f"f{number}").write_bytes(b"%d" % number)
    first = pack_mount(str(place), blobs, 2)
    assert pack_mount(str(place), blobs, 1) == first
    (place / "f1").unlink()
    later = pack_mount(str(place), blobs, 2)
    assert set(seen(fill(tmp_path, "to", later, blobs))) == {"f0", "f2"}


def test_times_move_the_index_and_no_pack(tmp_path: Path, blobs: Blobs) -> None:
    place = tmp_path / "from"
    place.mkdir()
    (place / "f").write_bytes(b"content")
    first = pack_mount(str(place), blobs, 1)
    os.utime(place / "f", (1, 1))
    later = pack_mount(str(place), blobs, 1)
    assert later.packs == first.packs
    assert later.index != first.index


FILES = st.dictionaries(st.integers(0, 10_000), st.integers(0, 3 * _MIB), min_size=1, max_size=60)


def named(files: dict[int, int]) -> list[tuple[str, int]]:
    return sorted((f"d/{number:05d}", size) for number, size in files.items())


@given(FILES)
def test_packs_hold_every_byte_once(files: dict[int, int]) -> None:
    held: dict[str, list[Part]] = {}
    for pack in packs_of(named(files)):
        assert sum(part.length for part in pack) <= 9 * _MIB
        for part in pack:
            held.setdefault(part.path, []).append(part)
    for path, size in named(files):
        at = 0
        for part in held.pop(path, []):
            assert (part.offset, part.length > 0) == (at, True)
            at += part.length
        assert at == size
    assert held == {}


def test_a_file_that_comes_or_goes_changes_few_packs() -> None:
    files = {number: 20_000 + 7 * number for number in range(3000)}
    before = set(packs_of(named(files)))
    changed = []
    for number in range(0, 3000, 100):
        size = files.pop(number)
        changed.append(len(set(packs_of(named(files))) - before))
        files[number] = size
    assert len(before) > 25
    assert max(changed) <= 2


def test_a_large_directory_has_larger_packs_rather_than_more() -> None:
    sizes = dict.fromkeys(range(500), 40 << 20) | dict.fromkeys(range(500, 3000), 30000)
    assert len(packs_of(named(sizes))) < 1200


def _given(blobs: dict[str, bytes], pack: Descriptor) -> bytes:
    return blobs[pack.digest]


ENTRY = ["f", "a", 420, 0, 0, 1, 3, [[0, 0, 3]]]


@pytest.mark.parametrize(
    "rows",
    [
        [["f", "../a", 420, 0, 0, 1, 0, []]],
        [["f", "/a", 420, 0, 0, 1, 0, []]],
        [["f", "a/b", 420, 0, 0, 1, 0, []]],
        [["f", "a\0", 420, 0, 0, 1, 0, []]],
        [["f", "", 420, 0, 0, 1, 0, []]],
        [["f", ".", 420, 0, 0, 1, 0, []]],
        [["f", "\ud800", 420, 0, 0, 1, 0, []]],
        [["l", "a", "/etc", 0, 0, 1], ["f", "a/passwd", 420, 0, 0, 1, 0, []]],
        [["h", "b", "/etc/passwd"]],
        [["f", "a", 420, 0, 0, 1, 4, [[0, 0, 3]]]],
        [["f", "a", 420, 0, 0, 1, 3, [[1, 0, 3]]]],
        [["f", "a", 420, 0, 0, 1, 3, [[0, -1, 3]]]],
        [["f", "a", 420, 1 << 32, 0, 1, 0, []]],
        [["f", "a", 420, 0, 0, 1 << 70, 0, []]],
        [["x", "a"]],
        [["d"]],
        [7],
        {},
    ],
)
def test_an_index_that_leads_elsewhere_or_makes_no_sense_is_refused(rows: object) -> None:
    with pytest.raises(FormatError):
        read_index(json.dumps({"version": 1, "entries": rows}).encode(), 1)


def test_an_index_of_another_version_is_refused() -> None:
    with pytest.raises(FormatError, match="another version"):
        read_index(json.dumps({"version": 2, "entries": [ENTRY]}).encode(), 1)


def test_a_pack_that_is_not_what_the_index_says_is_refused(tmp_path: Path, blobs: Blobs) -> None:
    place = tmp_path / "from"
    place.mkdir()
    (place / "f").write_bytes(b"content")
    packed = pack_mount(str(place), blobs, 1)
    (place / "f").write_bytes(b"longer than before")
    other = pack_mount(str(place), blobs, 1)
    index = blobs.read(packed.index.digest)
    for number, data in enumerate((blobs.read(other.packs[0].digest), b"junk", b"")):
        (tmp_path / f"to{number}").mkdir()
        given = {str(packed.packs[0].digest): data}
        with pytest.raises(FormatError):
            fill_mount(str(tmp_path / f"to{number}"), index, packed.packs, partial(_given, given))
