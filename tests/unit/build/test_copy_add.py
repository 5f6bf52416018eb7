"""ADD of archives and WORKDIR."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from slimstage.build.workdir import workdir_step
from slimstage.errors import ContextError, FormatError, PlanError
from slimstage.plan.graph import WorkdirStep
from support.copying import NOW_NS, Bench
from support.trees import Dir, Symlink, make_tar, member

pytestmark = pytest.mark.root


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if os.geteuid():
        pytest.skip("needs root: files get owners")
    return Bench(tmp_path)


TAR = make_tar(
    member("d/", type=tarfile.DIRTYPE, mode=0o775, uid=25, gid=26),
    member("d/f", b"data", mode=0o664, uid=25, gid=26, mtime=7),
    member("d/l", type=tarfile.SYMTYPE, linkname="f"),
    member("d/h", type=tarfile.LNKTYPE, linkname="d/f", mode=0o664, uid=25, gid=26, mtime=7),
)


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_an_archive_is_known_by_its_content(bench: Bench, pack: type[bytes]) -> None:
    bench.copy({"any.name": pack(TAR)}, ["any.name"], "/x/", unpack="auto")
    assert bench.seen() == {
        "x": "dir 755 0:0",
        "x/d": "dir 775 25:26",
        "x/d/f": "file 664 25:26 data",
        "x/d/h": "file 664 25:26 data",
        "x/d/l": "symlink f",
    }
    assert os.path.samefile(bench.own() / "x/d/f", bench.own() / "x/d/h")


def test_entries_obey_chown(bench: Bench) -> None:
    seen = bench.copy({"t": TAR}, ["t"], "/x", unpack="auto", chown="1:2").seen()
    assert (seen["x"], seen["x/d"], seen["x/d/f"]) == ("dir 755 1:2", "dir 775 1:2", "file 664 1:2 data")


@pytest.mark.parametrize("content", [gzip.compress(b"no tar", mtime=0), b"plain", b"", b"\x1f\x8b\x08broken"])
def test_what_holds_no_tar_is_copied(bench: Bench, content: bytes) -> None:
    bench.copy({"x.tar.gz": content}, ["x.tar.gz"], "/d/", unpack="auto")
    assert (bench.own() / "d/x.tar.gz").read_bytes() == content


def test_never_copies_an_archive(bench: Bench) -> None:
    bench.copy({"t": TAR}, ["t"], "/t", unpack="never")
    assert (bench.own() / "t").read_bytes() == TAR


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_an_archive_without_a_member_is_copied_as_a_file(bench: Bench, pack: type[bytes]) -> None:
    content = pack(bytes(10240))
    bench.copy({"t": content}, ["t"], "/d/", unpack="auto")
    assert (bench.own() / "d/t").read_bytes() == content


def test_a_further_name_of_a_file_gives_it_its_own_owner_mode_and_time(bench: Bench) -> None:
    archive = make_tar(
        member("f", b"x", mode=0o4755, uid=3, mtime=5),
        member("g", type=tarfile.LNKTYPE, linkname="f", mode=0o640, uid=7, gid=8, mtime=9),
        member("l", type=tarfile.SYMTYPE, linkname="f", uid=3, mtime=5),
        member("m", type=tarfile.LNKTYPE, linkname="l", mode=0o600, uid=7, gid=8, mtime=9),
    )
    bench.base({"t": ""}).copy({"t": archive}, ["t"], "/", unpack="auto")
    f, m = (os.lstat(bench.own() / name) for name in ("f", "m"))
    assert (oct(f.st_mode), f.st_uid, f.st_gid, f.st_mtime, f.st_nlink) == ("0o100640", 7, 8, 9, 2)
    # Of a symlink only the owner: nothing has a mode or a time to give it.
    assert (m.st_uid, m.st_gid, m.st_mtime, m.st_nlink) == (7, 8, 5, 2)


def test_a_further_name_takes_the_capability_that_it_does_not_repeat(bench: Bench) -> None:
    capability = base64.b64decode("AQAAAgAEAAAAAAAAAAAAAAAAAAA=").decode()
    for repeats in (False, True):
        xattrs = {"SCHILY.xattr.security.capability": capability}
        archive = make_tar(
            member("f", b"x", pax_headers=xattrs),
            member("g", type=tarfile.LNKTYPE, linkname="f", pax_headers=xattrs if repeats else {}),
        )
        bench.copy({"t": archive}, ["t"], "/", unpack="auto")
        assert ("security.capability" in os.listxattr(bench.own() / "f")) == repeats


def test_archives_inside_a_directory_are_not_unpacked(bench: Bench) -> None:
    assert bench.copy({"s/t.tar": TAR}, ["s"], "/x", unpack="auto").paths() == ["x", "x/t.tar"]


def test_members_go_through_symlinks_of_the_root_file_system_inside_it(bench: Bench) -> None:
    bench.base({"var/run": Symlink("/run"), "up": Symlink("../../../../tmp/up")})
    bench.copy({"t": make_tar(member("var/run/a/b", b"1"), member("up/c", b"2"))}, ["t"], "/", unpack="auto")
    seen = bench.seen()
    assert (seen["run/a/b"], seen["tmp/up/c"], seen["var/run"]) == ("file 644 0:0 1", "file 644 0:0 2", "symlink /run")


def test_a_link_inside_the_archive_does_not_lead_out(bench: Bench) -> None:
    outside = bench.top / "outside"
    outside.mkdir()
    evil = make_tar(member("l", type=tarfile.SYMTYPE, linkname=str(outside)), member("l/x", b"evil"))
    bench.copy({"t": evil}, ["t"], "/", unpack="auto")
    assert list(outside.iterdir()) == []
    assert (bench.own() / str(outside).lstrip("/") / "x").read_text() == "evil"


@pytest.mark.parametrize("name", ["../../etc/evil", "a/../../evil"])
def test_a_name_above_the_root_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(FormatError):
        bench.copy({"t": make_tar(member(name, b"x"))}, ["t"], "/d/", unpack="auto")


def test_a_hard_link_to_nothing_is_refused_and_one_to_the_parents_file_is_made(bench: Bench) -> None:
    bench.base({"etc/a": "below"})
    link = make_tar(member("b", type=tarfile.LNKTYPE, linkname="etc/a"))
    assert bench.copy({"t": link}, ["t"], "/", unpack="auto").seen()["b"] == "file 644 0:0 below"
    bad = make_tar(member("b", type=tarfile.LNKTYPE, linkname="etc/none"))
    with pytest.raises(FormatError, match="no file of it"):
        bench.copy({"u": bad}, ["u"], "/", unpack="auto")


def test_a_truncated_archive_is_an_error(bench: Bench) -> None:
    with pytest.raises(FormatError, match='"t"'):
        bench.copy({"t": make_tar(member("f", b"x" * 5000))[:2048]}, ["t"], "/", unpack="auto")


def test_members_replace_what_is_there_of_another_kind(bench: Bench) -> None:
    bench.base({"d/old": "", "l": Symlink("d"), "f": "", "same": Dir(0o700), "same/old": ""})
    archive = make_tar(
        member("d", b"file now"),
        member("l/", type=tarfile.DIRTYPE, mode=0o755),
        member("f", type=tarfile.SYMTYPE, linkname="d"),
        member("same/", type=tarfile.DIRTYPE, mode=0o711),
    )
    seen = bench.copy({"t": archive}, ["t"], "/", unpack="auto").seen()
    assert seen == {
        "d": "file 644 0:0 file now",
        "f": "symlink d",
        "l": "dir 755 0:0",
        "same": "dir 711 0:0",
        "same/old": "file 644 0:0 ",
    }


def test_a_directory_that_was_replaced_in_between_hides_what_is_below(bench: Bench) -> None:
    bench.base({"d/old": ""})
    archive = make_tar(member("d", b"x"), member("d/", type=tarfile.DIRTYPE, mode=0o755), member("d/new", b"1"))
    assert bench.copy({"t": archive}, ["t"], "/", unpack="auto").paths() == ["d", "d/new"]


# WORKDIR ---------------------------------------------------------------------------------------------------------


def workdir(bench: Bench, path: str, user: str = "") -> bool:
    step = WorkdirStep(id="s0.1", stage=0, parent=None, line=1, end_line=1, title="WORKDIR", path=path, user=user)
    draft = bench.draft()
    result = workdir_step(step, bench.layers, draft, now_ns=NOW_NS)
    bench.layers.append(draft.path)
    return result.was_made


def test_workdir_makes_what_is_missing_owned_by_the_user(bench: Bench) -> None:
    bench.base({"etc/passwd": "app:x:11:22::/:\n", "srv": Dir(0o700)})
    assert workdir(bench, "/srv/a/b", "app")
    seen = bench.seen()
    assert (seen["srv"], seen["srv/a"], seen["srv/a/b"]) == ("dir 700 0:0", "dir 755 11:22", "dir 755 11:22")


def test_workdir_leaves_an_existing_directory_alone(bench: Bench) -> None:
    bench.base({"srv": Dir(0o700, uid=3)})
    assert not workdir(bench, "/srv", "5")
    assert bench.seen() == {"srv": "dir 700 3:0"}
    assert list(bench.own().iterdir()) == []


def test_workdir_follows_symlinks_inside(bench: Bench) -> None:
    bench.base({"l": Symlink("/../../real/deep")})
    workdir(bench, "/l/x")
    assert "real/deep/x" in bench.paths()


def test_workdir_over_a_file_or_by_an_unknown_user_is_an_error(bench: Bench) -> None:
    bench.base({"f": "", "etc/passwd": "root:x:0:0::/:\n"})
    with pytest.raises(ContextError, match="not a directory"):
        workdir(bench, "/f")
    bench.layers.pop() if len(bench.layers) > 1 else None
    (bench.top / "layer-1").rename(bench.top / "layer-1-failed")
    (bench.top / "work-1").rename(bench.top / "work-1-failed")
    with pytest.raises(PlanError, match='no user "ghost"'):
        workdir(bench, "/new", "ghost")
