"""What a Dockerfile means, point by point: where COPY and ADD write, and as what (points 36 to 55).

Each test goes from the instruction's text to the tree that the next step sees.
"""

from __future__ import annotations

import gzip
import os
import socket
import struct
import tempfile
from pathlib import Path

import pytest

from slimstage.dockerfile.parse import parse
from slimstage.errors import ContextError, DockerfileError, PlanError
from slimstage.plan.graph import CopyStep, FromStep
from slimstage.tree.union import UnionTree
from support.copying import Bench
from support.planning import copies, planned, refused, said
from support.trees import Dir, File, Hardlink, Symlink, Tree, make_tar, make_tree, member

pytestmark = pytest.mark.root

PASSWD = "root:x:0:0::/:\napp:x:11:22::/:\n"
STAGE = "FROM scratch AS stage\nFROM busybox\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if os.geteuid():
        pytest.skip("needs root: files get owners")
    return Bench(tmp_path)


def step_of(line: str, before: str = "") -> CopyStep:
    return copies(planned(f"{STAGE}{before}{line}\n"))[-1]


def do(bench: Bench, line: str, tree: Tree, before: str = "") -> dict[str, str]:
    """What is in the image after a COPY or ADD; `tree` is the context, or the stage that it copies from."""
    step = step_of(line, before)
    names = ("inline", "chown", "chmod", "is_link", "keeps_parents", "exclude", "unpack")
    others = {name: getattr(step, name) for name in names}
    number = len(bench.layers)
    if isinstance(step.source, FromStep):
        stage = make_tree(bench.top / f"stage-{number}", tree)
        bench.copy_from([stage], step.paths, step.destination, **others)
    else:
        (bench.top / "context").rename(bench.top / f"used-{number}") if (bench.top / "context").exists() else None
        bench.copy(tree, step.paths, step.destination, **others)
    return bench.seen()


def alone(top: Path, line: str, tree: Tree) -> list[str]:
    """The paths that a COPY makes on nothing."""
    return list(do(Bench(Path(tempfile.mkdtemp(dir=top))), line, tree))


def code_of(bench: Bench, line: str, tree: Tree) -> str:
    with pytest.raises(ContextError) as caught:
        do(bench, line, tree)
    return caught.value.code


# Directories and what leads to them ------------------------------------------------------------------------------


def test_point_36_a_directory_is_its_contents_and_a_new_destination_has_none_of_its_metadata(bench: Bench) -> None:
    tree: Tree = {"src": Dir(0o700, uid=5), "src/f": File(b"x", mode=0o600)}
    assert do(bench, "COPY src /new", tree) == {"new": "dir 755 0:0", "new/f": "file 600 0:0 x"}
    assert do(bench, "COPY --from=stage --chown=7:8 src /own", tree)["own"] == "dir 755 7:8"
    assert do(bench, "COPY --from=stage src /kept", tree)["kept"] == "dir 755 0:0"


def test_point_37_an_existing_destination_keeps_its_metadata_and_nested_ones_take_the_sources(bench: Bench) -> None:
    bench.base({"d": Dir(0o1777, uid=5, gid=6), "d/in": Dir(0o777, uid=3)})
    seen = do(bench, "COPY src /d", {"src": Dir(0o700), "src/in": Dir(0o710), "src/in/f": ""})
    assert (seen["d"], seen["d/in"]) == ("dir 1777 5:6", "dir 710 0:0")


def test_point_38_created_parents_are_0755_of_root_or_chown_and_have_an_octal_mode(bench: Bench) -> None:
    assert do(bench, "COPY f /a/b/f", {"f": ""})["a/b"] == "dir 755 0:0"
    seen = do(bench, "COPY --chown=7:8 --chmod=0711 f /c/d/f", {"f": ""})
    assert (seen["c"], seen["c/d"]) == ("dir 711 7:8", "dir 711 7:8")
    assert do(bench, "COPY --chmod=go-rx f /e/f", {"f": ""})["e"] == "dir 755 0:0"


def test_point_39_chmod_applies_to_directories_and_symbolic_modes_to_each_files_own(bench: Bench) -> None:
    tree: Tree = {"s/d": Dir(0o700), "s/run": File(mode=0o700), "s/f": File(mode=0o600)}
    seen = do(bench, "COPY --chmod=750 s /o", tree)
    assert (seen["o/d"], seen["o/run"], seen["o/f"]) == ("dir 750 0:0", "file 750 0:0 ", "file 750 0:0 ")
    seen = do(bench, "COPY --chmod=a+rX s /s", tree)
    assert (seen["s/d"], seen["s/run"], seen["s/f"]) == ("dir 755 0:0", "file 755 0:0 ", "file 644 0:0 ")
    mask = os.umask(0o077)
    try:
        assert do(bench, "COPY --chmod=go=u s/f /u", {"s/f": File(mode=0o666)})["u"] == "file 666 0:0 "
        assert do(bench, "COPY --chmod=+w s/f /w", {"s/f": File(mode=0o444)})["w"] == "file 666 0:0 "
    finally:
        os.umask(mask)


