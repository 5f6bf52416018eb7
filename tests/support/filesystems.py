"""Small file systems for tests: in memory, by loop device, as overlays; mounted for as long as a `with` lasts.

Each is a few megabytes to a few hundred; sparse images lie in the test's own directory. What the kernel or the machine
lacks is a skip with its reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

_MAKERS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
    "vfat": ("mkfs.vfat",),
}
_SMALLEST = {"ext4": 1 * MIB, "xfs": 300 * MIB, "btrfs": 120 * MIB, "vfat": 1 * MIB}


def has_filesystem(kind: str) -> bool:
    """True when the kernel has it already (nothing is loaded)."""
    return kind in Path("/proc/filesystems").read_text().split()


@contextmanager
def mounted(place: Path, *arguments: str) -> Iterator[Path]:
    """`mount ARGUMENTS PLACE` for as long as the `with` lasts; skips where this machine may not mount that."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        # A process of a failed test may still have something open; the lazy way leaves no mount behind even then.
        if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode:
            subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def memory(place: Path, size_bytes: int, *, inodes: int | None = None) -> Iterator[Path]:
    """A tmpfs of that size."""
    options = f"size={size_bytes},mode=0700" + ("" if inodes is None else f",nr_inodes={inodes}")
    with mounted(place, "-t", "tmpfs", "-o", options, "tmpfs"):
        yield place


@contextmanager
def image(kind: str, place: Path, size_bytes: int, *, options: str = "") -> Iterator[Path]:
    """A new file system of that kind by loop device; its image is a sparse file beside `place`."""
    program, *arguments = _MAKERS[kind]
    if not has_filesystem(kind):
        pytest.skip(f"the kernel has no {kind}")
    if shutil.which(program, path=PATH) is None:
        pytest.skip(f"there is no {program}")
    file = place.with_name(place.name + ".img")
    with file.open("wb") as stream:
        stream.truncate(max(size_bytes, _SMALLEST[kind]))
    try:
        made = [program, *arguments, str(file)]
        subprocess.run(made, check=True, capture_output=True, env={**os.environ, "PATH": PATH})
        with mounted(place, "-o", ",".join(filter(None, ("loop", options))), "-t", kind, str(file)):
            yield place
    finally:
        file.unlink()


@contextmanager
def overlay(place: Path, *, over: Path | None = None) -> Iterator[Path]:
    """An overlay whose directories are beside `place`, as a container's root is one. over: what is seen below."""
    layers = place.with_name(place.name + ".layers")
    for name in ("lower", "upper", "work"):
        (layers / name).mkdir(parents=True)
    lower = layers / "lower" if over is None else over
    with mounted(place, "-t", "overlay", "-o", f"lowerdir={lower},upperdir={layers}/upper,workdir={layers}/work", "o"):
        yield place


@contextmanager
def fuse_overlay(place: Path) -> Iterator[Path]:
    """An overlay by fuse-overlayfs, as the root of a container of Podman's without root is one."""
    if shutil.which("fuse-overlayfs") is None or not os.path.exists("/dev/fuse"):
        pytest.skip("needs fuse-overlayfs and /dev/fuse")
    layers = place.with_name(place.name + ".layers")
    for name in ("lower", "upper", "work"):
        (layers / name).mkdir(parents=True)
    place.mkdir()
    options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
    subprocess.run(["fuse-overlayfs", "-o", options, str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """The directory, mounted on itself so that nothing in it can be written."""
    with mounted(directory, "--bind", "-o", "ro", str(directory)):
        yield


def fill(place: Path, leave_bytes: int) -> Path:
    """A file that takes all room of the file system but so many bytes; returns it."""
    ballast = place / "ballast"
    ballast.touch()
    facts = os.statvfs(place)
    size = facts.f_bavail * facts.f_frsize - leave_bytes
    if size > 0:
        fd = os.open(ballast, os.O_WRONLY)
        try:
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)
    return ballast


def used_bytes(place: Path) -> int:
    """Of the file system that the path is on."""
    facts = os.statvfs(place)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def used_inodes(place: Path) -> int:
    facts = os.statvfs(place)
    return facts.f_files - facts.f_ffree
