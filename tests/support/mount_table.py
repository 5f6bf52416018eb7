"""The host's mount table, as far as a test may hold it against itself: other tests run at the same time and mount too."""

from __future__ import annotations

from pathlib import Path

_SCRATCH = ("/tmp/", "/var/tmp/")


def mounts_but_of_others(own: Path) -> list[str]:
    """Lines of this process' mount table, without those below temporary directories that are not in `own`."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4]
        if not point.startswith(_SCRATCH) or point.startswith(f"{own}/"):
            found.append(line)
    return found
