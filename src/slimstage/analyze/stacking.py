"""The layers of an image put on each other: which file is seen, what hides the others, whose bytes a hard link's are. Pure.

A layer's deletions are of what is below it, wherever in the layer they stand. Names whose directories are symlinks of lower
layers are where those lead, inside the image, as an unpacked image has them.
Source: OCI image-spec v1.1, layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

from slimstage.analyze.analysis import FileTable, State
from slimstage.analyze.layers import LayerEntry
from slimstage.tree.paths import MAX_SYMLINKS

_Directory: TypeAlias = "dict[str, int | _Directory]"
"""Name → position of a file, a directory, or _OTHER for a symlink and what else there is."""
_OTHER = -1


class Stack:
    """Takes layers, base first; `files` is complete after `finish`."""

    def __init__(self) -> None:
        self.files = FileTable()
        self.symlinks: dict[str, str] = {}
        """Of the tree: path → target as written."""
        self.replaced: dict[int, int] = {}
        """Position of a hidden file → of the one of the same name that hides it."""
        self.written: dict[int, str] = {}
        """Position → path as its layer has it, where a symlink of a lower layer leads elsewhere."""
        self._root: _Directory = {}
        self._groups: dict[tuple[int, int], list[int]] = {}
        self._real_of: dict[str, str] = {}
        self._layers = 0
        self._deleted: dict[str, int] = {}
        """By the layer that is being put on: path → position."""

    def add(self, entries: Iterable[LayerEntry]) -> None:
        """One more layer."""
        number, self._layers = self._layers, self._layers + 1
        held: list[LayerEntry] = []
        self._deleted = {}
        for entry in entries:
            if entry.kind == "whiteout":
                self._delete(self._real(entry.path), number)
            elif entry.kind == "opaque":
                self._empty(self._real(f"{entry.path}/."), number)
            else:
                held.append(entry)
        for entry in held:
            if entry.path:
                self._place(entry, number)

    def finish(self) -> FileTable:
        """Counts each file with several names once: at its first name that is seen, else at its first."""
        files = self.files
        for positions in self._groups.values():
            if len(positions) < 2:
                continue
            first = min(positions, key=lambda each: (files.states[each] != 0, os.fsencode(files.paths[each])))
            for position in positions:
                if position != first:
                    files.link(position)
        self._groups.clear()
        return files

    def resolve(self, path: str) -> str:
        """The path as it is in the finished tree: symlinks in its directories followed, its last component not."""
        return self._real(path)

    def _place(self, entry: LayerEntry, number: int) -> None:
        path = self._real(entry.path)
        above, _, name = path.rpartition("/")
        directory = self._directory(above, number)
        there = directory.get(name)
        if entry.kind == "dir":
            if not isinstance(there, dict):
                self._hide(path, there, number, "deleted")
                directory[name] = {}
            return
        if entry.kind == "file":
            position = self.files.add(path, entry.size, number, (entry.mode, entry.uid, entry.gid))
            if path != entry.path:
                self.written[position] = entry.path
            if entry.link:
                self._groups.setdefault((number, entry.link), []).append(position)
        else:
            position = _OTHER
        if isinstance(there, dict):
            self._delete(path, number)
        elif there is not None:
            self._hide(path, there, number, "overwritten")
        below = there if isinstance(there, int) else self._deleted.pop(path, _OTHER)
        if position >= 0 and below >= 0:
            # Deleted and made again in one layer: it was overwritten.
            self.files.hide(below, "overwritten", number)
            self.replaced[below] = position
        directory[name] = position
        if entry.kind == "symlink":
            self.symlinks[path] = entry.target
            self._real_of.clear()

    def _directory(self, path: str, number: int) -> _Directory:
        """The directory, made when it is not there; what else is in its place goes."""
        node = self._root
        at = 0
        while at < len(path):
            end = path.find("/", at)
            end = len(path) if end < 0 else end
            name = path[at:end]
            child = node.get(name)
            if not isinstance(child, dict):
                self._hide(path[:end], child, number, "deleted")
                child = node[name] = {}
            node, at = child, end + 1
        return node

    def _delete(self, path: str, number: int) -> None:
        """What the path is, with all below it. The root cannot be deleted."""
        above, _, name = path.rpartition("/")
        directory = self._node(above)
        if not name or not isinstance(directory, dict) or name not in directory:
            return
        there = directory.pop(name)
        if isinstance(there, dict):
            self._hide_all(path, there, number)
        else:
            self._hide(path, there, number, "deleted")

    def _empty(self, path: str, number: int) -> None:
        directory = self._node(path)
        if isinstance(directory, dict):
            self._hide_all(path, directory, number)
            directory.clear()

    def _hide_all(self, path: str, directory: _Directory, number: int) -> None:
        todo = [(path, directory)]
        while todo:
            path, directory = todo.pop()
            prefix = f"{path}/" if path else ""
            for name, node in directory.items():
                if isinstance(node, dict):
                    todo.append((prefix + name, node))
                else:
                    self._hide(prefix + name, node, number, "deleted")

    def _hide(self, path: str, node: int | _Directory | None, number: int, state: State) -> None:
        if node == _OTHER:
            if self.symlinks.pop(path, None) is not None:
                self._real_of.clear()
        elif isinstance(node, int) and self.files.layers[node] != number:
            self.files.hide(node, state, number)
            if state == "deleted":
                self._deleted[path] = node
        elif isinstance(node, int):  # a layer that says one name twice: the last counts
            self.files.drop(node)

    def _node(self, path: str) -> int | _Directory | None:
        node: int | _Directory | None = self._root
        for name in path.split("/") if path else ():
            if not isinstance(node, dict):
                return None
            node = node.get(name)
        return node

    def _real(self, path: str) -> str:
        """The path with the symlinks in its directories followed; what is not there is kept as written."""
        above, slash, name = path.rpartition("/")
        if not slash:
            return path if name not in (".", "..") else ""
        real = self._real_of.get(above)
        if real is None:
            real = self._real_of[above] = self._followed(above)
        if name in ("", "."):
            return real
        if name == "..":
            return real.rpartition("/")[0]
        return f"{real}/{name}" if real else name

    def _followed(self, path: str) -> str:
        todo = path.split("/")
        todo.reverse()
        done: list[str] = []
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if done:
                    done.pop()
                continue
            done.append(name)
            target = self.symlinks.get("/".join(done))
            if target is None:
                continue
            links += 1
            if links > MAX_SYMLINKS:
                return path
            done.pop()
            if target.startswith("/"):
                done.clear()
            todo += reversed(target.split("/"))
        return "/".join(done)
