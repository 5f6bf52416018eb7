"""tree/chunked.py, partial.py, toc.py, split.py, partread.py: layers that are read in parts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.errors import DigestMismatch, FormatError, StoreError, UsageError
from slimstage.tree import crc64 as crc
from slimstage.tree import partial
from slimstage.tree.blocks import PackedLayer, compress_tar, pack_layer
from slimstage.tree.compress import Compression, zstd_module
from slimstage.tree.pack import pack
from slimstage.tree.partread import Contents, check_contents, read_chunk, read_contents
from support.trees import Hardlink, Symlink, Tree, listing, make_tar, make_tree, member, names_of

FORMS: tuple[Compression, ...] = ("estargz", "zstd:chunked")
LARGE = bytes(range(256)) * (5 << 12) + b"end"
"""Of two pieces: 5 MiB and 3 bytes."""
TREE: Tree = {
    "a/one": "1",
    "a/two": "2" * 70_000,
    "b/empty": b"",
    "b/link": Hardlink("a/one"),
    "b/pointer": Symlink("../a/two"),
    "large": LARGE,
    "é": "accent",
    "n" * 200: "long",
}


class Held:
    """A blob in memory that counts what is asked of it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.most = data, 0

    def at(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert count >= 0
        self.most = max(self.most, count)
        return self.data[offset : offset + count]


def made(layer: str | Path, form: Compression, **options: Any) -> tuple[bytes, PackedLayer]:
    sink = io.BytesIO()
    result = pack_layer(str(layer), compression=form, out=sink, **options)
    data = sink.getvalue()
    assert result.blob_size == len(data)
    assert result.blob_digest == "sha256:" + hashlib.sha256(data).hexdigest()
    return data, result


def plain(form: str, data: bytes) -> bytes:
    if form == "estargz":
        return gzip.decompress(data)
    done: bytes = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    return done


def contents(data: bytes, result: PackedLayer) -> Contents:
    return read_contents(Held(data), len(data), result.annotations)


@pytest.fixture
def tree(tmp_path: Path) -> str:
    return make_tree(tmp_path / "tree", TREE)


# Writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_blob_unpacks_to_what_its_diff_id_says(tree: str, form: Compression) -> None:
    data, result = made(tree, form)
    tar = plain(form, data)
    assert result.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert result.size_bytes == len(tar)


def test_zstd_chunked_holds_the_very_tar_of_every_other_form(tree: str) -> None:
    sink = io.BytesIO()
    pack(tree, sink.write)
    data, result = made(tree, "zstd:chunked")
    assert plain("zstd:chunked", data) == sink.getvalue()
    assert result.diff_id == pack_layer(tree, compression="uncompressed").diff_id


def test_estargz_adds_its_landmark_first_and_its_table_last(tree: str) -> None:
    sink = io.BytesIO()
    pack(tree, sink.write)
    data, _ = made(tree, "estargz")
    found = listing(plain("estargz", data))
    assert names_of(found) == [partial.NO_PREFETCH_LANDMARK, *names_of(listing(sink.getvalue())), partial.TOC_NAME]
    assert found[0].size == 1
    assert plain("estargz", data)[512:513] == b"\x0f"


def test_an_empty_layer_has_a_table_all_the_same(tmp_path: Path) -> None:
    for form in FORMS:
        data, result = made(tmp_path, form)
        names = [file.name for file in contents(data, result).files]
        assert names == ([partial.NO_PREFETCH_LANDMARK] if form == "estargz" else [])


@pytest.mark.parametrize("form", FORMS)
def test_bytes_do_not_depend_on_threads(tree: str, form: Compression) -> None:
    assert made(tree, form, threads=1) == made(tree, form, threads=5)


@pytest.mark.parametrize("form", FORMS)
def test_a_tar_that_is_there_gives_the_same_blob(tree: str, form: Compression) -> None:
    sink, out = io.BytesIO(), io.BytesIO()
    pack(tree, sink.write)
    result = compress_tar(io.BytesIO(sink.getvalue()), compression=form, out=out)
    data, packed = made(tree, form)
    assert out.getvalue() == data
    assert (result.diff_id, result.annotations) == (packed.diff_id, packed.annotations)


def test_estargz_begins_a_gzip_member_at_each_content_and_ends_with_its_footer(tree: str) -> None:
    data, result = made(tree, "estargz")
    found = contents(data, result)
    for file in found.files:
        for chunk in file.chunks:
            assert data[chunk.offset : chunk.offset + 3] == b"\x1f\x8b\x08"
    assert len(data) - partial.ESTARGZ_FOOTER_BYTES > found.offset
    footer = data[-51:]
    assert footer == partial.estargz_footer(found.offset)
    assert gzip.decompress(footer) == b""
    assert footer[16:38] == b"%016xSTARGZ" % found.offset
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data[found.offset :]))) as tar:
        (only,) = tar.getmembers()
        stream = tar.extractfile(only)
        assert stream is not None
        assert "sha256:" + hashlib.sha256(stream.read()).hexdigest() == result.annotations[partial.TOC_DIGEST]
    assert result.annotations[partial.UNCOMPRESSED_SIZE] == str(result.size_bytes)


