"""tree/unpack.py: layers onto layers, and what a hostile layer may not do (the layer-unpack area of the security list)."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest

from slimstage.digest import Digest, VerifyingReader
from slimstage.errors import DigestMismatch, FormatError, SlimstageError, StoreError
from slimstage.tree.pack import pack
from slimstage.tree.paths import remove_tree
from slimstage.tree.union import UnionTree
from slimstage.tree.unpack import UnpackResult, unpack_layer
from support.trees import Dir, File, Hardlink, Symlink, Tree, as_shipped, make_tar, make_tree, member, read_tree

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="sets owners and makes whiteouts"),
]

DIR, SYM, LNK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


class Image:
    """Layers one upon the other, each unpacked from a tar."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers: list[str] = []

    def base(self, tree: Tree) -> Image:
        self.layers.append(make_tree(self.folder / f"layer{len(self.layers)}", tree))
        return self

    def unpack(self, tar: bytes, **options: bool) -> UnpackResult:
        draft = self.folder / f"layer{len(self.layers)}"
        draft.mkdir(0o755)
        result = unpack_layer(io.BytesIO(tar), str(draft), self.layers, **options)  # type: ignore[arg-type]
        self.layers.append(str(draft))
        return result

    @property
    def top(self) -> Path:
        return Path(self.layers[-1])

    def paths(self) -> list[str]:
        with UnionTree(self.layers) as tree:
            return [entry.path for entry in tree.walk("")]

    def read(self, path: str) -> bytes | None:
        with UnionTree(self.layers) as tree:
            return tree.read(path)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def refused(image: Image, *members: tuple[tarfile.TarInfo, bytes], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        image.unpack(make_tar(*members))


# --- what a layer is


def test_a_layer_is_unpacked_as_it_says(image: Image) -> None:
    tar = make_tar(
        member("d", type=DIR, mode=0o1750, uid=5, gid=6, mtime=100),
        member("d/f", b"hello", mode=0o4755, uid=7, gid=8, mtime=200, pax_headers={"SCHILY.xattr.user.k": "v"}),
        member("d/l", type=SYM, linkname="f", uid=9, mtime=300),
        member("d/h", type=LNK, linkname="./d/f"),
    )
    result = image.unpack(tar)
    assert result.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert (result.size_bytes, result.file_bytes, result.notes) == (len(tar), 5, ())
    assert read_tree(image.top) == {
        "d": ("dir", 0o1750, (5, 6, 100), {}),
        "d/f": ("file", b"hello", 0o4755, (7, 8, 200), {"user.k": b"v"}),
        "d/h": ("file", b"hello", 0o4755, (7, 8, 200), {"user.k": b"v"}),
        "d/l": ("symlink", "f", (9, 0, 300)),
        "links": [("d/f", "d/h")],
    }


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_layer_is_unpacked_whatever_compresses_it(image: Image, squeeze: object) -> None:
    tar = make_tar(member("f", b"x" * 3_000_000))
    assert callable(squeeze)
    result = image.unpack(squeeze(tar))
    assert result.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()
    assert (image.top / "f").read_bytes() == b"x" * 3_000_000


def test_missing_parents_take_their_metadata_from_the_layers_below(image: Image) -> None:
    image.base({"srv": Dir(mode=0o2770, uid=33, gid=34, mtime_s=77, xattrs={"user.a": b"b"})})
    image.unpack(make_tar(member("srv/new/f", b"")))
    found = read_tree(image.top)
    assert found["srv"] == ("dir", 0o2770, (33, 34, 77), {"user.a": b"b"})
    new = found["srv/new"]
    assert isinstance(new, tuple)
    assert (new[1], new[2][:2]) == (0o755, (0, 0))


def test_the_root_directory_takes_its_metadata_from_the_layer(image: Image) -> None:
    image.unpack(make_tar(member("./", type=DIR, mode=0o711, uid=3, mtime=50)))
    status = image.top.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, int(status.st_mtime)) == (0o711, 3, 50)


def test_parents_that_are_symlinks_are_followed_inside_the_image(image: Image) -> None:
    image.base({"usr/lib/old": b"", "lib": Symlink("usr/lib"), "abs": Symlink("/usr")})
    image.unpack(make_tar(member("lib/new", b"1"), member("abs/x", b"2")))
    assert image.paths() == ["abs", "lib", "usr", "usr/lib", "usr/lib/new", "usr/lib/old", "usr/x"]


