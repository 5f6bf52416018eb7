"""COPY and ADD write layer directories: destination, metadata, links."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from slimstage.build.add import Source
from slimstage.build.copy import copy_step
from slimstage.build.destination import Destination
from slimstage.context.fingerprint import WORTH_REMEMBERING_BYTES, selection_digest
from slimstage.context.local import LocalContext
from slimstage.context.select import select
from slimstage.context.tree import Forgetful
from slimstage.dockerfile.instructions import Heredoc
from slimstage.errors import ContextError, PlanError, StoreError
from slimstage.tree.entry import Entry
from slimstage.tree.union import UnionTree
from support.copying import NOW_NS, Bench, copy_of
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Tree, make_tree

pytestmark = pytest.mark.root


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if os.geteuid():
        pytest.skip("needs root: files get owners")
    return Bench(tmp_path)


# Destination -----------------------------------------------------------------------------------------------------


def test_a_file_is_copied_to_a_path_and_into_a_directory(bench: Bench) -> None:
    bench.copy({"f": "x"}, ["f"], "/a/b/c")
    assert bench.seen() == {"a": "dir 755 0:0", "a/b": "dir 755 0:0", "a/b/c": "file 644 0:0 x"}


def test_a_slash_makes_the_destination_a_directory(bench: Bench) -> None:
    assert bench.copy({"f": "x"}, ["f"], "/d/").paths() == ["d", "d/f"]


def test_an_existing_directory_takes_the_file_in_and_keeps_its_metadata(bench: Bench) -> None:
    bench.base({"d": Dir(0o1777, uid=5, gid=6, mtime_s=77, xattrs={"user.k": b"v"}), "d/old": "o"})
    bench.copy({"f": "x"}, ["f"], "/d", chown="9:9")
    assert bench.seen() == {"d": "dir 1777 5:6", "d/f": "file 644 9:9 x", "d/old": "file 644 0:0 o"}
    own = bench.own() / "d"
    assert os.getxattr(own, "user.k") == b"v"
    assert own.stat().st_mtime == 77


def test_the_root_keeps_its_metadata(bench: Bench) -> None:
    top = bench.base({"x": ""}).own()
    os.chmod(top, 0o711)
    bench.copy({"f": ""}, ["f"], "/")
    assert bench.own().stat().st_mode & 0o7777 == 0o711


def test_a_directory_is_its_contents_and_the_new_destination_is_0755_root(bench: Bench) -> None:
    bench.copy({"s": Dir(0o700), "s/in": Dir(0o750), "s/in/f": File(b"x", mode=0o600)}, ["s"], "/new")
    assert bench.seen() == {"new": "dir 755 0:0", "new/in": "dir 750 0:0", "new/in/f": "file 600 0:0 x"}


def test_a_nested_existing_directory_takes_the_sources_metadata(bench: Bench) -> None:
    bench.base({"d/in": Dir(0o777, uid=3), "d/in/old": ""})
    bench.copy({"s/in": Dir(0o710), "s/in/f": ""}, ["s"], "/d")
    seen = bench.seen()
    assert seen["d/in"] == "dir 710 0:0"
    assert set(seen) == {"d", "d/in", "d/in/f", "d/in/old"}


def test_matched_directories_are_flattened(bench: Bench) -> None:
    assert bench.copy({"d1/a": "", "d2/b": ""}, ["d*"], "/x").paths() == ["x", "x/a", "x/b"]


def test_created_parents_have_owner_and_octal_mode_under_a_umask_of_022(bench: Bench) -> None:
    bench.copy({"f": ""}, ["f"], "/p/q/f", chown="7:8", chmod="0770")
    assert bench.seen() == {"p": "dir 750 7:8", "p/q": "dir 750 7:8", "p/q/f": "file 770 7:8 "}


def test_a_symbolic_mode_leaves_created_parents_0755(bench: Bench) -> None:
    bench.copy({"f": File(mode=0o666), "d/s": File(mode=0o755)}, ["f", "d"], "/p/", chmod="go-w")
    assert bench.seen() == {"p": "dir 755 0:0", "p/f": "file 644 0:0 ", "p/s": "file 755 0:0 "}


def test_directories_that_are_made_get_the_rights_but_not_setuid(bench: Bench) -> None:
    bench.copy({"f": ""}, ["f"], "/p/q/", chmod="4711")
    assert bench.seen() == {"p": "dir 711 0:0", "p/q": "dir 711 0:0", "p/q/f": "file 4711 0:0 "}


def test_chmod_applies_to_directories_too_but_not_to_symlinks(bench: Bench) -> None:
    bench.copy({"s/d/f": "", "s/l": Symlink("d")}, ["s"], "/x", chmod="0700")
    seen = bench.seen()
    assert (seen["x/d"], seen["x/d/f"], seen["x/l"]) == ("dir 700 0:0", "file 700 0:0 ", "symlink d")


def test_names_of_chown_are_looked_up_in_the_destination(bench: Bench) -> None:
    bench.base({"etc/passwd": "app:x:11:22::/:\n", "etc/group": "web:x:33:\n"})
    assert bench.copy({"f": ""}, ["f"], "/f", chown="app:web").seen()["f"] == "file 644 11:33 "


def test_a_symlink_in_the_destination_is_followed_inside_the_root(bench: Bench) -> None:
    bench.base({"data": Symlink("/"), "out": Symlink("../../../real"), "real": Dir()})
    bench.copy({"x": "1"}, ["x"], "/data/etc/cron.d/x").copy(bench.top_context(), ["x"], "/out/")
    assert {"etc/cron.d/x", "real/x"} <= set(bench.paths())


def test_a_dangling_symlink_makes_its_target(bench: Bench) -> None:
    bench.base({"l": Symlink("../tmp/t"), "m": Symlink("made")})
    bench.copy({"f": "1"}, ["f"], "/l/").copy(bench.top_context(), ["f"], "/m")
    seen = bench.seen()
    assert (seen["l"], seen["tmp/t/f"], seen["made"]) == ("symlink ../tmp/t", "file 644 0:0 1", "file 644 0:0 1")


def test_a_symlink_loop_in_the_destination_is_an_error(bench: Bench) -> None:
    bench.base({"a": Symlink("b"), "b": Symlink("a")})
    with pytest.raises(ContextError, match="too many symlinks"):
        bench.copy({"f": ""}, ["f"], "/a/x")


def test_a_symlink_inside_the_destination_is_replaced(bench: Bench) -> None:
    bench.base({"d/f": Symlink("/etc/target"), "etc/target": "keep"})
    seen = bench.copy({"f": "new"}, ["f"], "/d/").seen()
    assert (seen["d/f"], seen["etc/target"]) == ("file 644 0:0 new", "file 644 0:0 keep")


@pytest.mark.parametrize(
    ("below", "tree", "paths", "destination", "code"),
    [
        ({"x/f/in": ""}, {"f": ""}, ["f"], "/x/", "copy-file-over-dir"),
        ({"x/f": ""}, {"s/f/in": ""}, ["s"], "/x", "copy-dir-over-file"),
        ({"x/f": Symlink("y")}, {"s/f/in": ""}, ["s"], "/x", "copy-dir-over-file"),
        ({"x": ""}, {"s/in": ""}, ["s"], "/x", "copy-dir-over-file"),
        ({"x": ""}, {"f": ""}, ["f"], "/x/", "copy-not-dir"),
        ({"x": ""}, {"f": ""}, ["f"], "/x/y", "copy-not-dir"),
    ],
)
def test_a_file_and_a_directory_do_not_replace_each_other(
    bench: Bench, below: Tree, tree: Tree, paths: list[str], destination: str, code: str
) -> None:
    bench.base(below)
    with pytest.raises(ContextError) as caught:
        bench.copy(tree, paths, destination)
    assert caught.value.code == code


def test_a_later_source_does_not_replace_a_directory_of_an_earlier_one(bench: Bench) -> None:
    with pytest.raises(ContextError, match="cannot replace it"):
        bench.copy({"a/x/in": "", "b/x": ""}, ["a", "b"], "/d/")


def test_a_path_that_was_deleted_in_between_is_new(bench: Bench) -> None:
    bench.base({"d": Dir(0o700, uid=4), "d/old": ""})
    bench.layers.append(make_tree(bench.top / "gone", {}))
    os.mknod(bench.top / "gone/d", 0o020000, 0)
    assert bench.copy({"f": ""}, ["f"], "/d/").seen() == {"d": "dir 755 0:0", "d/f": "file 644 0:0 "}


def test_link_depends_on_nothing_below(bench: Bench) -> None:
    bench.base({"l": Symlink("/real"), "real/x": "", "f": Dir(), "f/in": ""})
    bench.copy({"g": "1"}, ["g"], "/l/", is_link=True)
    bench.copy(bench.top_context(), ["g"], "/f", is_link=True)
    seen = bench.seen()
    assert (seen["l"], seen["l/g"], seen["f"]) == ("dir 755 0:0", "file 644 0:0 1", "file 644 0:0 1")
    assert "real/g" not in seen


def test_link_refuses_names_of_users(bench: Bench) -> None:
    bench.base({"etc/passwd": "app:x:1:1::/:\n"})
    with pytest.raises(PlanError, match="--link"):
        bench.copy({"g": ""}, ["g"], "/", is_link=True, chown="app")


# Metadata --------------------------------------------------------------------------------------------------------


def test_from_a_context_all_belongs_to_root_with_times_modes_and_xattrs(bench: Bench) -> None:
    node = File(b"x", mode=0o4755, uid=12, gid=13, mtime_s=5, xattrs={"user.a": b"b"})
    bench.copy({"s/f": node, "s/l": Symlink("f", uid=9)}, ["s"], "/")
    status = (bench.own() / "f").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_mtime) == (0, 0, 0o4755, 5)
    assert os.getxattr(bench.own() / "f", "user.a") == b"b"
    assert (bench.own() / "l").lstat().st_uid == 0


def test_from_a_stage_owners_are_kept_and_files_are_linked(bench: Bench) -> None:
    stage = make_tree(bench.top / "stage", {"d": Dir(0o750, uid=3, gid=4), "d/f": File(b"x", uid=5, gid=6)})
    bench.copy_from([stage], ["/"], "/")
    assert bench.seen() == {"d": "dir 750 3:4", "d/f": "file 644 5:6 x"}
    assert os.path.samefile(bench.own() / "d/f", f"{stage}/d/f")


@pytest.mark.parametrize("flag", [{"chown": "9"}, {"chmod": "600"}])
def test_another_owner_or_mode_is_a_copy_and_the_stage_is_untouched(bench: Bench, flag: dict[str, str]) -> None:
    stage = make_tree(bench.top / "stage", {"f": File(b"x", uid=5, gid=6)})
    bench.copy_from([stage], ["f"], "/f", **flag)
    status = os.stat(f"{stage}/f")
    assert (status.st_uid, status.st_mode & 0o777, status.st_nlink) == (5, 0o644, 1)
    assert not os.path.samefile(bench.own() / "f", f"{stage}/f")


def test_writing_over_a_linked_file_leaves_the_stage_alone(bench: Bench) -> None:
    stage = make_tree(bench.top / "stage", {"a/f": "first", "b/f": "second"})
    bench.copy_from([stage], ["a", "b"], "/d/")
    assert bench.seen()["d/f"] == "file 644 0:0 second"
    assert Path(stage, "a/f").read_text() == "first"


def test_hard_links_stay_one_file(bench: Bench) -> None:
    bench.copy({"s/a": "x", "s/b": Hardlink("s/a"), "s/z": "x"}, ["s"], "/")
    assert os.path.samefile(bench.own() / "a", bench.own() / "b")
    assert not os.path.samefile(bench.own() / "a", bench.own() / "z")
    assert bench.last is not None
    assert (bench.last.files, bench.last.size_bytes) == (3, 2)


def test_a_further_name_is_not_linked_to_what_a_later_source_wrote_there(bench: Bench) -> None:
    bench.copy({"s/x": "old", "t/x": "new", "t/y": Hardlink("s/x")}, ["s", "t"], "/d/")
    assert (bench.seen()["d/x"], bench.seen()["d/y"]) == ("file 644 0:0 new", "file 644 0:0 old")


def test_a_socket_becomes_an_empty_file_and_a_fifo_stays(bench: Bench) -> None:
    context = bench.context({"s/p": Fifo(0o640)})
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(bench.top / "context/s")
        try:
            bound.bind("sock")
        finally:
            os.chdir(here)
        os.chmod(bench.top / "context/s/sock", 0o644)
        bench.copy(context, ["s"], "/")
    assert bench.seen() == {"p": "fifo 640 0:0", "sock": "file 644 0:0 "}


def test_a_device_that_would_delete_is_refused(bench: Bench) -> None:
    context = bench.context({"s/x": ""})
    os.mknod(bench.top / "context/s/w", 0o020644, 0)
    with pytest.raises(ContextError, match="a deletion"):
        bench.copy(context, ["s"], "/")


def test_names_that_are_no_utf8_and_holes_are_kept(bench: Bench) -> None:
    name = os.fsdecode(b"n\xff")
    context = bench.context({f"s/{name}": "x"})
    with open(bench.top / "context/s/sparse", "wb") as file:
        file.truncate(8 << 20)
    bench.copy(context, ["s"], "/")
    assert (bench.own() / name).read_text() == "x"
    status = (bench.own() / "sparse").stat()
    assert status.st_size == 8 << 20
    assert status.st_blocks * 512 < 1 << 20


def test_the_umask_of_the_process_does_not_matter(bench: Bench) -> None:
    before = os.umask(0o077)
    try:
        bench.copy({"s/d/f": File(b"", mode=0o666)}, ["s"], "/a/b")
    finally:
        os.umask(before)
    seen = bench.seen()
    assert (seen["a"], seen["a/b/d"], seen["a/b/d/f"]) == ("dir 755 0:0", "dir 755 0:0", "file 666 0:0 ")


def test_made_directories_have_the_time_that_was_given(bench: Bench) -> None:
    bench.copy({"f": File(mtime_s=3)}, ["f"], "/a/f")
    assert (bench.own() / "a").stat().st_mtime_ns == NOW_NS
    assert (bench.own() / "a/f").stat().st_mtime == 3


# Sources ---------------------------------------------------------------------------------------------------------


def test_heredocs_come_last_by_their_names(bench: Bench) -> None:
    inline = (Heredoc("EOF", "one\n"), Heredoc("f", "two\n"))
    bench.copy({"f": "path"}, ["f"], "/d/", inline=inline, chown="3:4", chmod="u+x")
    assert bench.seen()["d/EOF"] == "file 744 3:4 one\n"
    assert bench.seen()["d/f"] == "file 744 3:4 two\n"


def test_a_heredoc_alone_names_the_destination(bench: Bench) -> None:
    assert (
        bench.copy({"x": ""}, [], "/etc/motd", inline=(Heredoc("EOF", "hi"),)).seen()["etc/motd"] == "file 644 0:0 hi"
    )


def test_nothing_matched_makes_nothing(bench: Bench) -> None:
    assert bench.copy({"x": ""}, ["none*"], "/d/").paths() == []


def test_parents_are_made_with_the_sources_metadata_and_existing_ones_kept(bench: Bench) -> None:
    bench.base({"out/a": Dir(0o711, uid=8)})
    bench.copy({"a": Dir(0o700), "a/b": Dir(0o750), "a/b/f": ""}, ["a/b/f"], "/out/", keeps_parents=True)
    seen = bench.seen()
    assert (seen["out/a"], seen["out/a/b"], seen["out/a/b/f"]) == ("dir 711 8:0", "dir 750 0:0", "file 644 0:0 ")


def test_a_link_in_a_stage_is_resolved_in_that_stage(bench: Bench) -> None:
    stage = make_tree(bench.top / "stage", {"link": Symlink("/etc"), "etc/only-here": "stage"})
    assert bench.copy_from([stage], ["link"], "/out").paths() == ["out", "out/only-here"]


def test_a_context_link_to_the_hosts_root_finds_only_the_context(bench: Bench) -> None:
    with pytest.raises(ContextError) as caught:
        bench.copy({"dir": Symlink("/"), "x": ""}, ["dir/etc/passwd"], "/x")
    assert caught.value.code == "copy-source-missing"


@pytest.mark.parametrize("swap", ["content", "symlink", "longer"])
def test_a_file_that_changes_between_digest_and_copy_is_an_error(bench: Bench, swap: str) -> None:
    secret = bench.top / "secret"
    secret.write_text("host secret")
    with bench.context({"f": "mine"}) as context:
        selection = select(context, ["f"])
        selection_digest(selection, context, Forgetful())
        path = bench.top / "context/f"
        if swap == "symlink":
            path.unlink()
            path.symlink_to(secret)
        else:
            path.write_text("evil" if swap == "content" else "mine and more")
        draft = bench.draft()
        with pytest.raises(ContextError) as caught:
            copy_step(copy_of(["f"], "/f"), [], [Source(context, selection)], draft)
    assert caught.value.code == "context-changes"


def test_the_digest_of_a_large_new_file_is_known_without_reading_it(bench: Bench) -> None:
    memory = Forgetful()
    with bench.context({"w": b"x" * WORTH_REMEMBERING_BYTES}) as context:
        selection = select(context, ["w"])
        want = selection_digest(selection, context, memory)
        draft = bench.draft()
        copy_step(copy_of(["w"], "/w"), [], [Source(context, selection)], draft, memory=memory)

    class Deaf(Forgetful):
        def recall(self, file: object) -> None:
            return None

    learnt: list[object] = []
    memory.remember = lambda *fact: learnt.append(fact)  # type: ignore[method-assign]
    with UnionTree([draft.path]) as tree:
        assert selection_digest(select(tree, ["w"]), tree, memory) == want
        assert learnt == []
        assert selection_digest(select(tree, ["w"]), tree, Deaf()) == want


def test_a_full_disk_is_the_hosts_failure_with_a_hint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("slimstage.build.copy.copy_data", full)
    with pytest.raises(StoreError) as caught:
        bench.copy({"f": "x"}, ["f"], "/f")
    assert caught.value.hint is not None
    assert "prune" in caught.value.hint


def test_no_descriptor_is_left_open(bench: Bench) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bench.copy({"s/a/b/c": "1", "s/d": "2"}, ["s"], "/x")
    with pytest.raises(ContextError):
        bench.copy(LocalContext(bench.top / "context"), ["s"], "/x/a/b/c")
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_was_written_is_known_however_much_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names beyond those that are remembered are asked of the draft: links followed, files not written over directories."""
    monkeypatch.setattr("slimstage.build.destination._MOST_KNOWN", 4)
    draft = tmp_path / "draft"
    draft.mkdir()
    with Destination(str(draft), None, now_ns=0) as into:
        for number in range(20):
            into.make_directories(f"d/e{number}")
            into.claim(f"d/f{number}", "file")
            into.writer.file(Entry(f"d/f{number}", "file", 0o644, 0, 0), (b"",))
        into.claim("link", "symlink")
        into.writer.symlink(Entry("link", "symlink", 0o777, 0, 0, target="d/e3"))
        for number in range(20):
            assert (into.kind(f"d/e{number}"), into.kind(f"d/f{number}")) == ("dir", "file")
            assert into.resolve(f"link/g{number}") == f"d/e3/g{number}"
            with pytest.raises(ContextError, match="cannot replace it"):
                into.claim(f"d/e{number}", "file")
            with pytest.raises(ContextError, match="cannot replace it"):
                into.directory(Entry(f"d/f{number}", "dir", 0o755, 0, 0))
        into.clear("d/e5")
        assert into.kind("d/e5") is None
        into.finish()