def frames(data: bytes, start: int) -> list[bytes]:
    """The skippable frames from there to the end."""
    found = []
    while start < len(data):
        assert data[start : start + 4] == partial.SKIPPABLE
        (count,) = struct.unpack("<I", data[start + 4 : start + 8])
        found.append(data[start + 8 : start + 8 + count])
        start += 8 + count
    return found


def test_zstd_chunked_ends_with_table_tar_split_and_the_footers_of_both_dialects(tree: str) -> None:
    data, result = made(tree, "zstd:chunked")
    table, split, footer, old = frames(data, contents(data, result).offset)
    known = result.annotations
    offset, packed, size, kind = map(int, known[partial.MANIFEST_POSITION].split(":"))
    split_at, split_packed, split_size = map(int, known[partial.TAR_SPLIT_POSITION].split(":"))
    assert data[offset : offset + packed] == table
    assert data[split_at : split_at + split_packed] == split
    words = struct.unpack("<7Q", footer[:56])
    assert words == (offset, packed, size, kind, split_at, split_packed, split_size)
    assert (footer[56:], len(footer)) == (b"GNUlInUx", 64)
    assert struct.unpack("<4Q", old[:32]) == words[:4]
    assert (old[32:], len(old)) == (b"GnUlInUx", 40)
    assert known[partial.OLD_MANIFEST_POSITION] == known[partial.MANIFEST_POSITION]
    assert known[partial.MANIFEST_CHECKSUM] == "sha256:" + hashlib.sha256(table).hexdigest()
    assert known[partial.OLD_MANIFEST_CHECKSUM] == known[partial.MANIFEST_CHECKSUM]
    document = json.loads(zstd_module().decompress(table))
    assert document["tarSplitDigest"] == "sha256:" + hashlib.sha256(split).hexdigest()
    assert len(zstd_module().decompress(split)) == split_size


def assembled(split: bytes, tree: Path) -> bytes:
    """The tar that tar-split data and the files below a directory give, checksums compared."""
    parts = []
    for position, line in enumerate(zstd_module().decompress(split).splitlines()):
        entry = json.loads(line)
        assert entry["position"] == position
        if entry["type"] == 2:
            parts.append(base64.b64decode(entry["payload"]))
        elif entry.get("size"):
            data = (tree / entry["name"]).read_bytes()
            assert len(data) == entry["size"]
            assert crc.folded(data) == int.from_bytes(base64.b64decode(entry["payload"]), "big")
            parts.append(data)
        else:
            assert entry["payload"] is None
    return b"".join(parts)


