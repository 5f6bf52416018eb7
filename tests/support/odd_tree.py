"""A directory with everything that a file system allows and few programs expect; and what a directory looks like by bytes."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

DEEP_BYTES = 4000
SPARSE_BYTES = 96 << 20
"""Of the file that is nearly all hole."""
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""cap_net_bind_service=ep, revision 2. Source: linux/capability.h, vfs_cap_data."""
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 0xFFFFFFFF), (2, 6, 1000), (4, 4, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
)
"""user::rw- user:1000:rw- group::r-- mask::rw- other::r--. Source: linux/posix_acl_xattr.h."""


@dataclass(frozen=True)
class Seen:
    """One path as it is on disk; `content` is a digest, or the target of a symlink."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime_s: int
    content: bytes
    capability: bytes


def make_odd_tree(top: Path) -> None:
    """Below a new directory; owners and capabilities need root."""
    base = os.fsencode(top)

    def file(name: bytes, data: bytes = b"", mode: int = 0o644, mtime_s: int = 1_600_000_000) -> bytes:
        path = base + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)
        os.chmod(path, mode)
        os.utime(path, (mtime_s, mtime_s))
        return path

    file(b"names/\xff\xfe\x80no utf-8", b"1")
    file(b"names/new\nline\ttab", b"2")
    file(b"names/\x01\x1b[31mred", b"3")
    file(b"names/ blank ", b"4")
    file(b"names/-rf", b"5")
    file(b"names/back\\slash", b"6")
    file(b"names/\xc3\xa9", b"composed")
    file(b"names/e\xcc\x81", b"decomposed")
    file(b"names/" + b"n" * 255, b"7")
    file(b"names/" + "\N{SNOWMAN}".encode() * 85, b"8")
    file(b"twins/README", b"upper")
    file(b"twins/readme", b"lower")
    file(b"twins/ReadMe/file", b"a directory")
    for name, when in (("before1970", -1_000_000), ("epoch", 0), ("after2038", 1 << 31), ("after2106", (1 << 32) + 5)):
        file(b"times/" + name.encode(), name.encode(), mtime_s=when)
    file(b"modes/setuid", b"s", 0o4755)
    file(b"modes/setgid", b"s", 0o2755)
    file(b"modes/sticky", b"s", 0o1644)
    file(b"modes/none", b"s", 0)
    os.mkdir(base + b"/modes/shared", 0o755)
    os.chmod(base + b"/modes/shared", 0o3777)
    os.setxattr(file(b"xattrs/capable", b"c", 0o755), "security.capability", CAPABILITY)
    os.setxattr(file(b"xattrs/user", b"u"), "user.note", b"stays in the build")
    os.setxattr(file(b"xattrs/acl", b"a"), "system.posix_acl_access", _ACL)
    os.makedirs(base + b"/links/far")
    first = file(b"links/first", b"one file")
    os.link(first, base + b"/links/second")
    os.link(first, base + b"/links/far/third")
    os.symlink(b"\xff/../nowhere\n", base + b"/links/odd target")
    os.symlink(b"t" * 4095, base + b"/links/long target")
    os.symlink(b"first", base + b"/links/sym")
    os.link(base + b"/links/sym", base + b"/links/sym again", follow_symlinks=False)
    with open(base + b"/sparse", "wb") as stream:
        stream.truncate(SPARSE_BYTES)
        stream.seek(SPARSE_BYTES // 2)
        stream.write(b"in the middle")
    _make_deep(base)
    os.chown(base + b"/names/-rf", (1 << 31) + 1, (1 << 32) - 2)
    # Directories last: what is made in them changes their time.
    for folder, _, _ in os.walk(base):
        if len(folder) < 200:
            os.utime(folder, (1_500_000_000, 1_500_000_000))


def _make_deep(base: bytes) -> None:
    """A file whose path below the directory has DEEP_BYTES, made component by component."""
    left = DEEP_BYTES - len(b"deep/") - len(b"/end")
    names = [b"deep"]
    while left > 0:
        names.append(b"d" * min(200, left))
        left -= min(200, left) + 1
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        os.mkdir(name, 0o755, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    end = os.open(b"end", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(end, b"the end")
    os.close(end)
    os.close(fd)


def look(top: Path) -> dict[bytes, Seen]:
    """Every path below, by descriptors: a path may be longer than the kernel takes at once."""
    found: dict[bytes, Seen] = {}
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for folder, directories, files, fd in os.fwalk(b".", dir_fd=root):
        prefix = folder[2:] + b"/" if folder != b"." else b""
        for name in [*directories, *files]:
            found[prefix + name] = _seen(name, fd)
    os.close(root)
    return found


def _seen(name: bytes, fd: int) -> Seen:
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink"}[stat.S_IFMT(status.st_mode)]
    content = capability = b""
    if kind == "symlink":
        content = os.readlink(name, dir_fd=fd)
    elif kind == "file":
        opened = os.open(name, os.O_RDONLY, dir_fd=fd)
        with os.fdopen(opened, "rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
            if "security.capability" in os.listxattr(stream.fileno()):
                capability = os.getxattr(stream.fileno(), "security.capability")
    mode = 0o777 if kind == "symlink" else stat.S_IMODE(status.st_mode)
    return Seen(kind, mode, status.st_uid, status.st_gid, int(status.st_mtime_ns // 10**9), content, capability)


def link_groups(top: Path) -> set[frozenset[bytes]]:
    """Names that are one regular file, for each with several: a symlink with two names is copied as two symlinks."""
    groups: dict[tuple[int, int], set[bytes]] = {}
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for folder, _, files, fd in os.fwalk(b".", dir_fd=root):
        for name in files:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                continue
            groups.setdefault((status.st_dev, status.st_ino), set()).add(folder[2:] + b"/" + name)
    os.close(root)
    return {frozenset(names) for names in groups.values() if len(names) > 1}