@pytest.mark.parametrize(
    ("owner", "wanted"), [("1000", "1000:1000"), ("app", "11:22"), ("app:", "11:0"), ("0:app", "0:33"), ("5:6", "5:6")]
)
def test_point_40_a_number_is_user_and_group_and_a_name_brings_its_primary_group(
    bench: Bench, owner: str, wanted: str
) -> None:
    bench.base({"etc/passwd": PASSWD, "etc/group": "app:x:33:\n"})
    assert do(bench, f"COPY --chown={owner} f /f", {"f": ""})["f"] == f"file 644 {wanted} "


def test_point_40_a_name_is_root_where_there_is_no_passwd_file(bench: Bench) -> None:
    bench.base({"etc/hosts": ""})
    assert do(bench, "COPY --chown=anybody:any f /f", {"f": ""})["f"] == "file 644 0:0 "


def test_point_41_names_are_looked_up_in_the_destination_and_not_at_all_with_link(bench: Bench) -> None:
    bench.base({"etc/passwd": PASSWD})
    tree: Tree = {"etc/passwd": "app:x:99:99::/:\n", "f": File(uid=4)}
    assert do(bench, "COPY --from=stage --chown=app f /f", tree)["f"] == "file 644 11:22 "
    assert do(bench, "COPY --link --chown=3:4 f /g", tree)["g"] == "file 644 3:4 "
    with pytest.raises(PlanError, match="--link"):
        do(bench, "COPY --link --chown=app f /h", tree)


def test_point_42_user_does_not_change_who_owns_what_is_copied(bench: Bench) -> None:
    assert do(bench, "COPY f /d/f", {"f": ""}, "USER 5:6\n") == {"d": "dir 755 0:0", "d/f": "file 644 0:0 "}


# Links -----------------------------------------------------------------------------------------------------------


def test_point_43_sources_that_are_symlinks_are_followed_and_those_inside_a_directory_stay(bench: Bench) -> None:
    tree: Tree = {"real": "1", "link": Symlink("real"), "dir/in": Symlink("../real"), "far": Symlink("dir")}
    seen = do(bench, "COPY link far li*k /d/", tree)
    assert seen == {"d": "dir 755 0:0", "d/in": "symlink ../real", "d/link": "file 644 0:0 1"}


def test_point_44_symlinks_in_the_destination_are_followed_within_the_root_dangling_ones_too(bench: Bench) -> None:
    bench.base({"out": Symlink("../../real"), "real": Dir(), "gone": Symlink("/made/here")})
    assert do(bench, "COPY f /out/f", {"f": "1"})["real/f"] == "file 644 0:0 1"
    seen = do(bench, "COPY f /gone/", {"f": "1"})
    assert (seen["gone"], seen["made/here/f"]) == ("symlink /made/here", "file 644 0:0 1")


def test_point_44_with_link_a_symlink_in_the_destination_is_replaced(bench: Bench) -> None:
    bench.base({"out": Symlink("/real"), "real": Dir()})
    seen = do(bench, "COPY --link f /out/f", {"f": "1"})
    assert (seen["out"], seen["out/f"], seen.get("real/f")) == ("dir 755 0:0", "file 644 0:0 1", None)


# What is picked --------------------------------------------------------------------------------------------------


def test_point_45_a_missing_literal_source_fails_and_a_wildcard_without_match_does_not(bench: Bench) -> None:
    assert do(bench, "COPY missing* /d/", {"f": ""}) == {}
    assert list(do(bench, "COPY missing* f /d/", {"f": ""})) == ["d", "d/f"]
    assert code_of(bench, "COPY f missing /d/", {"f": ""}) == "copy-source-missing"


def test_point_46_wildcards_stop_at_slashes_and_matched_directories_are_flattened(tmp_path: Path) -> None:
    tree: Tree = {"dir1/a": "", "dir2/b": "", "dir2/sub/c": "", "top.c": ""}
    assert alone(tmp_path, "COPY dir* /x", tree) == ["x", "x/a", "x/b", "x/sub", "x/sub/c"]
    assert alone(tmp_path, "COPY *c */?ub /y/", tree) == ["y", "y/c", "y/top.c"]


