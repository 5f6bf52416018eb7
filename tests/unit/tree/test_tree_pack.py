"""tree/pack.py and tree/blocks.py: the tar that a layer directory becomes."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from slimstage.errors import UsageError
from slimstage.tree.blocks import compress_tar, pack_layer
from slimstage.tree.pack import member_header, pack
from slimstage.tree.paths import remove_tree
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Whiteout, listing, make_tree, names_of

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts and owners")


def packed(path: str, **options: int) -> bytes:
    sink = io.BytesIO()
    result = pack(path, sink.write, clamp_s=options.get("clamp_s"))
    assert result.size_bytes == len(sink.getvalue())
    return sink.getvalue()


def test_an_empty_layer_is_the_well_known_kibibyte_of_zeros(tmp_path: Path) -> None:
    assert packed(str(tmp_path)) == bytes(1024)
    digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    assert pack_layer(str(tmp_path), compression="uncompressed").diff_id == digest


def test_members_are_sorted_by_bytes_with_each_directory_before_its_content(tmp_path: Path) -> None:
    make_tree(tmp_path, {"b/z": b"", "b/a/x": b"", "b.txt": b"", "é": b"", "Z": b"", "a": b""})
    names = names_of(listing(packed(str(tmp_path))))
    assert names == ["Z", "a", "b", "b/a", "b/a/x", "b/z", "b.txt", "é"]


def test_everything_of_an_entry_reaches_the_tar(tmp_path: Path) -> None:
    make_tree(
        tmp_path,
        {
            "d": Dir(mode=0o1777, mtime_s=5),
            "d/f": File(b"hello", mode=0o4755, mtime_s=1_234_567_890),
            "d/l": Symlink("../x", mtime_s=7),
            "d/p": Fifo(mode=0o600),
        },
    )
    found = {info.name: info for info in listing(packed(str(tmp_path)))}
    assert (found["d"].type, found["d"].mode, found["d"].mtime) == (tarfile.DIRTYPE, 0o1777, 5)
    assert (found["d/f"].mode, found["d/f"].size, found["d/f"].mtime) == (0o4755, 5, 1_234_567_890)
    assert (found["d/l"].linkname, found["d/l"].mtime) == ("../x", 7)
    assert found["d/p"].isfifo()
    assert {info.uname for info in found.values()} == {""} == {info.gname for info in found.values()}


def test_the_first_name_of_a_file_carries_its_data_and_others_link_to_it(tmp_path: Path) -> None:
    make_tree(tmp_path, {"z/first": b"data", "a/second": Hardlink("z/first"), "m": Hardlink("z/first")})
    found = {info.name: info for info in listing(packed(str(tmp_path)))}
    assert found["a/second"].isreg()
    assert (found["m"].type, found["m"].linkname) == (tarfile.LNKTYPE, "a/second")
    assert (found["z/first"].type, found["z/first"].linkname, found["z/first"].size) == (tarfile.LNKTYPE, "a/second", 0)


def test_symlinks_and_nodes_with_several_names_are_stored_once_too(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    make_tree(layer, {"a": Symlink("x"), "z": Hardlink("a")})
    os.mkfifo(layer / "f")
    os.link(layer / "f", layer / "g")
    found = {info.name: info for info in listing(packed(str(layer)))}
    assert (found["a"].type, found["a"].linkname) == (tarfile.SYMTYPE, "x")
    assert (found["z"].type, found["z"].linkname) == (tarfile.LNKTYPE, "a")
    assert (found["f"].type, found["g"].type, found["g"].linkname) == (tarfile.FIFOTYPE, tarfile.LNKTYPE, "f")


def test_a_file_linked_from_outside_the_layer_is_an_ordinary_file(tmp_path: Path) -> None:
    make_tree(tmp_path / "layer", {"a": b"1"})
    os.link(tmp_path / "layer" / "a", tmp_path / "outside")
    assert [info.type for info in listing(packed(str(tmp_path / "layer")))] == [tarfile.REGTYPE]


@root_only
@pytest.mark.root
def test_links_are_found_however_many_files_have_names_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after COPY --from: each file has a further name in another layer, and some have two in this one."""
    layer = make_tree(
        tmp_path / "layer",
        {f"d{number % 7}/{number:03}": f"{number}" for number in range(300)}
        | {f"e/{number:03}": Hardlink(f"d{number % 7}/{number:03}") for number in range(0, 300, 10)},
    )
    (tmp_path / "other").mkdir()
    for number in range(300):
        os.link(f"{layer}/d{number % 7}/{number:03}", tmp_path / "other" / str(number))
    expected = packed(layer)
    with tarfile.open(fileobj=io.BytesIO(expected)) as tar:
        assert sum(member.islnk() for member in tar) == 30
    for many in (0, 1, 150, 299):
        monkeypatch.setattr("slimstage.tree.pack._MANY_LINKS", many)
        assert packed(layer) == expected