def test_a_symlink_of_the_same_layer_is_followed_as_well(image: Image) -> None:
    image.unpack(make_tar(member("l", type=SYM, linkname="/deep/er"), member("l/f", b"1"), member("l/../g", b"2")))
    assert sorted(read_tree(image.top)) == ["deep", "deep/er", "deep/er/f", "g", "l", "links"]


def test_a_later_member_replaces_an_earlier_one_of_any_kind(image: Image) -> None:
    image.unpack(
        make_tar(
            member("a/b/c", b"1"),
            member("a", b"file"),
            member("f", b"1"),
            member("f", type=DIR, mode=0o700),
            member("d", type=DIR, mode=0o700),
            member("d/in", b""),
            member("d", type=DIR, mode=0o711),
        )
    )
    found = read_tree(image.top)
    assert sorted(found) == ["a", "d", "d/in", "f", "links"]
    assert (image.top / "a").read_bytes() == b"file"
    assert stat.S_IMODE((image.top / "d").stat().st_mode) == 0o711


def test_a_directory_over_a_lower_symlink_is_a_directory(image: Image) -> None:
    image.base({"l": Symlink("/d"), "d/x": b""})
    image.unpack(make_tar(member("l", type=DIR, mode=0o755)))
    assert image.paths() == ["d", "d/x", "l"]


def test_a_hard_link_to_a_lower_file_brings_the_file_up(image: Image) -> None:
    image.base({"bin/tool": File(b"elf", mode=0o755, uid=4)})
    result = image.unpack(make_tar(member("usr/tool", type=LNK, linkname="/bin/tool")))
    assert result.file_bytes == 0
    assert (image.top / "usr/tool").stat().st_ino == (image.top / "bin/tool").stat().st_ino
    assert image.read("usr/tool") == b"elf"


def test_a_hard_link_to_nothing_to_a_directory_or_to_a_deleted_file_is_refused(image: Image) -> None:
    image.base({"f": b"", "d/g": b"", "o/f": b""})
    for number, (members, what) in enumerate(
        [
            ([member("l", type=LNK, linkname="none")], "none"),
            ([member("l", type=LNK, linkname="d")], "d"),
            ([member(".wh.f"), member("l", type=LNK, linkname="f")], "f"),
            ([member("o/.wh..wh..opq"), member("l", type=LNK, linkname="o/f")], "o/f"),
            ([member("e", type=DIR), member("l", type=LNK, linkname="e")], "l"),
        ]
    ):
        (image.folder / str(number)).mkdir()
        with pytest.raises(FormatError, match=what):
            unpack_layer(io.BytesIO(make_tar(*members)), str(image.folder / str(number)), image.layers)


def test_a_file_that_is_a_parent_is_refused(image: Image) -> None:
    image.base({"lower": b""})
    refused(image, member("f", b""), member("f/x", b""), match="not a directory")
    image.folder.joinpath("layer1").rename(image.folder / "old")
    refused(image, member("lower/x", b""), match="not a directory")


def test_whiteouts_and_opaque_directories_hide_the_layers_below(image: Image) -> None:
    image.base({"a/x": b"", "a/y": b"", "b/x": b"", "c": b""})
    image.unpack(make_tar(member("a/.wh.x"), member("b/.wh..wh..opq"), member("b/new", b""), member(".wh.c")))
    assert image.paths() == ["a", "a/y", "b", "b/new"]


def test_a_name_of_full_length_can_be_deleted(image: Image) -> None:
    image.base({"n" * 255: b"", "f": b""})
    image.unpack(make_tar(member(".wh." + "n" * 255)))
    assert image.paths() == ["f"]
    refused(image, member(".wh." + "n" * 256), match="too long")


def test_a_directory_deleted_and_made_again_shows_nothing_of_below(image: Image) -> None:
    for number, order in enumerate(permutations([member(".wh.d"), member("d", type=DIR), member("d/new", b"")])):
        one = Image(image.folder / str(number)).base({"d/old": b""})
        one.unpack(make_tar(*order))
        assert one.paths() == ["d", "d/new"]


def test_odd_values_survive(image: Image) -> None:
    odd = os.fsdecode(b"\xff\n\x1b[2J")
    tar = make_tar(
        member(odd, b"1", uid=2**32 - 2, gid=2**31, mtime=-100),
        member("n" * 255, b"2", mtime=2**33),
        member("d/" * 1900 + "f", b"3"),
    )
    image.unpack(tar)
    status = os.lstat(image.top / odd)
    assert (status.st_uid, status.st_gid, int(status.st_mtime)) == (2**32 - 2, 2**31, -100)
    assert int(os.lstat(image.top / ("n" * 255)).st_mtime) == 2**33
    assert image.paths()[-3:] == ["d/" * 1900 + "f", "n" * 255, odd]
    fd = os.open(image.top, os.O_RDONLY)
    remove_tree(fd, "d")  # too deep for others
    os.close(fd)