def test_point_47_excludes_are_relative_to_each_source_and_hold_for_what_wildcards_match(tmp_path: Path) -> None:
    tree: Tree = {
        "img/a.png": "",
        "img/b.txt": "",
        "dir3/s.mp3": "",
        "dir3/t.ogg": "",
        "u.mp3": "",
        "dir3/sub/v.mp3": "",
    }
    assert "img/a.png" not in alone(tmp_path, "COPY --exclude=*/*.png . /", tree)
    assert "img/a.png" in alone(tmp_path, "COPY --exclude=*.png . /", tree)
    assert alone(tmp_path, "COPY --exclude=*.mp3 --exclude=sub dir* *.mp3 /d/", tree) == ["d", "d/t.ogg"]
    seen = alone(tmp_path, "COPY --exclude=**/*.mp3 --exclude=!sub/v.mp3 dir3/ /d/", tree)
    assert seen == ["d", "d/sub", "d/sub/v.mp3", "d/t.ogg"]


def test_point_48_parents_keep_what_is_behind_the_pivot_and_make_directories_only_on_a_match(tmp_path: Path) -> None:
    tree: Tree = {"a/b/c/x.txt": "", "a/b/d/y.md": "", "a/e/z.txt": ""}
    assert alone(tmp_path, "COPY --parents a/./b/*/*.txt /o/", tree) == ["o", "o/b", "o/b/c", "o/b/c/x.txt"]
    assert alone(tmp_path, "COPY --parents a/e/z.txt /o/", tree) == ["o", "o/a", "o/a/e", "o/a/e/z.txt"]
    assert [path for path in alone(tmp_path, "COPY --parents ./a/./**/*.pdf /o/", tree) if path != "o"] == []


def test_point_49_sockets_become_files_hard_links_and_xattrs_stay(bench: Bench) -> None:
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service+ep
    node = File(b"x", xattrs={"user.k": b"v", "security.capability": capability})
    context = bench.context({"s/a": node, "s/b": Hardlink("s/a")})
    place = os.open(bench.top / "context/s", os.O_PATH)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{place}/sock")
    os.close(place)
    bench.copy(context, ["s"], "/")
    own = bench.own()
    assert (own / "sock").is_file()
    assert os.path.samefile(own / "a", own / "b")
    assert (os.getxattr(own / "a", "user.k"), os.getxattr(own / "a", "security.capability")) == (b"v", capability)


def test_point_49_acls_stay_and_chmod_wins_over_them(bench: Bench) -> None:
    access, default = acl(7, 5, 5), acl(7, 7, 7)
    node = File(b"x", mode=0o640, xattrs={"system.posix_acl_access": acl(6, 4, 4)})
    folder = Dir(0o750, xattrs={"system.posix_acl_access": access, "system.posix_acl_default": default})
    tree: Tree = {"s/d": folder, "s/d/plain": File(b"p"), "s/f": node}
    do(bench, "COPY s /", tree)
    own = bench.own()
    assert os.getxattr(own / "f", "system.posix_acl_access") == acl(6, 4, 4)
    assert [os.getxattr(own / "d", f"system.posix_acl_{kind}") for kind in ("access", "default")] == [access, default]
    assert os.listxattr(own / "d/plain") == []
    assert bench.seen()["d/plain"] == "file 644 0:0 p"
    stage = own
    bench.copy_from([str(stage)], ["f"], "/from", chown="7")
    assert os.getxattr(bench.own() / "from", "system.posix_acl_access") == acl(6, 4, 4)
    assert do(bench, "COPY --chmod=600 s/f /closed", tree)["closed"] == "file 600 0:0 x"