def test_tar_split_puts_the_tar_together_again(tree: str) -> None:
    data, result = made(tree, "zstd:chunked")
    split = frames(data, contents(data, result).offset)[1]
    assert assembled(split, Path(tree)) == plain("zstd:chunked", data)
    # Each header, with what is before it, is in one segment of its own.
    lines = [json.loads(line) for line in zstd_module().decompress(split).splitlines()]
    assert [line["type"] for line in lines] == [2, 1] * (len(lines) // 2) + [2]


@pytest.mark.parametrize("form", FORMS)
def test_the_table_says_all_of_a_member(tmp_path: Path, form: Compression) -> None:
    xattr = {"SCHILY.xattr.security.capability": "\x01\x02"}
    tar = make_tar(
        member("./d/", type=tarfile.DIRTYPE, mode=0o1755, uid=7, gid=8, mtime=5),
        member("./d/f", b"data", mode=0o640, mtime=1.5, pax_headers=xattr, uid=1 << 22),
        member("./null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("./s", type=tarfile.SYMTYPE, linkname="d/f"),
        member("./h", type=tarfile.LNKTYPE, linkname="./d/f"),
        member("./p", type=tarfile.FIFOTYPE),
    )
    out = io.BytesIO()
    result = compress_tar(io.BytesIO(tar), compression=form, out=out)
    files = {file.name: file.fields for file in contents(out.getvalue(), result).files}
    assert files["./d/"] == {
        "name": "./d/", "type": "dir", "modtime": "1970-01-01T00:00:05Z", "mode": 0o1755, "uid": 7, "gid": 8,
    }  # fmt: skip
    file = files["./d/f"]
    assert (file["size"], file["modtime"], file["uid"], file["mode"]) == (4, "1970-01-01T00:00:01.5Z", 1 << 22, 0o640)
    assert file["xattrs"] == {"security.capability": base64.b64encode(b"\x01\x02").decode()}
    assert file["digest"] == file["chunkDigest"] == "sha256:" + hashlib.sha256(b"data").hexdigest()
    assert (files["./null"]["devMajor"], files["./null"]["devMinor"]) == (1, 3)
    assert (files["./s"]["type"], files["./s"]["linkName"]) == ("symlink", "d/f")
    assert (files["./h"]["type"], files["./h"]["linkName"]) == ("hardlink", "./d/f")
    assert files["./p"]["type"] == "fifo"


@pytest.mark.parametrize("form", FORMS)
def test_a_large_file_is_in_pieces_of_4_mib(tree: str, form: Compression) -> None:
    data, result = made(tree, form)
    found = contents(data, result)
    (large,) = (file for file in found.files if file.name == "large")
    assert [(chunk.at, chunk.size) for chunk in large.chunks] == [(0, 4 << 20), (4 << 20, len(LARGE) - (4 << 20))]
    assert large.digest == "sha256:" + hashlib.sha256(LARGE).hexdigest()
    assert b"".join(read_chunk(Held(data), form, chunk) for chunk in large.chunks) == LARGE  # type: ignore[arg-type]


def test_files_of_an_earlier_conversion_are_left_out(tmp_path: Path) -> None:
    once = io.BytesIO()
    first = compress_tar(io.BytesIO(make_tar(member("f", b"x"))), compression="estargz", out=once)
    twice = io.BytesIO()
    second = compress_tar(io.BytesIO(gzip.decompress(once.getvalue())), compression="estargz", out=twice)
    assert twice.getvalue() == once.getvalue()
    assert second.diff_id == first.diff_id


@pytest.mark.parametrize("form", FORMS)
def test_a_name_that_json_cannot_hold_is_refused_and_said(tmp_path: Path, form: Compression) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    with pytest.raises(StoreError, match="no UTF-8") as caught:
        pack_layer(str(tmp_path), compression=form)
    assert caught.value.code == "name-not-utf-8"


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_tar_or_cut_off_is_refused(form: Compression) -> None:
    tar = make_tar(member("f", b"x" * 2000))
    for data in (tar[:700], tar[:300], b"no tar at all" * 50):
        with pytest.raises(FormatError):
            compress_tar(io.BytesIO(data), compression=form)


@pytest.mark.parametrize("form", FORMS)
def test_a_sparse_file_is_refused(form: Compression) -> None:
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    with pytest.raises(FormatError, match="sparse"):
        compress_tar(io.BytesIO(make_tar(member("f", b"x" * 512, pax_headers=sparse))), compression=form)


def test_a_level_that_the_format_lacks_is_refused(tmp_path: Path) -> None:
    for form, level in (("estargz", 10), ("zstd:chunked", 23)):
        with pytest.raises(UsageError, match="level"):
            pack_layer(str(tmp_path), compression=form, level=level)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_any_level_of_estargz_reads_back(tree: str, level: int) -> None:
    data, result = made(tree, "estargz", level=level)
    assert list(check_contents(Held(data), contents(data, result))) == []


class _Full(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("form", FORMS)
def test_a_failing_output_ends_the_pack_with_its_error(tree: str, form: Compression) -> None:
    with pytest.raises(OSError, match="No space left"):
        pack_layer(tree, compression=form, out=_Full())  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_memory_does_not_grow_with_a_file(tmp_path: Path, form: Compression) -> None:
    with open(tmp_path / "zeros", "wb") as file:
        file.truncate(200 << 20)
    script = (
        "import re, sys\n"
        "from slimstage.tree.blocks import pack_layer\n"
        "pack_layer(sys.argv[1], compression=sys.argv[2], threads=2)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), form]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 150 << 10


# Checksums ---------------------------------------------------------------------------------------------------


def test_the_checksum_is_the_one_of_its_catalogue() -> None:
    assert crc.crc64(b"123456789") == 0xB90956C775A41001
    assert crc.crc64(b"") == 0


@given(data=st.binary(max_size=3000), at=st.integers(0, 3000))
def test_a_checksum_can_be_computed_in_pieces_and_without_a_library(data: bytes, at: int) -> None:
    register = (1 << 64) - 1
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xD800000000000000 if register & 1 else 0)
    want = register ^ ((1 << 64) - 1)
    assert crc.crc64(data[at:], crc.crc64(data[:at])) == want
    assert crc.folded(data[at:], crc.folded(data[:at])) == want


# Reading what may lie ----------------------------------------------------------------------------------------


Change = Callable[[list[dict[str, Any]]], object]


def lying(change: Change, form: str = "estargz") -> tuple[bytes, Mapping[str, str]]:
    """A blob whose table was changed, its own digests put right."""
    document: dict[str, Any]
    tar = make_tar(member("d/", type=tarfile.DIRTYPE), member("d/f", b"data"), member("g", b"more" * 9))
    out = io.BytesIO()
    result = compress_tar(io.BytesIO(tar), compression=form, out=out)  # type: ignore[arg-type]
    data = out.getvalue()
    found = contents(data, result)
    if form == "estargz":
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data[found.offset :]))) as archive:
            stream = archive.extractfile(partial.TOC_NAME)
            assert stream is not None
            document = json.load(stream)
        change(document["entries"])
        table = make_tar(member(partial.TOC_NAME, json.dumps(document).encode()))
        return data[: found.offset] + gzip.compress(table) + partial.estargz_footer(found.offset), {}
    document = json.loads(zstd_module().decompress(frames(data, found.offset)[0]))
    change(document["entries"])
    text = json.dumps(document).encode()
    packed = zstd_module().compress(text)
    blob = data[: found.offset] + partial.SKIPPABLE + struct.pack("<I", len(packed)) + packed
    position = f"{found.offset + 8}:{len(packed)}:{len(text)}:1"
    checksum = "sha256:" + hashlib.sha256(packed).hexdigest()
    return blob, {partial.MANIFEST_POSITION: position, partial.MANIFEST_CHECKSUM: checksum}