def test_what_was_packed_unpacks_to_the_same(image: Image) -> None:
    image.base({"gone": b"", "o/in": b""})
    layer = make_tree(
        image.folder / "made",
        {
            "d": Dir(mode=0o700, uid=1, gid=2, mtime_s=3),
            "d/f": File(b"x" * 2000, mode=0o640, uid=4, xattrs={"user.a": b"\xff\0"}),
            "e/g": Hardlink("d/f"),
            "l": Symlink("nowhere", uid=8),
        },
    )
    sink = io.BytesIO()
    pack(layer, sink.write)
    image.unpack(sink.getvalue())
    assert read_tree(image.top) == as_shipped(read_tree(layer))


def test_a_full_disk_is_the_stores_error(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slimstage.tree.untar.write_all", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        image.unpack(make_tar(member("f", b"1")))
    assert caught.value.hint is not None


def test_descriptors_are_closed_after_success_and_failure(image: Image) -> None:
    before = len(os.listdir("/proc/self/fd"))
    image.unpack(make_tar(*(member(f"d{n}/e/f", b"") for n in range(200))))
    with pytest.raises(FormatError):
        image.unpack(make_tar(member("a/b/c", b""), member("../x", b"")))
    assert len(os.listdir("/proc/self/fd")) == before


# --- the security list, area layer-unpack; each test is named as its case


def test_unpack_absolute_name(image: Image) -> None:
    image.unpack(make_tar(member("/etc/x", b"1"), member("//etc/y", b"2"), member("/./etc//z", b"3")))
    assert image.paths() == ["etc", "etc/x", "etc/y", "etc/z"]
    image = Image(image.folder / "nul")
    image.folder.mkdir()
    refused(image, member("etc/n", b"", pax_headers={"path": "etc/n\0ul"}), match="NUL")
    refused_names = ["../x", "a/../../x", "/..", "a/../.."]
    for number, name in enumerate(refused_names):
        other = Image(image.folder / str(number))
        other.folder.mkdir()
        refused(other, member(name, b""), match="leads outside")


def test_unpack_hardlink_to_symlink(image: Image, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.write_bytes(b"host")
    os.chmod(host, 0o600)
    before = os.lstat(host)
    image.unpack(
        make_tar(
            member("s", type=SYM, linkname=str(host)),
            member("h", type=LNK, linkname="s", mode=0o777, mtime=0, uid=99),
        )
    )
    assert os.readlink(image.top / "h") == str(host)
    assert (image.top / "h").lstat().st_ino == (image.top / "s").lstat().st_ino
    after = os.lstat(host)
    assert (after.st_mode, after.st_uid, after.st_mtime_ns, after.st_nlink) == (
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
        1,
    )


def test_unpack_hardlink_fallback(image: Image, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    image.unpack(
        make_tar(
            member("t", b"mine"),
            member("t", type=SYM, linkname=str(tmp_path / "secret")),
            member("h", type=LNK, linkname="t"),
        )
    )
    assert stat.S_ISLNK((image.top / "h").lstat().st_mode)
    # And where links cannot be made, the copy is of the layer's own file, by descriptor.
    other = Image(tmp_path / "other").base({"low": Symlink(str(tmp_path / "secret"))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slimstage.tree.writer.TreeWriter.adopt", lambda *_: False)
        other.unpack(make_tar(member("h", type=LNK, linkname="low")))
    assert os.readlink(other.top / "h") == str(tmp_path / "secret")
    assert other.read("h") is None


def test_unpack_long_symlink_chain(image: Image) -> None:
    name = "d" * 250
    members = []
    path = ""
    for letter in "abcdefghijklmnop":
        members.append(member(path + name, type=DIR, mode=0o755))
        members.append(member(path + letter, type=SYM, linkname=name))
        path += letter + "/"
    members += [
        member(path + "l" * 250, type=SYM, linkname="../" * 16),
        member("escape", type=SYM, linkname=path + "l" * 250 + "/../../../etc"),
        member("escape/passwd", b"overwritten"),
    ]
    image.unpack(make_tar(*members))  # sixteen links: below the bound, and clamped at the image's root
    assert image.read("etc/passwd") == b"overwritten"
    assert b"overwritten" not in Path("/etc/passwd").read_bytes()
    loop = Image(image.folder / "loop")
    loop.folder.mkdir()
    refused(
        loop,
        *(member(f"l{n}", type=SYM, linkname=f"l{n + 1}/x") for n in range(50)),
        member("l0/f", b""),
        match="too many symlinks",
    )


def test_unpack_empty_link_name(image: Image) -> None:
    for number, odd in enumerate(
        [
            member("s", type=SYM, linkname=""),
            member("", type=SYM, linkname="x"),
            member("", b""),
            member("h", type=LNK, linkname=""),
        ]
    ):
        other = Image(image.folder / str(number))
        other.folder.mkdir()
        refused(other, member("a", b""), odd, match="empty|no valid target")


def test_unpack_metadata_follow(image: Image, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.write_bytes(b"host")
    os.chmod(host, 0o640)
    before = os.stat(host)
    image.unpack(
        make_tar(
            member(
                "l",
                type=SYM,
                linkname=str(host),
                mode=0o4777,
                uid=77,
                gid=77,
                mtime=1,
                pax_headers={"SCHILY.xattr.user.x": "1", "SCHILY.xattr.security.capability": "x"},
            )
        )
    )
    after = os.stat(host)
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_mtime_ns) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
        before.st_mtime_ns,
    )
    assert os.listxattr(host) == []
    assert (image.top / "l").lstat().st_uid == 77


@pytest.mark.parametrize("name", [".wh..", ".wh...", "a/.wh..", "a/.wh...", ".wh.x/y"])
def test_unpack_whiteout_dotdot(image: Image, name: str) -> None:
    image.base({"a/f": b"", "x/y": b""})
    refused(image, member(name), match="whiteout")
    assert image.paths() == ["a", "a/f", "x", "x/y"]


@pytest.mark.parametrize("name", [".wh.", "a/.wh."])
def test_unpack_whiteout_bare(image: Image, name: str) -> None:
    refused(image, member(name), match="no whiteout of a name")


def test_unpack_whiteout_through_symlink(image: Image, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "hostname").write_bytes(b"h")
    image.base({"d": Symlink(str(host)), str(host)[1:] + "/hostname": b"inner"})
    image.unpack(make_tar(member("d/.wh.hostname")))
    assert (host / "hostname").read_bytes() == b"h"
    assert image.read(str(host) + "/hostname") is None


def test_unpack_whiteout_same_layer(image: Image) -> None:
    kinds = [member("a", type=DIR), member("a/x", b"new"), member("a/.wh.x"), member("a/.wh..wh..opq")]
    for number, order in enumerate(permutations(kinds)):
        one = Image(image.folder / str(number)).base({"a/x": b"old", "a/y": b"old"})
        one.unpack(make_tar(*order))
        assert one.paths() == ["a", "a/x"], [info.name for info, _ in order]
        assert one.read("a/x") == b"new"


def test_unpack_aufs_metadata(image: Image) -> None:
    image.base({"keep": b"", "a/keep": b""})
    result = image.unpack(
        make_tar(
            member(".wh..wh.plnk", type=DIR),
            member(".wh..wh.plnk/123.456", b"stored"),
            member(".wh..wh.aufs"),
            member("a/.wh..wh.orph", type=DIR),
            member("ok", b"1"),
        )
    )
    assert image.paths() == ["a", "a/keep", "keep", "ok"]
    assert result.notes == ("4 entries of aufs' own were left out",)
    refused(image, member("f", type=LNK, linkname=".wh..wh.plnk/123.456"), match="is no file")


def test_unpack_overlay_xattr(image: Image) -> None:
    image.base({"d/lower": b""})
    names = ["trusted.overlay.redirect", "trusted.overlay.metacopy", "trusted.overlay.opaque", "user.overlay.opaque"]
    headers = {f"SCHILY.xattr.{name}": "y" for name in names}
    result = image.unpack(make_tar(member("d", type=DIR, pax_headers=headers), member("f", b"x", pax_headers=headers)))
    assert os.listxattr(image.top / "d") == [] == os.listxattr(image.top / "f")
    assert image.paths() == ["d", "d/lower", "f"]
    assert len(result.notes) == 4
    # Nor are they written, when the kernel has set them on a layer of ours.
    os.setxattr(image.top / "d", "trusted.overlay.origin", b"x")
    sink = io.BytesIO()
    pack(str(image.top), sink.write)
    assert b"overlay" not in sink.getvalue()


def test_unpack_security_xattr(image: Image) -> None:
    v2 = b"\x01\x00\x00\x02" + bytes(range(16))
    v3 = b"\x01\x00\x00\x03" + bytes(range(16)) + b"\x10\x27\x00\x00"

    def raw(value: bytes) -> str:
        return value.decode("utf-8", "surrogateescape")

    result = image.unpack(
        make_tar(
            member("two", b"x", pax_headers={"SCHILY.xattr.security.capability": raw(v2)}),
            member("three", b"x", pax_headers={"SCHILY.xattr.security.capability": raw(v3)}),
            member(
                "f",
                b"x",
                pax_headers={
                    "SCHILY.xattr.user.foo": "kept",
                    "SCHILY.xattr.security.selinux": "1",
                    "SCHILY.xattr.security.ima": "1",
                    "SCHILY.xattr.trusted.foo": "1",
                    "SCHILY.xattr.system.weird": "1",
                },
            ),
        )
    )
    assert os.getxattr(image.top / "two", "security.capability") == v2
    assert os.getxattr(image.top / "three", "security.capability") == v2
    assert os.listxattr(image.top / "f") == ["user.foo"]
    dropped = ["security.ima", "security.selinux", "system.weird", "trusted.foo"]
    assert result.notes == tuple(f"the xattr {name} was left out" for name in dropped)


def test_unpack_setuid_store(image: Image) -> None:
    """The bit is kept; that no other user reaches it is the store's: its directories are 0700 (tests of store/)."""
    image.unpack(make_tar(member("sh", b"#!", mode=0o4755)))
    assert stat.S_IMODE((image.top / "sh").stat().st_mode) == 0o4755
    # While it is being written, nobody else can open it, so a half-made one is never of use.
    from slimstage.tree.writer import TreeWriter

    with TreeWriter(str(image.top)) as writer:
        fd = writer.create("half")
        assert stat.S_IMODE(os.fstat(fd).st_mode) & 0o7077 == 0
        os.close(fd)


def test_unpack_device_node(image: Image) -> None:
    members = [
        member("sda", type=tarfile.BLKTYPE, mode=0o666, devmajor=8, devminor=0),
        member("mem", type=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=1),
        member("white", type=tarfile.CHRTYPE, mode=0o666, devmajor=0, devminor=0),
        member("f", b""),
    ]
    image.base({"white": b"stays"})
    result = image.unpack(make_tar(*members))
    assert image.paths() == ["f", "white"]
    assert result.notes == ("3 device nodes were left out",)
    image.unpack(make_tar(*members), keeps_devices=True)
    status = (image.top / "mem").lstat()
    assert (stat.S_ISCHR(status.st_mode), status.st_rdev, stat.S_IMODE(status.st_mode)) == (
        True,
        os.makedev(1, 1),
        0o666,
    )
    assert image.read("white") == b"stays"


def test_unpack_fifo_socket(image: Image) -> None:
    image.unpack(make_tar(member("requirements.txt", type=tarfile.FIFOTYPE, mode=0o640)))
    assert stat.S_ISFIFO((image.top / "requirements.txt").lstat().st_mode)
    assert image.read("requirements.txt") is None  # and does not wait for a writer
    sink = io.BytesIO()
    pack(str(image.top), sink.write)
    assert b"requirements.txt" in sink.getvalue()


def sparse_1_0(lines: Sequence[bytes], real_size: int, data: bytes = b"") -> bytes:
    text = b"".join(line + b"\n" for line in lines)
    body = text + bytes(-len(text) % 512) + data
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f"}
    headers["GNU.sparse.realsize"] = str(real_size)
    return make_tar(member("GNUSparseFile.0/f", body, pax_headers=headers))


def test_unpack_sparse_map(image: Image) -> None:
    image.unpack(sparse_1_0([b"2", b"0", b"3", b"1000", b"2"], 5000, b"abcde"))
    assert (image.top / "f").read_bytes() == b"abc" + bytes(997) + b"de" + bytes(3998)
    millions = [b"3000000", *([b"1", b"0"] * 1_500_000)]
    endless = [b"1" * 100_000]
    overlapping = [b"2", b"0", b"10", b"5", b"10"]
    past_the_end = [b"1", b"4999", b"10"]
    negative = [b"1", b"-5", b"10"]
    lying = [b"1", b"0", b"4000"]
    for number, lines in enumerate([millions, endless, overlapping, past_the_end, negative, lying]):
        tar = sparse_1_0(lines, 5000, b"x" * 20)
        other = Image(image.folder / f"bad{number}")
        other.folder.mkdir()
        tracemalloc.start()
        with pytest.raises(FormatError, match="sparse"):
            other.unpack(tar)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 24 << 20


def test_unpack_pax_bomb(image: Image) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 4 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(FormatError, match="too large"):
        image.unpack(head + bytes(10_240))
    make_way(image)
    one = tarfile.TarInfo("g")
    body = _record(b"comment", b"x")
    one.type, one.size = tarfile.XGLTYPE, len(body)
    with pytest.raises(FormatError, match="too many extension headers"):
        image.unpack((one.tobuf() + body.ljust(512, b"\0")) * 5000)
    make_way(image)
    growing = b""
    for number in range(40):
        body = _record(b"SCHILY.xattr.trusted.k%02d" % number, b"v" * 1000)
        one.size = len(body)
        growing += one.tobuf() + body + bytes(-len(body) % 512) + make_tar(member(f"m{number}"))[:512]
    with pytest.raises(FormatError, match="global PAX records are too large"):
        image.unpack(growing)


def _record(key: bytes, value: bytes) -> bytes:
    for digits in range(1, 9):
        size = digits + len(key) + len(value) + 3
        if len(str(size)) == digits:
            return b"%d %s=%s\n" % (size, key, value)
    raise AssertionError


def test_unpack_truncated_and_trailing(image: Image) -> None:
    tar = make_tar(member("f", os.urandom(200_000)))
    after = make_tar(member("hidden", b"x"))
    packed = gzip.compress(tar)
    for cut in (5, 1000, len(packed) - 9, len(packed) - 1):
        with pytest.raises(FormatError, match=r"too early|malformed"):
            image.unpack(packed[:cut])
        make_way(image)
    with pytest.raises(FormatError, match="middle of a member"):
        image.unpack(tar[:1500])
    make_way(image)
    with pytest.raises(FormatError, match="something follows"):
        image.unpack(packed + b"garbage!")
    make_way(image)
    damaged = bytearray(packed)
    damaged[-6] ^= 1
    with pytest.raises(FormatError, match="malformed"):
        image.unpack(bytes(damaged))
    make_way(image)
    two = packed + gzip.compress(after)
    result = image.unpack(two)
    assert result.diff_id == "sha256:" + hashlib.sha256(tar + after).hexdigest()
    assert result.size_bytes == len(tar) + len(after)
    assert image.paths() == ["f"]


def make_way(image: Image) -> None:
    folder = image.folder / f"layer{len(image.layers)}"
    folder.rename(image.folder / f"failed{len(list(image.folder.iterdir()))}")


def test_unpack_diffid_mismatch(image: Image) -> None:
    """The blob's digest is held here, when the caller wraps the stream; the diff ID is given for it to compare."""
    tar = make_tar(member("f", b"1"))
    blob = gzip.compress(tar)
    draft = image.folder / "draft"
    draft.mkdir()
    wrong = Digest("sha256:" + "0" * 64)
    with pytest.raises(DigestMismatch):
        unpack_layer(VerifyingReader(io.BytesIO(blob), wrong, len(blob)), str(draft), ())
    right = Digest("sha256:" + hashlib.sha256(blob).hexdigest())
    (image.folder / "again").mkdir()
    result = unpack_layer(
        VerifyingReader(io.BytesIO(blob), right, len(blob)),
        str(image.folder / "again"),
        (),
    )
    assert result.diff_id == "sha256:" + hashlib.sha256(tar).hexdigest()


def test_unpack_terminal_escape(image: Image) -> None:
    names = [b"\x1b[2J\x1b]0;x\x07", b"new\nline", b"cr\rx", "\u202eevil".encode(), b"\xff\xfe"]
    layer = make_tree(image.folder / "made", {os.fsdecode(name): b"" for name in names})
    sink = io.BytesIO()
    pack(layer, sink.write)
    image.unpack(sink.getvalue())
    assert sorted(os.listdir(os.fsencode(image.top))) == sorted(names)
    for odd in names:
        other = Image(image.folder / odd.hex())
        other.folder.mkdir()
        name = os.fsdecode(odd)
        with pytest.raises(SlimstageError) as caught:
            other.unpack(make_tar(member(name, b""), member(name + "/x", b"")))
        assert caught.value.message.isascii()
        assert caught.value.message.isprintable()