def acl(owner: int, user: int, mask: int) -> bytes:
    """An ACL with an entry for user 1000. Source: linux/posix_acl_xattr.h."""
    nobody = 0xFFFFFFFF
    entries = ((1, owner, nobody), (2, user, 1000), (4, 0, nobody), (16, mask, nobody), (32, 0, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_point_50_a_file_and_a_directory_do_not_replace_each_other(bench: Bench) -> None:
    bench.base({"d/f": "", "d/dir/in": ""})
    assert code_of(bench, "COPY s /d/", {"s/f/in": ""}) == "copy-dir-over-file"
    assert code_of(Bench(bench.top / "2").base({"d/dir/in": ""}), "COPY dir /d/", {"dir": ""}) == "copy-file-over-dir"


def test_point_50_with_link_what_is_there_is_replaced(bench: Bench) -> None:
    bench.base({"f": "", "dir/in": ""})
    assert do(bench, "COPY --link dir /", {"dir": "now a file"})["dir"] == "file 644 0:0 now a file"
    seen = do(bench, "COPY --link s /f", {"s/in": ""})
    assert (seen["f"], seen["f/in"]) == ("dir 755 0:0", "file 644 0:0 ")


def test_point_51_a_trailing_slash_matters_an_empty_destination_is_workdir_and_dots_end_at_the_root(
    bench: Bench,
) -> None:
    assert do(bench, "COPY f /a", {"f": ""}) == {"a": "file 644 0:0 "}
    assert "b/f" in do(bench, "COPY f /b/", {"f": ""})
    assert "w/f" in do(bench, "COPY f $empty", {"f": ""}, "WORKDIR /w\n")
    assert "up" in do(bench, "COPY ../../f ../../../up", {"f": ""}, "WORKDIR /w\n")


def test_point_52_names_are_literal_bytes_and_wildcard_characters_can_be_escaped(tmp_path: Path) -> None:
    raw = os.fsdecode(b"\xff")
    tree: Tree = {"%C3%A4": "1", "ä": "2", "arr[0].txt": "3", "arr0.txt": "4", f"n{raw}": "5"}
    assert alone(tmp_path, "COPY %C3%A4 arr[[]0].txt /d/", tree) == ["d", "d/%C3%A4", "d/arr[0].txt"]
    assert alone(tmp_path, "COPY arr[0].txt n* /d/", tree) == ["d", "d/arr0.txt", f"d/n{raw}"]


# ADD -------------------------------------------------------------------------------------------------------------


def test_point_53_add_knows_archives_by_content_and_copies_a_gzip_that_holds_none(bench: Bench) -> None:
    tar = make_tar(member("deep/in/f", b"x", uid=25, mode=0o640), member("link/g", b"y"))
    bench.base({"x": Dir(0o711), "x/link": Symlink("/real"), "real": Dir()})
    seen = do(bench, "ADD --chown=1:2 any.name /x/", {"any.name": gzip.compress(tar)})
    assert seen["x/deep/in/f"] == "file 640 1:2 x"
    assert seen["x/deep"].startswith("dir 755")
    assert (seen["x"], seen["x/link"], seen["real/g"]) == ("dir 711 0:0", "symlink /real", "file 644 1:2 y")
    text = gzip.compress(b"text", mtime=0)
    assert "y/t.tar.gz" in do(bench, "ADD t.tar.gz /y/", {"t.tar.gz": text})
    assert "z/t.tar" in do(bench, "ADD --unpack=false t.tar /z/", {"t.tar": tar})


def test_point_53_archives_of_urls_are_unpacked_only_when_asked() -> None:
    assert step_of("ADD https://host/a.tar.gz /").urls[0].unpack is False
    assert step_of("ADD --unpack=true https://host/a.tar.gz /").urls[0].unpack is True


@pytest.mark.parametrize(
    "line",
    [
        "ADD --checksum=sha256:{0} https://host/a https://host/b /d/",
        "ADD --checksum=sha256:{0} local /d/",
        "ADD --checksum={0} https://host/a /d/",
        "ADD --checksum=md4:{0} https://host/a /d/",
        "ADD --checksum=sha256:12 https://host/a /d/",
    ],
)
def test_point_54_a_checksum_is_of_one_download_and_names_a_known_algorithm(line: str) -> None:
    assert refused(f"FROM scratch\n{line.format('ab' * 32)}\n").code in ("bad-checksum", "checksum-source")


def test_point_54_the_checksum_of_one_download_is_kept() -> None:
    digest = "sha256:" + "ab" * 32
    assert step_of(f"ADD --checksum={digest} https://host/a /d/").urls[0].checksum == digest
    assert step_of("ADD --checksum=abcd https://host/a.git /d/").gits[0].checksum == "abcd"
    with pytest.raises(DockerfileError):
        parse(f"FROM scratch\nCOPY --checksum={digest} a /d/\n")


def test_point_55_history_shows_chown_chmod_and_parents_and_neither_from_nor_link() -> None:
    line = "COPY --link --from=stage --chmod=755 --chown=1:2 --parents --exclude=x a b /d/"
    text = said(planned(f"{STAGE}{line}\n"))[-1]
    assert text == "COPY --parents --chown=1:2 --chmod=755 a b /d/ # buildkit"


def test_the_tree_that_a_test_sees_is_the_whole_stack(bench: Bench) -> None:
    """The helper itself: a later layer hides and a base shows through."""
    bench.base({"a": "1", "b": "2"})
    do(bench, "COPY a /a", {"a": "new"})
    with UnionTree(bench.layers) as tree:
        assert sorted(entry.path for entry in tree.walk("")) == ["a", "b"]
    assert bench.seen() == {"a": "file 644 0:0 new", "b": "file 644 0:0 2"}
