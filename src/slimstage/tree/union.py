"""A stack of layer directories seen as one tree, in user space: nothing is mounted.

Layer directories are in overlayfs' form: a deleted name is a character device 0:0, an opaque directory has the xattr
`trusted.overlay.opaque` (or `user.overlay.opaque` without root) = `y`. A lookup answers what a process inside would
see; symlinks are resolved inside the stack as its own root, bounded as the kernel bounds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.tree.entry import Entry


class UnionTree:
    """A read-only view over `layers`, base first (paths of directories). Closing it closes its descriptors."""

    def __init__(self, layers: Sequence[str]) -> None:
        raise NotImplementedError

    def lstat(self, path: str) -> Entry | None:
        """What the path is, the last component not followed; None when nothing is there.

        Symlinks in the components before the last are followed inside the root. Raises ContextError on a symlink loop.
        """
        raise NotImplementedError

    def resolve(self, path: str, *, follows_last: bool = True) -> str:
        """The path without symlinks; components that do not exist are kept as they are (dangling links resolve)."""
        raise NotImplementedError

    def names(self, path: str) -> list[str]:
        """Names in a directory (path already resolved), merged over the layers, sorted by bytes."""
        raise NotImplementedError

    def open(self, path: str) -> int:
        """A descriptor of the regular file at a resolved path (O_RDONLY, O_NOFOLLOW, O_CLOEXEC, O_NONBLOCK)."""
        raise NotImplementedError

    def read(self, path: str, limit_bytes: int = 1 << 20) -> bytes | None:
        """The content of a small file (symlinks followed inside), None when there is no regular file."""
        raise NotImplementedError

    def place(self, path: str) -> tuple[int, str]:
        """(directory descriptor, name) by which the topmost layer's own file at a resolved path can be linked or opened."""
        raise NotImplementedError

    def walk(self, path: str) -> Iterator[Entry]:
        """All below a resolved directory, each directory before what it holds, names sorted by bytes; not itself."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> UnionTree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
