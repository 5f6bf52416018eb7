"""Which mirrors this host's apt uses for a Debian suite: mmdebstrap shall use the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence


def sources_of(suite: str, components: Sequence[str]) -> list[str]:
    """`deb` lines for the suite with its updates and security fixes, from the host's own sources; [] when it has none.

    A host of another Debian release has a mirror that knows the suite as well: its main source is used for it.
    """
    targets = _targets()
    wanted = (suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates")
    lines = [
        _line(uri, release, components) for uri, release, origin in targets if origin == "Debian" and release in wanted
    ]
    if lines:
        return list(dict.fromkeys(lines))
    others = [
        uri for uri, release, origin in targets if origin == "Debian" and "-" not in release and "/" not in release
    ]
    return [_line(others[0], suite, components)] if others else []


def _targets() -> list[tuple[str, str, str]]:
    """(repository, suite as it is named in the sources, origin) of every package index, in the order of the sources."""
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return list(_parsed(done.stdout.splitlines()))


def _parsed(lines: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    for line in lines:
        uri, _, rest = line.partition(" ")
        release, _, origin = rest.partition(" ")
        if uri and release:
            yield uri.rstrip("/"), release, origin.strip()


def _line(uri: str, suite: str, components: Sequence[str]) -> str:
    return f"deb {uri} {suite} {' '.join(components)}"
