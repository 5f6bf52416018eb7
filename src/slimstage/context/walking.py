"""Walking a context without what its ignore file keeps out, however deep and however wide, in little memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from slimstage.context.entry import entry_of
from slimstage.context.patterns import Matched, PatternMatcher
from slimstage.errors import ContextError
from slimstage.tree.entry import Entry
from slimstage.tree.paths import DIRECTORY, ascend, sort_by_bytes

_OPEN_LEVELS = 64


class Walk:
    """changed: the error for what is not there any more. is_bare: entries come without their xattrs."""

    def __init__(
        self, ignored: PatternMatcher | None, changed: Callable[[str, OSError], ContextError], *, is_bare: bool
    ) -> None:
        self._ignored, self._changed, self._is_bare = ignored, changed, is_bare

    def below(self, fd: int, path: str) -> Iterator[Entry]:
        """All below the directory `path`, directories first, sorted by bytes; not itself. Takes the descriptor.

        Raises ContextError when something vanishes while it is walked.
        """
        state = self._ignored.match_below(path)[1] if self._ignored is not None and path else None
        levels: list[_Level] = []
        waiting: list[tuple[int, Entry]] = []
        """Ignored directories, with their depth: they come when something below does."""
        try:
            levels.append(self._level(fd, f"{path}/" if path else "", state))
            while levels:
                level = levels[-1]
                if not level.names:
                    self._leave(levels)
                    while waiting and waiting[-1][0] > len(levels):
                        waiting.pop()
                    continue
                found = self._child(level, level.names.pop())
                if found is None:
                    continue
                entry, is_out, below, inner = found
                if inner >= 0:
                    levels.append(self._level(inner, entry.path + "/", below))
                    if len(levels) > _OPEN_LEVELS:
                        levels[-_OPEN_LEVELS - 1].close()
                if is_out:
                    waiting.append((len(levels), entry))
                else:
                    for _, above in waiting:
                        yield above
                    waiting.clear()
                    yield entry
        finally:
            for level in levels:
                level.close()

    def _level(self, fd: int, prefix: str, state: Matched | None) -> _Level:
        """Takes the descriptor, whatever happens."""
        try:
            names = os.listdir(fd)  # names alone: a directory may hold a million
            status = os.fstat(fd)
        except OSError as error:
            os.close(fd)
            raise self._changed(prefix, error) from error
        sort_by_bytes(names, reverse=True)
        return _Level(fd, prefix, state, (status.st_dev, status.st_ino), names)

    def _leave(self, levels: list[_Level]) -> None:
        """Goes up by one; the directory above is found again from below when its descriptor was given up."""
        left = levels.pop()
        if levels and levels[-1].fd < 0:
            try:
                levels[-1].fd = ascend(left.fd, levels[-1].identity)
            except OSError as error:
                left.close()
                raise self._changed(levels[-1].prefix, error) from error
        left.close()

    def _child(self, level: _Level, name: str) -> tuple[Entry, bool, Matched | None, int] | None:
        """(what it is, whether it is ignored, the patterns' state, a descriptor of a directory or -1); None: not there."""
        fd, path, ignored = level.fd, level.prefix + name, self._ignored
        is_out, below = (False, None) if ignored is None else ignored.match_below(path, level.state)
        if is_out and not (ignored and ignored.may_let_in_below(path)):
            return None
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            is_dir = stat.S_ISDIR(status.st_mode)
            if is_out and not is_dir:
                return None
            return (
                entry_of(fd, name, path, status, is_bare=self._is_bare),
                is_out,
                below,
                os.open(name, DIRECTORY, dir_fd=fd) if is_dir else -1,
            )
        except OSError as error:
            raise self._changed(path, error) from error


class _Level:
    """A directory that is being walked. names: what is left of it, last first."""

    __slots__ = ("fd", "identity", "names", "prefix", "state")

    def __init__(
        self, fd: int, prefix: str, state: Matched | None, identity: tuple[int, int], names: list[str]
    ) -> None:
        self.fd, self.prefix, self.state, self.identity, self.names = fd, prefix, state, identity, names

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
