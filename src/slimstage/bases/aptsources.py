"""Which mirrors and keys this host's apt uses for a Debian suite: mmdebstrap shall use the same.

`apt-get indextargets` tells what the sources amount to and who publishes what, but only where package lists were
fetched. Where they were not (a fresh container), the files of sources are read, and a repository counts whose path is
Debian's. Source: sources.list(5).
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Iterable, Sequence

from slimstage.regex import pattern
from slimstage.values import dataclass

_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
_DEBIAN_PATHS = ("debian", "debian-security", "debian-archive")
_ONE_LINE = pattern(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+\s+[^\s#]+\s+[^#]+)")
_SIGNED_BY = pattern(r"signed-by\s*[=:]\s*([^\s\]]+)", re.IGNORECASE)
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
    targets = [target for target in parse_targets(_indextargets()) if target.is_debian]
    if not targets:
        targets = [target for text in _source_files() for target in parse_sources(text)]
    lines = choose(targets, suite, components)
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
        uri = uri.rstrip("/")
        if "://" in uri and release:
            found.append(Target(uri, release, component, "" if origin.startswith("$(") else origin.strip()))
    return found


def parse_sources(text: str) -> list[Target]:
    """The package repositories of one file of sources, in either of its forms; what is switched off is left out."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line)
        if match:
            uri, release, *components = match[1].split()
            found += [Target(uri.rstrip("/"), release, component, "") for component in components]
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields.get(name, []).extend(line.split())
                continue
            name, _, value = line.partition(":")
            name = name.lower()
            fields[name] = value.split()
        if "deb" not in fields.get("types", ()) or fields.get("enabled", ["yes"])[:1] in (["no"], ["false"], ["0"]):
            continue
        found += [
            Target(uri.rstrip("/"), release, component, "")
            for uri in fields.get("uris", ())
            for release in fields.get("suites", ())
            for component in fields.get("components", ())
        ]
    return [target for target in found if "://" in target.uri]


def _source_files() -> list[str]:
    """The texts of this host's files of sources."""
    paths = ["/etc/apt/sources.list"]
    for kind in ("*.list", "*.sources"):
        paths += sorted(glob.glob(f"/etc/apt/sources.list.d/{kind}"))
    texts = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                texts.append(file.read(1 << 20))
        except OSError:
            continue
    return texts


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
    named = [path for text in _source_files() for path in signed_by(text)]
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
