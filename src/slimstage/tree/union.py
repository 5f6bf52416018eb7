"""A stack of layer directories seen as one tree, in user space: nothing is mounted.

Layer directories are marked as tree/marks.py says: a deleted name is a character device 0:0 and an opaque directory has the
xattr `trusted.overlay.opaque` (or `user.overlay.opaque` without root) = `y`, as overlayfs has it, or our own marks. A lookup
answers what a process inside would see; symlinks are resolved inside the stack as its own root, bounded as the kernel
bounds them.

Source: Linux, Documentation/filesystems/overlayfs.rst, "Upper and Lower", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from slimstage.errors import ContextError
from slimstage.tree.entry import NO_XATTRS, Entry, entry_of
from slimstage.tree.marks import is_whiteout
from slimstage.tree.paths import DIRECTORY, MAX_SYMLINKS, link_path, open_real, sort_by_bytes
from slimstage.tree.xattrs import is_opaque, read_xattrs
from slimstage.values import dataclass

_OPEN_DIRECTORIES = 64
_MOST_REMEMBERED = 4096
"""Lookups whose answers are kept: a tree of a million files must not be held in memory."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name is in a directory: the layer it is seen in, and for a directory every layer that adds to it."""

    status: os.stat_result
    layers: tuple[int, ...]
    """Topmost first; one for anything but a directory."""


