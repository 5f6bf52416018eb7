"""tree/writer.py, tree/copying.py and tree/paths.py: everything by descriptor, nothing through a symlink."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimstage.tree import copying, paths
from slimstage.tree.copying import copy_data
from slimstage.tree.entry import Entry
from slimstage.tree.paths import RootDir, open_beneath, open_in_root, open_real, remove_tree
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.tree.xattrs import opaque_name
from support.trees import Dir, File, Symlink, make_tree, read_tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="sets owners and makes nodes")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def entry(path: str, kind: str = "file", mode: int = 0o644, **fields: object) -> Entry:
    uid, gid = os.geteuid(), os.getegid()
    return Entry(path, kind, mode, uid, gid, mtime_ns=5 * 10**9 + 7, **fields)  # type: ignore[arg-type]


def test_a_file_is_written_whole_with_mode_and_time_whatever_the_umask(out: Path) -> None:
    before = os.umask(0o077)
    try:
        with TreeWriter(str(out)) as writer:
            assert writer.file(entry("a/b/f", mode=0o666), [b"one", memoryview(b"two")]) == 6
            writer.directory(entry("d", "dir", 0o1777))
            writer.finish()
    finally:
        os.umask(before)
    status = (out / "a/b/f").stat()
    assert ((out / "a/b/f").read_bytes(), stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (
        b"onetwo",
        0o666,
        5 * 10**9 + 7,
    )
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o755
    assert stat.S_IMODE((out / "d").stat().st_mode) == 0o1777
    assert (out / "d").stat().st_mtime_ns == 5 * 10**9 + 7


def test_directories_have_their_times_although_files_come_later(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.directory(entry("d/e", "dir", 0o755))
        writer.directory(entry("d", "dir", 0o755))
        writer.file(entry("d/e/f"), [b"x"])
        writer.finish()
    assert {(out / name).stat().st_mtime_ns for name in ("d", "d/e", "d/e/f")} == {5 * 10**9 + 7}


def test_missing_parents_are_asked_for_once_and_existing_ones_never(out: Path) -> None:
    asked: list[str] = []

    def inherit(path: str) -> Entry | None:
        asked.append(path)
        return entry(path, "dir", 0o711) if path == "a" else None

    (out / "there").mkdir()
    with TreeWriter(str(out), inherit=inherit) as writer:
        for name in ("a/b/f", "a/b/g", "there/f"):
            writer.file(entry(name), ())
    assert asked == ["a", "a/b"]
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o711


@pytest.mark.parametrize("kind", ["dir", "file", "symlink", "fifo"])
def test_what_is_there_is_replaced_by_any_kind(out: Path, kind: str) -> None:
    make_tree(out, {"d/in/deep": b"", "f": b"old", "l": Symlink("d")})
    with TreeWriter(str(out)) as writer:
        for name in ("d", "f", "l"):
            writer.add(entry(name, kind, target="t"))
    kinds = {"dir": stat.S_ISDIR, "file": stat.S_ISREG, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
    assert all(kinds[kind](os.lstat(out / name).st_mode) for name in ("d", "f", "l"))
    assert (out / "d/in/deep").exists() == (kind == "dir")  # a directory over one keeps what it holds


def test_a_symlink_as_a_parent_is_never_followed(out: Path, tmp_path: Path) -> None:
    make_tree(out, {"l": Symlink(str(tmp_path)), "f": b""})
    with TreeWriter(str(out)) as writer:
        for name in ("l/x", "f/x", "l/x/y"):
            with pytest.raises(NotADirectoryError):
                writer.file(entry(name), [b"escaped"])
            assert writer.lstat(name) is None
        with pytest.raises(IsADirectoryError):
            writer.file(entry(""), ())
    assert not (tmp_path / "x").exists()


def test_a_file_over_a_symlink_replaces_it_and_leaves_its_target(out: Path, tmp_path: Path) -> None:
    (tmp_path / "host").write_bytes(b"host")
    os.symlink(tmp_path / "host", out / "l")
    with TreeWriter(str(out)) as writer:
        writer.file(entry("l"), [b"new"])
    assert (tmp_path / "host").read_bytes() == b"host"
    assert not (out / "l").is_symlink()


def test_links_are_names_of_one_file_and_of_nothing_else(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.file(entry("f"), [b"x"])
        writer.link("d/g", "f")
        writer.link("f", "f")
        with pytest.raises(IsADirectoryError):
            writer.link("h", "d")
        with pytest.raises(FileNotFoundError):
            writer.link("h", "none")
    assert (out / "f").stat().st_nlink == 2
    assert (out / "d/g").stat().st_ino == (out / "f").stat().st_ino


def test_adopting_gives_a_frozen_file_one_more_name(out: Path, tmp_path: Path) -> None:
    layer = make_tree(tmp_path / "layer", {"d/f": b"frozen"})
    make_tree(out, {"x": b"old"})
    with UnionTree([layer]) as tree, TreeWriter(str(out)) as writer:
        assert writer.adopt("x", *tree.place("d/f"))
        assert writer.adopt("y/z", *tree.place("d/f"))
    assert (out / "x").stat().st_ino == (out / "y/z").stat().st_ino == (tmp_path / "layer/d/f").stat().st_ino


def test_adopting_says_no_where_links_cannot_be_made(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(out, {"f": b""})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "cross-device")

    monkeypatch.setattr(os, "link", refuse)
    with TreeWriter(str(out)) as writer:
        assert writer.adopt("g", writer.open_directory(""), "f") is False


@root_only
@pytest.mark.root
def test_whiteouts_keep_what_this_tree_has_itself(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.file(entry("f"), ())
        writer.directory(entry("d", "dir"))
        for name in ("f", "d", "gone"):
            writer.whiteout(name)
        writer.whiteout("gone")
        writer.file(entry("again"), ())
    found = read_tree(out)
    assert found["gone"] == "whiteout"
    assert os.getxattr(out / "d", opaque_name()) == b"y"
    assert (out / "f").is_file()


@root_only
@pytest.mark.root
def test_what_is_made_over_a_whiteout_shows_nothing_of_below(out: Path) -> None:
    with TreeWriter(str(out), inherit=lambda path: entry(path, "dir", 0o700)) as writer:
        for name in ("d", "p", "f"):
            writer.whiteout(name)
        writer.directory(entry("d", "dir"))
        writer.file(entry("p/in"), ())
        writer.file(entry("f"), ())
    assert os.getxattr(out / "d", opaque_name()) == os.getxattr(out / "p", opaque_name()) == b"y"
    assert stat.S_IMODE((out / "p").stat().st_mode) == 0o755  # not inherited from what is deleted
    assert (out / "f").is_file()


def test_refused_xattrs_are_named_and_nothing_else_is_lost(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.file(entry("f", xattrs={"user.ok": b"1", "bogus.name": b"2"}), [b"x"])
        writer.symlink(entry("l", "symlink", target="f", xattrs={"user.on-link": b"1"}))
        assert writer.dropped_xattrs == {"bogus.name", "user.on-link"}
    assert os.listxattr(out / "f") == ["user.ok"]


@root_only
@pytest.mark.root
def test_setuid_outlives_the_change_of_owner(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.file(Entry("f", "file", 0o6755, 12, 13), [b"x"])
        writer.symlink(Entry("l", "symlink", 0o777, 14, 15, target="/etc"))
    status, link = (out / "f").stat(), (out / "l").lstat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o6755, 12, 13)
    assert (link.st_uid, link.st_gid) == (14, 15)


@root_only
@pytest.mark.root
def test_without_owners_everything_belongs_to_this_user(out: Path) -> None:
    with TreeWriter(str(out), keeps_owner=False) as writer:
        writer.file(Entry("a/f", "file", 0o644, 12, 13), ())
    assert ((out / "a/f").stat().st_uid, (out / "a").stat().st_uid) == (0, 0)


def test_thousands_of_directories_are_written_with_few_descriptors(out: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    writer = TreeWriter(str(out))
    for number in range(3000):
        writer.file(entry(f"d{number % 1000}/e/f{number}"), ())
    assert len(os.listdir("/proc/self/fd")) - before < 80
    writer.finish()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(list(out.glob("*/e/*"))) == 3000


def test_removing_a_replaced_directory_forgets_it(out: Path) -> None:
    with TreeWriter(str(out)) as writer:
        writer.directory(entry("d/e", "dir"))
        writer.file(entry("d/e/f"), ())
        writer.remove("d")
        writer.remove("d")
        writer.file(entry("d/e/g"), ())
        writer.symlink(entry("d/e", "symlink", target="x"))
        writer.finish()
    assert sorted(read_tree(out)) == ["d", "d/e", "links"]


# --- copying


@pytest.fixture(params=["all", "no clone", "no range"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    monkeypatch.setattr(copying, "_no_clone", set() if request.param == "all" else {(device, device)})
    monkeypatch.setattr(copying, "_no_range", {(device, device)} if request.param == "no range" else set())


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("size", [0, 1, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, (3 << 20) + 17])
def test_every_byte_is_copied_by_every_way(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "from").write_bytes(data)
    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("wb") as target:
        assert copy_data(source.fileno(), target.fileno()) == size
    assert (tmp_path / "to").read_bytes() == data


@pytest.mark.usefixtures("ways")
def test_holes_stay_holes(tmp_path: Path) -> None:
    with (tmp_path / "from").open("wb") as file:
        file.truncate(20 << 20)
        file.seek(5 << 20)
        file.write(b"island")
        file.seek(0)
        file.write(b"head" * 50_000)
    with (tmp_path / "from").open("rb") as source, (tmp_path / "to").open("wb") as target:
        assert copy_data(source.fileno(), target.fileno()) == 20 << 20
    assert (tmp_path / "to").read_bytes() == (tmp_path / "from").read_bytes()
    assert (tmp_path / "to").stat().st_blocks * 512 < 1 << 20


# --- paths, by openat2 and by the walk that replaces it


@pytest.fixture(params=["openat2", "walk"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "walk":
        monkeypatch.setattr(paths, "_openat2", lambda: None)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "secret").write_bytes(b"secret")
    make_tree(
        tmp_path / "root",
        {
            "d/f": b"inside",
            "in": Symlink("d/f"),
            "abs": Symlink("/d/f"),
            "up": Symlink("../secret"),
            "d/back": Symlink("../d/f"),
            "loop": Symlink("loop"),
            "host": Symlink("/proc/self/root"),
        },
    )
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    yield fd
    os.close(fd)


Opener = Callable[[int, str, int], int]


def content(opener: Opener, root: int, path: str) -> bytes | int:
    """What is read, or the errno."""
    try:
        fd = opener(root, path, os.O_RDONLY)
    except OSError as error:
        return error.errno or -1
    with open(fd, "rb") as stream:
        return stream.read()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(
    ("path", "beneath", "in_root", "real"),
    [
        ("d/f", b"inside", b"inside", b"inside"),
        ("d/../d/./f", b"inside", b"inside", b"inside"),
        ("in", b"inside", b"inside", errno.ELOOP),
        ("d/back", b"inside", b"inside", errno.ELOOP),
        ("/d/f", errno.EXDEV, b"inside", errno.EXDEV),
        ("abs", errno.EXDEV, b"inside", errno.ELOOP),
        ("up", errno.EXDEV, errno.ENOENT, errno.ELOOP),
        ("../secret", errno.EXDEV, errno.ENOENT, errno.EXDEV),
        ("../../../../d/f", errno.EXDEV, b"inside", errno.EXDEV),
        ("loop", errno.ELOOP, errno.ELOOP, errno.ELOOP),
        ("d/f/x", errno.ENOTDIR, errno.ENOTDIR, errno.ENOTDIR),
        ("none", errno.ENOENT, errno.ENOENT, errno.ENOENT),
        ("host/etc/passwd", errno.EXDEV, errno.ENOENT, errno.ELOOP),
        ("bad\0name", errno.EINVAL, errno.EINVAL, errno.EINVAL),
    ],
)
def test_no_path_leads_outside(
    root: int, path: str, beneath: bytes | int, in_root: bytes | int, real: bytes | int
) -> None:
    assert content(open_beneath, root, path) == beneath
    assert content(open_in_root, root, path) == in_root
    assert content(open_real, root, path) == real


@pytest.mark.usefixtures("kernel")
def test_new_files_are_made_beneath_only(root: int, tmp_path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT
    os.close(open_beneath(root, "d/new", flags, 0o600))
    os.close(open_in_root(root, "/d/new2", flags | os.O_EXCL, 0o600))
    with pytest.raises(OSError, match=r"cross-device") as caught:
        open_beneath(root, "../new", flags, 0o600)
    assert caught.value.errno == errno.EXDEV
    with pytest.raises(FileExistsError):
        open_beneath(root, "up", flags | os.O_EXCL, 0o600)
    assert sorted(os.listdir(tmp_path)) == ["root", "secret"]
    assert (tmp_path / "root/d/new").exists()
    assert (tmp_path / "root/d/new2").exists()


def test_a_path_longer_than_the_kernel_takes_is_walked(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=fd)
        below = os.open("n" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    with RootDir(tmp_path) as top:
        os.close(open_real(top.fd, "/".join(["n" * 200] * 30 + ["f"]), os.O_RDONLY))
        os.close(top.open("/" + "/".join(["n" * 200] * 30)))
        remove_tree(top.fd, "n" * 200)
    assert os.listdir(tmp_path) == []


def test_removing_a_tree_follows_no_symlink(tmp_path: Path) -> None:
    make_tree(tmp_path / "keep", {"f": b"kept"})
    make_tree(tmp_path / "t", {"d/l": Symlink(str(tmp_path / "keep")), "d/e": Dir(mode=0o500), "x": File(mode=0)})
    fd = os.open(tmp_path, os.O_RDONLY)
    remove_tree(fd, "t")
    remove_tree(fd, "t")
    os.symlink(tmp_path / "keep", tmp_path / "l")
    remove_tree(fd, "l")
    os.close(fd)
    assert os.listdir(tmp_path) == ["keep"]
    assert (tmp_path / "keep/f").read_bytes() == b"kept"
