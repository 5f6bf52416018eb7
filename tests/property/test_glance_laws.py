"""Laws of selections known by what `stat` says: whatever changes, the digest is the one that reading everything gives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimstage.build.chosen import Chosen
from slimstage.build.memory import StoreMemory
from slimstage.context.fingerprint import selection_digest
from slimstage.context.local import LocalContext
from slimstage.context.select import select
from slimstage.context.tree import Forgetful
from slimstage.errors import ContextError
from slimstage.store.store import Store
from slimstage.tree.entry import Entry

_FILES, _DIRECTORIES = 80, 4
_LONG_NS = 1_000_000_000

_operation = st.tuples(
    st.sampled_from(
        (
            "content",
            "mode",
            "xattr",
            "no-xattr",
            "dir-xattr",
            "dir-mode",
            "replace",
            "mtime",
            "link",
            "rename",
            "symlink",
        )
    ),
    st.integers(0, _FILES - 1),
    st.integers(0, 2),
)


class _Counted(LocalContext):
    """Counts what is asked of it beyond `stat`."""

    asked = 0

    def open(self, path: str) -> int:
        self.asked += 1
        return super().open(path)

    def xattrs(self, entry: Entry) -> Mapping[str, bytes]:
        self.asked += 1
        return super().xattrs(entry)


def _fill(root: Path) -> None:
    for number in range(_FILES):
        path = _file(root, number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%05d" % number)


def _file(root: Path, number: int) -> Path:
    return root / f"d{number % _DIRECTORIES}" / f"f{number:02}"


def _change(root: Path, what: str, number: int, value: int) -> None:
    """A change that keeps as much of `stat` as can be kept."""
    path = _file(root, number)
    if not path.exists():
        return
    before = path.stat()
    times = (before.st_atime_ns, before.st_mtime_ns)
    match what:
        case "content":
            with path.open("r+b") as file:
                file.write(b"%d" % value)
            os.utime(path, ns=times)
        case "mode" | "dir-mode":
            os.chmod(path if what == "mode" else path.parent, 0o750 + value)
        case "xattr" | "dir-xattr":
            os.setxattr(path if what == "xattr" else path.parent, "user.law", b"%d" % value)
        case "no-xattr":
            if "user.law" in os.listxattr(path):
                os.removexattr(path, "user.law")
        case "replace":
            other = root / "other"
            other.write_bytes(b"%05d" % value)
            os.utime(other, ns=times)
            other.replace(path)
        case "mtime":
            os.utime(path, ns=(0, value))
        case "link":
            path.unlink()
            path.hardlink_to(next(each for each in path.parent.iterdir() if each.is_file()))
        case "rename":
            path.rename(path.with_name(f"{path.name}-{value}"))
        case _:
            (root / "link").unlink(missing_ok=True)
            (root / "link").symlink_to(str(value))


def _wait_for_a_tick(root: Path) -> None:
    """Until the kernel stamps files with another time: what the rule of racy files stands for."""
    probe = root.parent / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        probe.touch()


def _look(root: Path, memory: StoreMemory) -> tuple[str, int]:
    """(the digest, how often more than `stat` was asked for)."""
    with _Counted(root) as context:
        context.opened_ns += _LONG_NS  # all that was written is older than this build
        chosen = Chosen(select(context.bare(), ["."]), context, "files", memory, tuple)
        asked = context.asked
        whole = select(context, ["."])
        assert chosen.digest == selection_digest(whole, context, Forgetful())
        assert [(*item, item[1].xattrs) for item in chosen.selection()[0].below] == [
            (*item, item[1].xattrs) for item in whole[0].below
        ]
        return chosen.digest, asked


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(_operation, min_size=1, max_size=3), min_size=1, max_size=6))
def test_a_remembered_selection_has_the_digest_of_its_contents_whatever_changes(
    rounds: list[list[tuple[str, int, int]]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "context")
        root.mkdir()
        _fill(root)
        with Store.open(Path(directory, "store")) as store:
            _look(root, StoreMemory(store.digests))
            for operations in rounds:
                _wait_for_a_tick(root)
                for operation in operations:
                    _change(root, *operation)
                first, _ = _look(root, StoreMemory(store.digests))
                again, asked = _look(root, StoreMemory(store.digests))
                assert again == first
                assert asked == 0


def test_a_selection_with_an_entry_of_this_moment_is_not_remembered(tmp_path: Path) -> None:
    root = tmp_path / "context"
    root.mkdir()
    _fill(root)
    with Store.open(tmp_path / "store") as store:
        for _ in range(2):
            with _Counted(root) as context:
                os.utime(_file(root, 3), ns=(0, context.opened_ns + 3600 * _LONG_NS))
                Chosen(select(context.bare(), ["."]), context, "files", StoreMemory(store.digests), tuple)
                assert context.asked >= _FILES


def test_a_remembered_selection_that_changed_before_it_is_copied_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "context"
    root.mkdir()
    _fill(root)
    with Store.open(tmp_path / "store") as store:
        memory = StoreMemory(store.digests)
        _look(root, memory)
        _wait_for_a_tick(root)
        with LocalContext(root) as context:
            chosen = Chosen(select(context.bare(), ["."]), context, "files", memory, tuple)
            _change(root, "xattr", 7, 1)
            with pytest.raises(ContextError, match="changes while it is read"):
                chosen.selection()