class UnionTree:
    """A read-only view over `layers`, base first (paths of directories). Closing it closes its descriptors.

    Lookups are remembered: the layers must not change as long as the view is open. Not for several threads at once.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        self._roots: list[int] = []
        self._open: dict[tuple[int, str], int] = {}
        self._directories: dict[str, tuple[int, ...] | None] = {}
        self._found: dict[str, dict[str, _Found | None]] = {}
        self._remembered = 0
        try:
            for layer in layers:
                self._roots.append(os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except BaseException:
            self.close()
            raise
        below: list[int] = []
        for index in range(len(self._roots) - 1, -1, -1):
            below.append(index)
            if index and is_opaque(self._roots[index]):
                break
        self._root_layers = self._directories[""] = tuple(below)

    def lstat(self, path: str) -> Entry | None:
        """What the path is, the last component not followed; None when nothing is there.

        Symlinks in the components before the last are followed inside the root. Raises ContextError on a symlink loop.
        """
        resolved = self.resolve(path, follows_last=False)
        found = self._lookup(resolved)
        return None if found is None else self._entry(resolved, found)

    def resolve(self, path: str, *, follows_last: bool = True) -> str:
        """The path without symlinks; components that do not exist are kept as they are (dangling links resolve).

        ".." ends at the root. Raises ContextError on a symlink loop.
        """
        above, _, name = path.rpartition("/")
        # Known directories are resolved paths: a name in one of them needs no walk.
        if (
            self._directories.get(above)
            and name not in ("", ".", "..")
            and not (follows_last and (found := self._lookup(path)) is not None and stat.S_ISLNK(found.status.st_mode))
        ):
            return path
        todo = path.split("/")
        todo.reverse()
        done: list[str] = []
        links = 0
        missing_at: int | None = None
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if done:
                    done.pop()
                if missing_at is not None and len(done) < missing_at:
                    missing_at = None
                continue
            done.append(name)
            if missing_at is not None:  # nor is what is below it
                continue
            if not follows_last and not any(part not in ("", ".") for part in todo):
                break
            here = "/".join(done)
            found = self._lookup(here)
            if found is None:
                missing_at = len(done)
                continue
            if not stat.S_ISLNK(found.status.st_mode):
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise ContextError(f'too many symlinks in "{path}"', code="symlink-loop")
            target = self._readlink(here, found)
            done.pop()
            if target.startswith("/"):
                done.clear()
            todo += reversed(target.split("/"))
        return "/".join(done)

    def names(self, path: str) -> list[str]:
        """Names in a directory (path already resolved), merged over the layers, sorted by bytes; [] when it is none."""
        return [name for name, _ in self._children(path)]

    def open(self, path: str) -> int:
        """A descriptor of the regular file at a resolved path (O_RDONLY, O_NOFOLLOW, O_CLOEXEC, O_NONBLOCK).

        The caller closes it. Raises FileNotFoundError, and ContextError for what is no regular file.
        """
        dirfd, name = self.place(path)
        fd = os.open(name, _READ, dir_fd=dirfd) if self._is_file(path) else -1
        if fd < 0:
            raise ContextError(f'"{path}" is not a regular file', code="not-a-file")
        return fd

    def read(self, path: str, limit_bytes: int = 1 << 20) -> bytes | None:
        """The content of a small file (symlinks followed inside), None when there is no regular file.

        Raises ContextError when it is larger than the limit.
        """
        resolved = self.resolve(path)
        if not resolved or not self._is_file(resolved):
            return None
        fd = self.open(resolved)
        with open(fd, "rb", buffering=0) as stream:
            data = b""
            while len(data) <= limit_bytes and (more := stream.read(limit_bytes + 1 - len(data))):
                data += more
        if len(data) > limit_bytes:
            raise ContextError(f'"{path}" is too large: more than {limit_bytes} bytes', code="file-too-large")
        return data

    def place(self, path: str) -> tuple[int, str]:
        """(directory descriptor, name) by which the topmost layer's own file at a resolved path can be linked or opened.

        The descriptor is the tree's and valid until the next call. The name is "." for the root.
        Raises FileNotFoundError when nothing is there.
        """
        found = self._lookup(path)
        if found is None:
            raise FileNotFoundError(2, "nothing is there", path)
        above, _, name = path.rpartition("/")
        return self._descriptor(found.layers[0], above), name or "."

    def layer_of(self, path: str) -> int:
        """The number, from the base, of the layer whose file is seen at a resolved path. Raises FileNotFoundError."""
        found = self._lookup(path)
        if found is None:
            raise FileNotFoundError(2, "nothing is there", path)
        return found.layers[0]

    def walk(self, path: str) -> Iterator[Entry]:
        """All below a resolved directory, each directory before what it holds, names sorted by bytes; not itself."""
        prefix = path + "/" if path else ""
        levels = [(prefix, self._one_by_one(path))]
        while levels:
            prefix, children = levels[-1]
            for name, found in children:
                child = prefix + name
                yield self._entry(child, found)
                if stat.S_ISDIR(found.status.st_mode):
                    levels.append((child + "/", self._one_by_one(child, found)))
                    break
            else:
                levels.pop()

    def close(self) -> None:
        """Idempotent."""
        for fd in (*self._open.values(), *self._roots):
            os.close(fd)
        self._open.clear()
        self._roots.clear()

    def __enter__(self) -> UnionTree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_file(self, path: str) -> bool:
        found = self._lookup(path)
        return found is not None and stat.S_ISREG(found.status.st_mode)

    def _lookup(self, path: str) -> _Found | None:
        """What is at a resolved path."""
        if not path:
            layers = self._directories[""] or ()
            return _Found(os.fstat(self._roots[layers[0]]), layers) if layers else None
        above, _, name = path.rpartition("/")
        known = self._found.get(above)
        if known is not None and name in known:
            return known[name]
        if self._remembered >= _MOST_REMEMBERED:
            self._forget()
        self._remembered += 1
        layers = self._layers_of(above)
        known = self._found.setdefault(above, {})
        found = known[name] = self._find(layers, above, name) if layers else None
        return found

    def _forget(self) -> None:
        self._found.clear()
        self._directories.clear()
        self._directories[""] = self._root_layers
        self._remembered = 0

    def _layers_of(self, path: str) -> tuple[int, ...]:
        """The layers that add to a directory, topmost first; () when it is none."""
        if path in self._directories:
            return self._directories[path] or ()
        unknown = [path]
        while (above := unknown[-1].rpartition("/")[0]) not in self._directories:
            unknown.append(above)
        for directory in reversed(unknown):  # from the top, so that depth costs no recursion
            found = self._lookup(directory)
            is_directory = found is not None and stat.S_ISDIR(found.status.st_mode)
            self._directories[directory] = found.layers if found is not None and is_directory else None
        return self._directories[path] or ()

    def _find(self, layers: tuple[int, ...], above: str, name: str) -> _Found | None:
        status: os.stat_result | None = None
        own: list[int] = []
        for position, layer in enumerate(layers):
            dirfd = self._descriptor(layer, above)
            try:
                here = os.stat(name, dir_fd=dirfd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(here.st_mode):
                if not own and not is_whiteout(here):
                    return _Found(here, (layer,))
                break
            status = status or here
            own.append(layer)
            # Asked only where something lies below: most directories are in one layer.
            if position + 1 < len(layers) and is_opaque(link_path(dirfd, name)):
                break
        return None if status is None else _Found(status, tuple(own))

    def _one_by_one(self, path: str, found: _Found | None = None) -> Iterator[tuple[str, _Found]]:
        """As `_children`, but of a directory that is in one layer alone the names are held, and nothing else."""
        layers = found.layers if found is not None else self._layers_of(path)
        if len(layers) != 1:
            yield from self._children(path, found)
            return
        for name in sort_by_bytes(os.listdir(self._descriptor(layers[0], path))):
            status = os.stat(name, dir_fd=self._descriptor(layers[0], path), follow_symlinks=False)
            if not is_whiteout(status):
                yield name, _Found(status, layers)

    def _children(self, path: str, found: _Found | None = None) -> list[tuple[str, _Found]]:
        """(name, what it is) of all in a directory, sorted by bytes; nothing is kept, so a walk needs little memory."""
        layers = found.layers if found is not None else self._layers_of(path)
        seen: dict[str, _Found | None] = {}
        several: list[str] = []
        for position, layer in enumerate(layers):
            is_last = position + 1 == len(layers)
            with os.scandir(self._descriptor(layer, path)) as entries:
                for entry in entries:
                    name = entry.name
                    if name in seen:
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if is_last or not stat.S_ISDIR(status.st_mode):
                        seen[name] = None if is_whiteout(status) else _Found(status, (layer,))
                    else:
                        seen[name] = _Found(status, (layer,))
                        several.append(name)
        for name in several:  # a directory that lower layers may add to
            first = seen[name]
            if first is not None:
                seen[name] = self._find(layers[layers.index(first.layers[0]) :], path, name)
        return sorted(((n, f) for n, f in seen.items() if f is not None), key=lambda item: os.fsencode(item[0]))

    def _entry(self, path: str, found: _Found) -> Entry:
        above, _, name = path.rpartition("/")
        dirfd = self._descriptor(found.layers[0], above)
        mode = found.status.st_mode
        xattrs: Mapping[str, bytes] = NO_XATTRS
        target = ""
        if stat.S_ISLNK(mode):
            target = os.readlink(name, dir_fd=dirfd)
        elif stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            xattrs = read_xattrs(link_path(dirfd, name))[0]
        return entry_of(path, found.status, target=target, xattrs=xattrs)

    def _readlink(self, path: str, found: _Found) -> str:
        above, _, name = path.rpartition("/")
        return os.readlink(name, dir_fd=self._descriptor(found.layers[0], above))

    def _descriptor(self, layer: int, path: str) -> int:
        """Of a directory that is known to be one in this layer."""
        if not path:
            return self._roots[layer]
        key = (layer, path)
        if (fd := self._open.get(key)) is not None:
            return fd
        above, _, name = path.rpartition("/")
        parent = self._open.get((layer, above))
        fd = (
            open_real(self._roots[layer], path, DIRECTORY)
            if parent is None
            else os.open(name, DIRECTORY, dir_fd=parent)
        )
        if len(self._open) >= _OPEN_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[key] = fd
        return fd