def named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if entry["name"] == name)


LIES: dict[str, Change] = {
    "an offset behind the end": lambda e: named(e, "g").update(offset=1 << 40),
    "a negative offset": lambda e: named(e, "g").update(offset=-5),
    "an offset before the last": lambda e: named(e, "g").update(offset=3),
    "an offset of two": lambda e: named(e, "g").update(offset=named(e, "d/f")["offset"]),
    "an offset that is text": lambda e: named(e, "g").update(offset="12"),
    "an offset that is true": lambda e: named(e, "g").update(offset=True),
    "a huge size": lambda e: named(e, "g").update(size=1 << 61),
    "a size beyond any": lambda e: named(e, "g").update(size=1 << 80),
    "a huge piece": lambda e: named(e, "g").update(size=1 << 40, chunkSize=1 << 40),
    "a piece larger than its file": lambda e: named(e, "g").update(chunkSize=99),
    "a piece smaller than its file": lambda e: named(e, "g").update(chunkSize=3),
    "a piece that begins in the middle": lambda e: named(e, "g").update(chunkOffset=3),
    "a piece without a file": lambda e: e.insert(0, {"name": "x", "type": "chunk", "offset": 1, "chunkSize": 1}),
    "a piece of another file": lambda e: e.append({**named(e, "d/f"), "type": "chunk"}),
    "no digest": lambda e: [named(e, "g").pop(key) for key in ("digest", "chunkDigest")],
    "a digest that is none": lambda e: named(e, "g").update(chunkDigest="sha256:xyz"),
    "a type that is none": lambda e: named(e, "g").update(type="gremlin"),
    "a type that is a list": lambda e: named(e, "g").update(type=[]),
    "a name that is none": lambda e: named(e, "g").update(name=7),
    "an entry that is none": lambda e: e.append(3),  # type: ignore[arg-type]
    "a piece shared with others": lambda e: named(e, "g").update(innerOffset=512),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_cannot_be_true_is_refused(lie: str, form: str) -> None:
    data, annotations = lying(LIES[lie], form)
    with pytest.raises(FormatError):
        read_contents(Held(data), len(data), annotations)


def test_an_end_behind_the_next_content_is_refused() -> None:
    data, annotations = lying(lambda e: named(e, "d/f").update(endOffset=1 << 30), "zstd:chunked")
    with pytest.raises(FormatError, match="ends behind"):
        read_contents(Held(data), len(data), annotations)


@pytest.mark.parametrize("form", FORMS)
def test_pieces_that_are_not_what_the_table_says_are_found(form: str) -> None:
    wrong = "sha256:" + "0" * 64
    data, annotations = lying(lambda e: named(e, "g").update(chunkDigest=wrong), form)
    found = read_contents(Held(data), len(data), annotations)
    assert [fault for fault in check_contents(Held(data), found) if '"g"' in fault]
    (file,) = (file for file in found.files if file.name == "g")
    with pytest.raises(DigestMismatch):
        read_chunk(Held(data), found.form, file.chunks[0])


@pytest.mark.parametrize("form", FORMS)
def test_a_piece_that_unpacks_to_less_or_more_than_announced_costs_no_more_than_that(form: str) -> None:
    data, annotations = lying(lambda e: named(e, "g").update(size=60 << 20), form)
    found = read_contents(Held(data), len(data), annotations)
    (file,) = (file for file in found.files if file.name == "g")
    with pytest.raises((FormatError, DigestMismatch)):
        read_chunk(Held(data), found.form, file.chunks[0])


def test_a_footer_that_points_elsewhere_is_refused() -> None:
    data, _ = lying(lambda e: None)
    for offset in (0, len(data), 1 << 62, 5):
        blob = data[:-51] + partial.estargz_footer(offset)
        with pytest.raises(FormatError):
            read_contents(Held(blob), len(blob), {})
    for blob in (b"", data[:-1], data[-51:], bytes(100)):
        with pytest.raises(FormatError):
            read_contents(Held(blob), len(blob), {})


@pytest.mark.parametrize(
    "position",
    ["", "1:2:3", "a:b:c:d", "-1:5:5:1", "0:5:5:1", "8:99999999999:5:1", "8:5:99999999999:1", "8:5:5:2", "9:5:5:1"],
)
def test_a_position_that_points_elsewhere_is_refused(position: str) -> None:
    data, annotations = lying(lambda e: None, "zstd:chunked")
    blob = Held(data)
    with pytest.raises(FormatError):
        read_contents(blob, len(data), {**annotations, partial.MANIFEST_POSITION: position})
    assert blob.most < 1 << 20


def test_a_table_other_than_the_annotations_name_is_refused() -> None:
    other = "sha256:" + "1" * 64
    data, _ = lying(lambda e: None)
    with pytest.raises(DigestMismatch):
        read_contents(Held(data), len(data), {partial.TOC_DIGEST: other})
    data, annotations = lying(lambda e: None, "zstd:chunked")
    with pytest.raises(DigestMismatch):
        read_contents(Held(data), len(data), {**annotations, partial.MANIFEST_CHECKSUM: other})


def test_a_table_that_unpacks_to_more_than_announced_is_refused() -> None:
    data, annotations = lying(lambda e: None, "zstd:chunked")
    offset, packed, size, _ = annotations[partial.MANIFEST_POSITION].split(":")
    shorter = f"{offset}:{packed}:{int(size) - 1}:1"
    with pytest.raises(FormatError, match="announced"):
        read_contents(Held(data), len(data), {**annotations, partial.MANIFEST_POSITION: shorter})


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_refused_as_a_table(data: bytes, is_estargz: bool) -> None:
    blob = data + (partial.estargz_footer(len(data) // 2) if is_estargz else b"")
    annotations = (
        {} if is_estargz else {partial.MANIFEST_POSITION: f"8:{len(data)}:50:1", partial.MANIFEST_CHECKSUM: "x"}
    )
    with pytest.raises((FormatError, DigestMismatch)):
        read_contents(Held(blob), len(blob), annotations)