def test_whiteouts_come_before_their_siblings_and_opaque_right_after_its_directory(tmp_path: Path) -> None:
    make_tree(tmp_path, {"d": Dir(is_opaque=True), "d/a": b"", "d/z": Whiteout(), "gone": Whiteout(), "b": b""})
    tar = packed(str(tmp_path))
    assert names_of(listing(tar)) == [".wh.gone", "b", "d", "d/.wh..wh..opq", "d/.wh.z", "d/a"]
    assert all(info.size == 0 and info.mtime == 0 for info in listing(tar) if ".wh." in info.name)


def test_what_a_layer_cannot_hold_is_skipped_and_said(tmp_path: Path) -> None:
    make_tree(tmp_path, {".wh.keep": b"would delete", "ok": b""})
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        result = pack(str(tmp_path), lambda data: None)
    assert result.skipped == (".wh.keep", "s")
    assert result.entries == 1


@root_only
@pytest.mark.root
def test_a_layer_holds_capabilities_and_no_other_xattr_as_buildkits_do(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    make_tree(
        tmp_path,
        {
            "f": File(b"x", xattrs={"user.note": b"\0bin\n", "security.capability": capability, "trusted.x": b"1"}),
            "d": Dir(xattrs={"user.d": b"1", "trusted.overlay.origin": b"o", "user.overlay.impure": b"y"}),
        },
    )
    tar = packed(str(tmp_path))
    assert b"SCHILY.xattr.security.capability=" + capability in tar
    assert tar.count(b"SCHILY.xattr") == 1
    assert b"trusted" not in tar
    assert b"overlay" not in tar


@pytest.mark.parametrize("seconds", [0, -1, -2_000_000_000, 2**31, 8_589_934_591, 8_589_934_592])
def test_any_time_survives_in_whole_seconds(seconds: int) -> None:
    tar = member_header(b"f", b"0", 0o644, 0, 0, 0, seconds) + bytes(1024)
    assert listing(tar)[0].mtime == seconds


def test_times_are_cut_towards_the_past_and_clamped_only_above_the_epoch(tmp_path: Path) -> None:
    make_tree(tmp_path, {"old": b"", "new": b"", "before": b""})
    os.utime(tmp_path / "old", ns=(0, 99_999_999_999))
    os.utime(tmp_path / "new", ns=(0, 2_000_000_000 * 10**9))
    os.utime(tmp_path / "before", ns=(0, -1))
    times = {info.name: info.mtime for info in listing(packed(str(tmp_path), clamp_s=1000))}
    assert times == {"old": 99, "new": 1000, "before": -1}


@pytest.mark.parametrize(
    "name",
    [
        b"a" * 100,
        b"a" * 101,
        b"p" * 155 + b"/" + b"n" * 100,
        b"p" * 156 + b"/" + b"n" * 100,
        b"p" * 100 + b"/",
        b"x" * 60 + b"/" + b"y" * 60 + b"/",
        b"d/" * 1900 + b"end",
        "snow☃".encode(),
        b"bad\xff\xfename",
        b"new\nline",
        b"esc\x1b[31m",
    ],
)
def test_any_name_reads_back_byte_for_byte(name: bytes) -> None:
    kind = b"5" if name.endswith(b"/") else b"0"
    link = member_header(b"l", b"2", 0o777, 0, 0, 0, 0, name)
    tar = member_header(name, kind, 0o755, 0, 0, 0, 0) + link + bytes(1024)
    first, second = listing(tar)
    assert os.fsencode(first.name) == name.rstrip(b"/")
    assert os.fsencode(second.linkname) == name


@pytest.mark.parametrize("value", [0o7777777, 0o10000000, 2**31, 2**32 - 2])
def test_any_owner_survives(value: int) -> None:
    info = listing(member_header(b"f", b"0", 0o644, value, value, 0, 0) + bytes(1024))[0]
    assert (info.uid, info.gid) == (value, value)


def test_a_size_of_8_gib_is_a_pax_record() -> None:
    tar = member_header(b"f", b"0", 0o644, 0, 0, 8 << 30, 0)
    assert b"19 size=8589934592\n" in tar
    assert len(tar) == 3 * 512


def test_plain_entries_have_no_pax_header(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a/b": b"x"})
    assert b"PaxHeader" not in packed(str(tmp_path))


@root_only
@pytest.mark.root
def test_gnu_tar_reads_what_was_packed(tmp_path: Path) -> None:
    make_tree(
        tmp_path / "layer",
        {
            "x" * 90 + "/" + "y" * 120: b"long",
            "d/f": File(b"1" * 5000, mode=0o6711, uid=3_000_000, gid=70_000),
            "d/g": Hardlink("d/f"),
            "old": File(mtime_s=-5),
            "late": File(mtime_s=2**33 + 5),
            "l": Symlink("t" * 150),
        },
    )
    (tmp_path / "t.tar").write_bytes(packed(str(tmp_path / "layer")))
    (tmp_path / "out").mkdir()
    command = ["tar", "--numeric-owner", "-xpf", str(tmp_path / "t.tar"), "-C", str(tmp_path / "out")]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "implausibly" in run.stderr or run.stderr == ""  # GNU tar remarks on dates far away
    out = tmp_path / "out"
    assert (out / "d/f").stat().st_ino == (out / "d/g").stat().st_ino
    status = (out / "d/f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o6711, 3_000_000, 70_000)
    assert (int((out / "old").stat().st_mtime), int((out / "late").stat().st_mtime)) == (-5, 2**33 + 5)
    assert os.readlink(out / "l") == "t" * 150
    assert (out / ("x" * 90) / ("y" * 120)).read_bytes() == b"long"


def big_tree(root: Path) -> str:
    """Some MiB of each kind that is compressed differently, with sizes that do not fall on block borders."""
    state = hashlib.sha256(b"seed")
    noise = b"".join(hashlib.sha256(state.digest() + bytes([n % 256, n // 256])).digest() for n in range(50_000))
    text = b"".join(b"def f%d(x): return x + %d\n" % (n, n * n) for n in range(90_000))
    weights = b"".join(bytes([n * 7 % 256, noise[n], noise[n + 1] & 0x1F, 0x3C]) for n in range(400_000))
    return make_tree(root, {"noise.bin": noise, "code.py": text, "w.bin": weights, "bulk": text * 6, "small": b"1"})


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path, compression: str) -> None:
    layer = big_tree(tmp_path / "layer")
    blobs = []
    for threads in (1, 4):
        out = io.BytesIO()
        result = pack_layer(layer, compression=compression, out=out, threads=threads)  # type: ignore[arg-type]
        assert result.blob_digest == "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
        assert result.blob_size == len(out.getvalue())
        blobs.append(out.getvalue())
    assert blobs[0] == blobs[1]
    dry = pack_layer(layer, compression=compression)  # type: ignore[arg-type]
    assert dry.blob_digest == "sha256:" + hashlib.sha256(blobs[0]).hexdigest()


@pytest.mark.parametrize(("compression", "program"), [("gzip", "gzip"), ("zstd", "zstd")])
@pytest.mark.parametrize("level", [None, 0, 1, 3, 9])
def test_other_programs_read_the_blob_as_the_same_tar(
    tmp_path: Path, compression: str, program: str, level: int | None
) -> None:
    layer = big_tree(tmp_path / "layer")
    path = tmp_path / "blob"
    with path.open("wb", buffering=0) as out:
        result = pack_layer(layer, compression=compression, level=level, out=out)  # type: ignore[arg-type]
    plain = subprocess.run([program, "-dc", str(path)], check=True, capture_output=True).stdout
    assert result.diff_id == "sha256:" + hashlib.sha256(plain).hexdigest()
    assert plain == packed(layer)
    again = pack_layer(layer, compression=compression, level=level)  # type: ignore[arg-type]
    assert (again.blob_digest, again.blob_size) == (result.blob_digest, path.stat().st_size)


def test_compressing_a_tar_that_is_there_gives_its_diff_id_and_reads_back(tmp_path: Path) -> None:
    tar = packed(big_tree(tmp_path / "layer"))
    out = io.BytesIO()
    result = compress_tar(io.BytesIO(tar), compression="gzip", out=out)
    assert (result.diff_id, result.size_bytes) == ("sha256:" + hashlib.sha256(tar).hexdigest(), len(tar))
    plain = subprocess.run(["gzip", "-dc"], input=out.getvalue(), check=True, capture_output=True).stdout
    assert plain == tar


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_impossible_level_is_refused(tmp_path: Path, compression: str) -> None:
    with pytest.raises(UsageError, match="no compression level 99"):
        pack_layer(str(tmp_path), compression=compression, level=99)  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_a_failing_output_ends_the_pack_with_its_error(tmp_path: Path, compression: str) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    layer = big_tree(tmp_path / "layer")
    with pytest.raises(OSError, match="No space left"):
        pack_layer(layer, compression=compression, out=Full())  # type: ignore[arg-type]


def test_progress_counts_to_the_size_of_the_tar(tmp_path: Path) -> None:
    layer = big_tree(tmp_path / "layer")
    seen: list[int] = []
    result = pack_layer(layer, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == result.size_bytes


def test_a_tree_deeper_than_open_descriptors_allow_is_packed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    names = names_of(listing(packed(str(tmp_path))))
    assert names[-1] == "/".join(["d"] * 1500)
    fd = os.open(tmp_path, os.O_RDONLY)
    remove_tree(fd, "d")  # nor is that bounded by depth
    os.close(fd)
    assert os.listdir(tmp_path) == []
