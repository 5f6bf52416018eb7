"""Laws of trees and layers: what is packed unpacks to the same, differences applied give the other tree."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.errors import FormatError, StoreError
from slimstage.tree.blocks import pack_layer
from slimstage.tree.compress import Compression
from slimstage.tree.diff import diff, whiteout_path
from slimstage.tree.entry import Entry
from slimstage.tree.pack import member_header, pack
from slimstage.tree.partial import RESERVED_NAMES
from slimstage.tree.partread import check_contents, read_contents
from slimstage.tree.scan import scan
from slimstage.tree.union import UnionTree
from slimstage.tree.unpack import unpack_layer
from slimstage.tree.untar import TarReader
from slimstage.tree.writer import TreeWriter
from support.trees import Dir, Fifo, File, Node, Symlink, Tree, as_shipped, make_tree, read_tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="sets owners and makes whiteouts")

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "a-", "A", "é"]),
    st.binary(min_size=1, max_size=12)
    .filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b".."))
    .filter(lambda raw: not raw.startswith(b".wh."))
    .map(os.fsdecode),
    st.integers(90, 255).map(lambda size: "n" * size),
)
TIMES = st.integers(-(2**31), 2**33 + 100)
IDS = st.one_of(st.integers(0, 2000), st.sampled_from([0o7777777, 0o10000000, 2**31, 2**32 - 2]))
MODES = st.integers(0, 0o7777)
XATTRS = st.dictionaries(st.sampled_from(["user.a", "user.b.c"]), st.binary(max_size=20), max_size=2)
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(File, st.binary(max_size=1200), MODES, IDS, IDS, TIMES, XATTRS),
    st.builds(Symlink, NAMES.map(lambda name: f"../{name}"), TIMES, IDS, IDS),
    st.builds(Fifo, MODES, TIMES),
)


def flatten(nested: dict[str, object], prefix: str = "") -> dict[str, Node]:
    flat: dict[str, Node] = {}
    for name, node in nested.items():
        if isinstance(node, tuple):
            directory, inside = node
            flat[prefix + name] = directory
            flat.update(flatten(inside, f"{prefix}{name}/"))
        else:
            flat[prefix + name] = node  # type: ignore[assignment]
    return flat


def directories(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.tuples(st.builds(Dir, MODES, IDS, IDS, TIMES, XATTRS), st.dictionaries(NAMES, children, max_size=4))


TREES: st.SearchStrategy[Tree] = st.dictionaries(
    NAMES, st.recursive(LEAVES, directories, max_leaves=8), max_size=5
).map(flatten)


def packed(layer: str) -> bytes:
    sink = io.BytesIO()
    pack(layer, sink.write)
    return sink.getvalue()


@pytest.mark.root
@root_only
@settings(max_examples=120, deadline=None)
@given(tree=TREES)
def test_what_is_packed_unpacks_to_the_same_and_packs_to_the_same_bytes(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layer = make_tree(f"{folder}/in", tree)
        out = Path(folder, "out")
        out.mkdir()
        tar = packed(layer)
        unpack_layer(io.BytesIO(tar), str(out), ())
        assert read_tree(out) == as_shipped(read_tree(layer))
        assert packed(str(out)) == tar


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
@pytest.mark.root
@root_only
def test_the_standard_library_reads_what_was_packed(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layer = make_tree(f"{folder}/in", tree)
        entries = {entry.path: entry for entry in scan(layer)}
        with tarfile.open(fileobj=io.BytesIO(packed(layer)), encoding="utf-8") as archive:
            found = {info.name: info for info in archive}
        assert list(found) == list(entries)
        for path, entry in entries.items():
            info = found[path]
            assert (info.mode, info.uid, info.gid, info.size, int(info.mtime), info.linkname) == (
                entry.mode,
                entry.uid,
                entry.gid,
                entry.size,
                entry.mtime_ns // 10**9,
                entry.target,
            )


@settings(max_examples=120, deadline=None)
@given(before=TREES, after=TREES)
@pytest.mark.root
@root_only
def test_a_difference_applied_to_the_first_tree_gives_the_second(before: Tree, after: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        old = make_tree(f"{folder}/old", before)
        new = make_tree(f"{folder}/new", after)
        # A difference in content alone, at one size and time, is not seen: keep such pairs equal.
        changes = list(diff(scan(old), scan(new), same=lambda a, b: _same(old, new, a, b)))
        os.mkdir(f"{folder}/layer")
        with TreeWriter(f"{folder}/layer") as writer:
            for change in changes:
                if change.kind == "deleted":
                    writer.whiteout(change.entry.path)
                else:
                    _write(writer, new, change.entry)
            writer.finish()
        with UnionTree([old, f"{folder}/layer"]) as union:
            seen = [_value(entry) for entry in union.walk("")]
        assert seen == [_value(entry) for entry in scan(new)]
        # And the same by way of a tar, whose deletions are named files.
        tar = packed(f"{folder}/layer")
        names = {os.fsencode(member.path) for member in TarReader(io.BytesIO(tar))}
        assert {os.fsencode(whiteout_path(c.entry.path)) for c in changes if c.kind == "deleted"} <= names
        os.mkdir(f"{folder}/again")
        unpack_layer(io.BytesIO(gzip.compress(tar)), f"{folder}/again", [old])
        with UnionTree([old, f"{folder}/again"]) as union:
            assert [entry.path for entry in union.walk("")] == [entry.path for entry in scan(new)]


def _same(old: str, new: str, before: Entry, after: Entry) -> bool:
    if _value(before) != _value(after):
        return False
    if before.kind != "file":
        return True
    return Path(old, before.path).read_bytes() == Path(new, after.path).read_bytes()


def _write(writer: TreeWriter, root: str, entry: Entry) -> None:
    if entry.kind != "file":
        writer.add(entry)
        return
    writer.file(entry, [Path(root, entry.path).read_bytes()])


def _value(entry: Entry) -> tuple[object, ...]:
    return (
        entry.path,
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        entry.mtime_ns,
        entry.target,
        dict(entry.xattrs),
    )


@settings(max_examples=25, deadline=None)
@given(tree=TREES, sizes=st.lists(st.integers(0, 2_500_000), max_size=3), level=st.sampled_from([None, 1, 6]))
@pytest.mark.root
@root_only
def test_bytes_depend_on_the_tree_alone(tree: Tree, sizes: list[int], level: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        layer = make_tree(f"{folder}/in", tree)
        for number, size in enumerate(sizes):
            Path(layer, f"big{number}").write_bytes((b"%d" % number + os.urandom(1000)) * (size // 1001))
        for compression in ("gzip", "zstd"):
            one, four = io.BytesIO(), io.BytesIO()
            first = pack_layer(layer, compression=compression, level=level, out=one, threads=1)
            second = pack_layer(layer, compression=compression, level=level, out=four, threads=4)
            assert (one.getvalue(), first) == (four.getvalue(), second)


@settings(max_examples=400, deadline=None)
@given(
    name=st.binary(min_size=1, max_size=300).filter(lambda raw: b"\0" not in raw),
    link=st.binary(min_size=1, max_size=300).filter(lambda raw: b"\0" not in raw),
    uid=st.integers(0, 2**32 - 1),
    mtime=st.integers(-(2**40), 2**40),
    xattr=st.binary(max_size=300),
)
def test_a_header_reads_back_as_it_was_written(name: bytes, link: bytes, uid: int, mtime: int, xattr: bytes) -> None:
    tar = member_header(name, b"2", 0o4711, uid, uid, 0, mtime, link, xattrs=[("user.x", xattr)]) + bytes(1024)
    info = tarfile.open(fileobj=io.BytesIO(tar)).next()
    assert info is not None
    assert (info.uid, info.gid, info.mtime, info.mode) == (uid, uid, mtime, 0o4711)
    assert os.fsencode(info.linkname) == link
    try:
        member = TarReader(io.BytesIO(tar)).next()
    except FormatError:
        assert b".." in name.split(b"/") or any(len(part) > 255 for part in name.split(b"/"))
        return
    assert member is not None
    assert (member.uid, member.mtime_ns, os.fsencode(member.target)) == (uid, mtime * 10**9, link)
    assert dict(member.xattrs) == {"user.x": xattr}


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=2000), at=st.integers(0, 4000), cut=st.integers(0, 6000))
def test_no_bytes_make_the_reader_fail_otherwise_than_with_its_error(data: bytes, at: int, cut: int) -> None:
    tar = bytearray(
        member_header(b"n" * 150, b"0", 0o644, 2**31, 0, 1000, -1, xattrs=[("user.x", b"v")])
        + bytes(1024)
        + member_header(b"l", b"1", 0, 0, 0, 0, 0, b"n")
        + bytes(1024)
    )
    tar[at : at + len(data)] = data
    for stream in (bytes(tar[:cut]), data):
        reader = TarReader(io.BytesIO(stream))
        try:
            for member in reader:
                assert ".." not in member.path.split("/")
                assert not member.path.startswith("/")
                for piece in reader.chunks():
                    if member.size > 1 << 20:
                        break
                    assert len(piece) <= 1 << 20
        except FormatError:
            pass


class _Blob:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def at(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


@pytest.mark.root
@root_only
@pytest.mark.parametrize("form", ["estargz", "zstd:chunked"])
@settings(max_examples=25, deadline=None)
@given(tree=TREES)
def test_what_is_packed_to_be_read_in_parts_holds_the_same_tar_and_every_piece_reads_back(
    tree: Tree, form: Compression
) -> None:
    with tempfile.TemporaryDirectory() as place:
        layer = make_tree(Path(place) / "layer", tree)
        sink = io.BytesIO()
        if any(not _is_text(path) for path in tree) or any(
            isinstance(node, Symlink) and not _is_text(node.target) for node in tree.values()
        ):
            with pytest.raises(StoreError, match="no UTF-8"):
                pack_layer(layer, compression=form, out=sink)
            return
        made = pack_layer(layer, compression=form, out=sink)
        contents = read_contents(_Blob(sink.getvalue()), made.blob_size, made.annotations)
        assert list(check_contents(_Blob(sink.getvalue()), contents)) == []
        members = [os.fsdecode(member.name) for member in tarfile.open(fileobj=io.BytesIO(packed(layer)))]
        assert [file.name.rstrip("/") for file in contents.files if file.name not in RESERVED_NAMES] == members
        if form == "estargz":
            tar = gzip.decompress(sink.getvalue())
            # Behind the landmark and before the table there is the tar that every other form holds, but for its end.
            assert tar[1024:].startswith(packed(layer)[:-1024])
        else:
            assert made.diff_id == pack_layer(layer, compression="uncompressed").diff_id


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
