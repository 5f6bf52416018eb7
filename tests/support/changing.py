"""What may happen to a file between two looks at it."""

from __future__ import annotations

import os
from pathlib import Path


def grow(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("more")


def become_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def be_rewritten_with_its_old_time(path: Path) -> None:
    """Another content of the same size and time."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
