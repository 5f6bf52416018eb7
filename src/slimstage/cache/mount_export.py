"""A cache directory → an index and packs, for a cache that travels.

The directory is read while its lock is held as a step would hold it. Of a shared one others may be writing meanwhile: a
file that changes under our hands is left out, so that what travels is always whole files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from slimstage.cache.artifact import MOUNT_INDEX, MOUNT_PACK
from slimstage.cache.mounts import MountEntry, Part, index_bytes, packs_of, pieces_of
from slimstage.oci.descriptor import Descriptor
from slimstage.store.blobs import Blobs
from slimstage.tree.compress import zstd_module
from slimstage.tree.paths import open_real
from slimstage.values import dataclass, replace

_ATTEMPTS = 5
_LEVEL = 3
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class PackedMount:
    """The blobs that stand for one directory; file_bytes: of all its files."""

    index: Descriptor
    packs: tuple[Descriptor, ...]
    file_bytes: int


class _Changed(Exception):
    """A file is not what it was when the directory was listed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def pack_mount(directory: str, blobs: Blobs, threads: int) -> PackedMount:
    """Puts index and packs of the directory into `blobs`. Raises StoreError, OSError."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    left_out: set[str] = set()
    try:
        for _ in range(_ATTEMPTS):
            entries, identities = _listed(root, left_out)
            try:
                return _packed(root, entries, identities, blobs, threads)
            except _Changed as changed:
                left_out.add(changed.path)
        # Whoever writes there is busy: only what nobody touched is of use, which is at least the directories.
        entries, identities = _listed(root, left_out)
        steady = [entry for entry in entries if entry.kind != "file" or _is_steady(root, entry, identities)]
        names = {entry.path for entry in steady}
        steady = [entry for entry in steady if entry.kind != "name" or entry.target in names]
        return _packed(root, steady, identities, blobs, 1)
    finally:
        os.close(root)


def _packed(
    root: int, entries: Sequence[MountEntry], identities: dict[str, os.stat_result], blobs: Blobs, threads: int
) -> PackedMount:
    from concurrent.futures import ThreadPoolExecutor  # only where a cache directory travels

    files = [(entry.path, entry.size) for entry in entries if entry.kind == "file"]
    packs = packs_of(files)

    def made(parts: Sequence[Part]) -> Descriptor:
        data = b"".join(_read(root, part, identities[part.path]) for part in parts)
        digest, size = blobs.put(_compressed(data))
        return Descriptor(MOUNT_PACK, digest, size)

    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="mount") as pool:
        descriptors = tuple(pool.map(made, packs))
    pieces = pieces_of(packs)
    index = index_bytes(replace(each, pieces=pieces.get(each.path, ())) for each in entries)
    digest, size = blobs.put(_compressed(index))
    return PackedMount(Descriptor(MOUNT_INDEX, digest, size), descriptors, sum(size for _, size in files))


def _compressed(data: bytes) -> bytes:
    compressed: bytes = zstd_module().compress(data, level=_LEVEL)
    return compressed


def _read(root: int, part: Part, listed: os.stat_result) -> bytes:
    try:
        fd = open_real(root, part.path, _READ)
    except OSError as cause:
        raise _Changed(part.path) from cause
    try:
        data = os.pread(fd, part.length, part.offset)
        while len(data) < part.length and (more := os.pread(fd, part.length - len(data), part.offset + len(data))):
            data += more
        if len(data) != part.length or _identity(os.fstat(fd)) != _identity(listed):
            raise _Changed(part.path)
        return data
    finally:
        os.close(fd)


def _is_steady(root: int, entry: MountEntry, identities: dict[str, os.stat_result]) -> bool:
    try:
        _read(root, Part(entry.path, 0, entry.size), identities[entry.path])
    except _Changed:
        return False
    return True


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _listed(root: int, left_out: set[str]) -> tuple[list[MountEntry], dict[str, os.stat_result]]:
    """(entries in order of their paths, directories before what they hold; what stat says of each file).

    Sockets, FIFOs and devices are left out, and so is what goes away meanwhile.
    """
    entries: list[MountEntry] = []
    identities: dict[str, os.stat_result] = {}
    first: dict[tuple[int, int], str] = {}
    for path, status, target in _walk(root):
        mode, uid, gid, mtime_ns = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns
        if stat.S_ISDIR(status.st_mode):
            entries.append(MountEntry(path, "dir", mode, uid, gid, mtime_ns))
        elif stat.S_ISLNK(status.st_mode):
            entries.append(MountEntry(path, "link", 0, uid, gid, mtime_ns, 0, target))
        elif stat.S_ISREG(status.st_mode) and path not in left_out:
            earlier = first.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else path
            if earlier != path:
                entries.append(MountEntry(path, "name", target=earlier))
                continue
            identities[path] = status
            entries.append(MountEntry(path, "file", mode, uid, gid, mtime_ns, status.st_size))
    return entries, identities


def _walk(root: int) -> Iterator[tuple[str, os.stat_result, str]]:
    pending = [""]
    while pending:
        above = pending.pop()
        try:
            fd = open_real(root, above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            below: list[str] = []
            for name in sorted(os.listdir(fd)):
                path = f"{above}/{name}" if above else name
                try:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
                except OSError:
                    continue
                yield path, status, target
                if stat.S_ISDIR(status.st_mode):
                    below.append(path)
            pending += reversed(below)
        finally:
            os.close(fd)
