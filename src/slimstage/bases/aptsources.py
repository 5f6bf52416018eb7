"""Which mirrors and keys this host's apt uses for a Debian suite: mmdebstrap shall use the same.

`apt-get indextargets` tells what the sources amount to, in every form they are written in. Where package lists were
never fetched (a fresh container) it does not know who signs what; then a repository counts whose path is Debian's.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Iterable, Sequence

from slimstage.values import dataclass

_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
_DEBIAN_PATHS = ("debian", "debian-security", "debian-archive")
_SIGNED_BY = re.compile(r"signed-by\s*[=:]\s*([^\s\]]+)", re.IGNORECASE)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TRUSTED_PARTS = "/etc/apt/trusted.gpg.d"
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class AptSources:
    """lines: `deb URI SUITE COMPONENTS`; () leaves the choice to mmdebstrap. keyring: None likewise."""

    lines: tuple[str, ...] = ()
    keyring: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """One package index that apt knows. `origin` is empty while its lists were not fetched."""

    uri: str
    release: str
    component: str
    origin: str

    @property
    def is_debian(self) -> bool:
        if self.origin:
            return self.origin == "Debian"
        return self.uri.rpartition("/")[2] in _DEBIAN_PATHS


def sources_of(suite: str, components: Sequence[str]) -> AptSources:
    """The suite with its updates and security fixes, from the host's own sources; empty when it has none of Debian."""
    lines = choose(parse_targets(_indextargets()), suite, components)
    return AptSources(lines, _keyring() if lines else None)


def choose(targets: Iterable[Target], suite: str, components: Sequence[str]) -> tuple[str, ...]:
    """`deb` lines for the suite. A host of another release has a mirror that knows the suite as well: it is used for it."""
    debian = [target for target in targets if target.is_debian]
    wanted = (suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates")
    found = [(target.uri, target.release) for target in debian if target.release in wanted]
    if not any(release == suite for _, release in found):
        main = [t.uri for t in debian if "-" not in t.release and "/" not in t.release]
        found = [(main[0], suite), *found] if main else []
    return tuple(f"deb {uri} {release} {' '.join(components)}" for uri, release in dict.fromkeys(found))


def parse_targets(lines: Iterable[str]) -> list[Target]:
    """What `apt-get indextargets` printed in our format; unknown fields stay as `$(NAME)` and count as empty."""
    found = []
    for line in lines:
        uri, release, component, origin = (*line.strip().split(" ", 3), "", "", "", "")[:4]
        if "://" in uri and release:
            found.append(Target(uri.rstrip("/"), release, component, "" if origin.startswith("$(") else origin.strip()))
    return found


def _indextargets() -> list[str]:
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines()


def _keyring() -> str | None:
    """A file of keys to be trusted; None where the host's general directory holds some, which mmdebstrap uses itself."""
    if any(name.endswith((".gpg", ".asc")) for name in _names(_TRUSTED_PARTS)):
        return None
    named = []
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                named += signed_by(file.read(1 << 20))
        except OSError:
            continue
    return next((path for path in [*named, _KEYRING] if "debian" in path and os.path.isfile(path)), None)


def signed_by(text: str) -> list[str]:
    """Absolute paths of keyrings that a sources file names, in either of its forms."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    paths = [path for line in lines for match in _SIGNED_BY.finditer(line) for path in match[1].split(",")]
    return [path for path in paths if path.startswith("/")]


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
