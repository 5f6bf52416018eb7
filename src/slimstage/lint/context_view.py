"""The build context as rules see it: a directory of this machine, looked at within bounds, or files that are given."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

from slimstage.context.patterns import Pattern, PatternMatcher
from slimstage.lint.subject import ContextFile
from slimstage.tree.paths import open_real

MOST_FILES = 20_000
"""Files that are listed one by one; what comes behind them in the walk is left out."""
MOST_IN_IGNORED = 2_000
"""Files of one ignored directory that are counted; then it is one entry of the size seen so far."""
_DEEPEST = 64
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class GivenContext:
    """Files that are given as texts or sizes."""

    def __init__(self, files: Mapping[str, str | int], ignore: Iterable[Pattern] | None = None) -> None:
        self._files = files
        self._matcher = PatternMatcher(ignore or ())
        self._found: tuple[ContextFile, ...] | None = None

    def files(self) -> Sequence[ContextFile]:
        if self._found is None:
            self._found = self._listed()
        return self._found

    def _listed(self) -> tuple[ContextFile, ...]:
        return tuple(
            ContextFile(
                path,
                content if isinstance(content, int) else len(content.encode("utf-8", "surrogateescape")),
                self._matcher.keeping_out(path) is not None,
            )
            for path, content in sorted(self._files.items())
        )

    def read(self, path: str, limit_bytes: int = 1 << 20) -> str | None:
        content = self._files.get(path)
        if not isinstance(content, str) or len(content) > limit_bytes or self._matcher.keeping_out(path) is not None:
            return None
        return content


class DirectoryContext:
    """A directory. No symlink is followed, nothing outside is opened; a file that cannot be read is not there."""

    def __init__(self, path: str | os.PathLike[str], ignore: Iterable[Pattern] | None = None) -> None:
        """ignore: compiled here. Raises ContextError: a pattern is malformed."""
        self._path = os.fspath(path)
        self._matcher = PatternMatcher(ignore or ())
        self._found: tuple[ContextFile, ...] | None = None

    def files(self) -> Sequence[ContextFile]:
        if self._found is None:
            self._found = tuple(sorted(self._walked(), key=lambda file: file.path))
        return self._found

    def read(self, path: str, limit_bytes: int = 1 << 20) -> str | None:
        if self._matcher.patterns and self._matcher.keeping_out(path) is not None:
            return None
        data = self._bytes(path, limit_bytes)
        return None if data is None else data.decode("utf-8", "replace")

    def _bytes(self, path: str, limit_bytes: int) -> bytes | None:
        if any(part in ("", ".", "..") for part in path.split("/")):
            return None
        try:
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            file = open_real(root, path, _READ)
        except OSError:
            return None
        finally:
            os.close(root)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            return None
        with os.fdopen(file, "rb") as opened:
            data = opened.read(limit_bytes + 1)
        return data if len(data) <= limit_bytes else None

    def _walked(self) -> Iterator[ContextFile]:
        left = MOST_FILES
        todo: list[tuple[str, bool]] = [("", False)]
        while todo and left > 0:
            directory, is_ignored = todo.pop()
            if is_ignored:
                count, size = self._sum(directory)
                left -= 1
                if count:
                    yield ContextFile(directory + "/", size, True)
                continue
            for name, status in self._entries(directory):
                path = f"{directory}/{name}" if directory else name
                is_out = bool(self._matcher.patterns) and self._matcher.keeping_out(path) is not None
                if stat.S_ISDIR(status.st_mode):
                    if path.count("/") < _DEEPEST:
                        todo.append((path, is_out and not self._matcher.may_let_in_below(path)))
                elif stat.S_ISREG(status.st_mode):
                    yield ContextFile(path, status.st_size, is_out)
                    left -= 1
                    if left <= 0:
                        return

    def _sum(self, top: str) -> tuple[int, int]:
        """Files and bytes of an ignored directory, as far as they are counted."""
        count = size = 0
        todo = [top]
        while todo and count < MOST_IN_IGNORED:
            directory = todo.pop()
            for name, status in self._entries(directory):
                if stat.S_ISDIR(status.st_mode) and directory.count("/") < _DEEPEST:
                    todo.append(f"{directory}/{name}")
                elif stat.S_ISREG(status.st_mode):
                    count += 1
                    size += status.st_size
        return count, size

    def _entries(self, directory: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(os.path.join(self._path, directory) if directory else self._path) as found:
                for entry in found:
                    try:
                        yield entry.name, entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
        except OSError:
            return
