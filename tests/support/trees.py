"""File trees for tests: made from a dict, read back as a dict, in overlay form or plain."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from slimstage.tree.xattrs import opaque_name


@dataclass(frozen=True)
class File:
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_s: int = 1_000_000_000
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Dir:
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_s: int = 1_000_000_000
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    is_opaque: bool = False


@dataclass(frozen=True)
class Symlink:
    target: str
    mtime_s: int = 1_000_000_000
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Hardlink:
    """A further name of a file that the dict has before it."""

    first: str


@dataclass(frozen=True)
class Fifo:
    mode: int = 0o644
    mtime_s: int = 1_000_000_000


@dataclass(frozen=True)
class Whiteout:
    pass


Node: TypeAlias = File | Dir | Symlink | Hardlink | Fifo | Whiteout | bytes | str
Tree: TypeAlias = Mapping[str, Node]
"""Path → what it is; bytes or str is a file's content. Parents that are not named are made, 0755."""


def make_tree(root: str | os.PathLike[str], tree: Tree) -> str:
    """Writes the tree below `root` (made when missing) and returns its path. Owners are set as root only."""
    base = os.fspath(root)
    os.makedirs(base, exist_ok=True)
    directories: dict[str, Dir] = {}
    for path, node in tree.items():
        where = os.path.join(base, path)
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            directories.setdefault("/".join(parts[:end]), Dir())
        os.makedirs(os.path.dirname(where), exist_ok=True)
        match node:
            case Dir():
                os.makedirs(where, exist_ok=True)
                directories[path] = node
            case Symlink():
                os.symlink(node.target, where)
            case Hardlink():
                os.link(os.path.join(base, node.first), where, follow_symlinks=False)
            case Fifo():
                os.mkfifo(where)
                os.chmod(where, node.mode)
            case Whiteout():
                os.mknod(where, stat.S_IFCHR, os.makedev(0, 0))
            case File():
                _write(where, node)
            case str():
                _write(where, File(node.encode()))
            case bytes():
                _write(where, File(node))
        if isinstance(node, Symlink | Fifo):
            if isinstance(node, Symlink) and os.geteuid() == 0:
                os.lchown(where, node.uid, node.gid)
            os.utime(where, (node.mtime_s, node.mtime_s), follow_symlinks=False)
    for path in sorted(directories, key=len, reverse=True):
        where, directory = os.path.join(base, path), directories[path]
        if os.geteuid() == 0:
            os.chown(where, directory.uid, directory.gid)
        for name, value in directory.xattrs.items():
            os.setxattr(where, name, value)
        if directory.is_opaque:
            os.setxattr(where, opaque_name(), b"y")
        os.chmod(where, directory.mode)
        os.utime(where, (directory.mtime_s, directory.mtime_s))
    return base


def _write(where: str, node: File) -> None:
    Path(where).write_bytes(node.data)
    if os.geteuid() == 0:
        os.chown(where, node.uid, node.gid)
    os.chmod(where, node.mode)
    for name, value in node.xattrs.items():
        os.setxattr(where, name, value)
    os.utime(where, (node.mtime_s, node.mtime_s))


def read_tree(root: str | os.PathLike[str]) -> dict[str, object]:
    """Everything below `root` that a layer would hold, as a dict that compares: hard links as groups of names."""
    base = os.fspath(root)
    found: dict[str, object] = {}
    names: dict[tuple[int, int], list[str]] = {}
    for folder, directories, files in os.walk(base):
        for name in directories + files:
            where = os.path.join(folder, name)
            path = os.path.relpath(where, base)
            status = os.lstat(where)
            kind = stat.S_IFMT(status.st_mode)
            attributes = {
                key: os.getxattr(where, key, follow_symlinks=False)
                for key in os.listxattr(where, follow_symlinks=False)
            }
            common = (status.st_uid, status.st_gid, int(status.st_mtime_ns // 10**9))
            if kind == stat.S_IFREG:
                found[path] = ("file", Path(where).read_bytes(), stat.S_IMODE(status.st_mode), common, attributes)
                if status.st_nlink > 1:
                    names.setdefault((status.st_dev, status.st_ino), []).append(path)
            elif kind == stat.S_IFLNK:
                found[path] = ("symlink", os.readlink(where), common)
            elif kind == stat.S_IFCHR and status.st_rdev == 0:
                found[path] = "whiteout"
            elif kind == stat.S_IFDIR:
                found[path] = ("dir", stat.S_IMODE(status.st_mode), common, attributes)
            else:
                found[path] = (kind, status.st_rdev, stat.S_IMODE(status.st_mode), common)
    found["links"] = sorted(tuple(sorted(group)) for group in names.values() if len(group) > 1)
    return found


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """One member for `make_tar`; fields are TarInfo's: type, mode, uid, gid, mtime, linkname, pax_headers, …"""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def make_tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar that the standard library's writer makes: as odd as the members are."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def listing(tar: bytes) -> list[tarfile.TarInfo]:
    """The members of a tar as the standard library's reader sees them."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getmembers()


def names_of(members: Iterable[tarfile.TarInfo]) -> list[str]:
    return [info.name for info in members]


def as_shipped(tree: dict[str, object]) -> dict[str, object]:
    """What `read_tree` gives, as a layer says it: without `user.*` xattrs, which BuildKit's layers do not hold either."""
    shipped: dict[str, object] = {}
    for path, node in tree.items():
        if isinstance(node, tuple) and node and isinstance(node[-1], dict):
            node = (*node[:-1], {key: value for key, value in node[-1].items() if not key.startswith("user.")})
        shipped[path] = node
    return shipped
