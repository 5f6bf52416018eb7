"""Named contexts: what a value of `--build-context` is, and which of them a name means.

Source: buildx `--build-context`; BuildKit frontend/dockerui/namedcontext.go; dockerfile.md §1.8 and §4 (30).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import familiar
from slimstage.values import dataclass, field

SCRATCH = "scratch"
_IMAGES = ("docker-image://", "oci-layout://", "docker-archive:", "oci-archive:", "debian://")
_TARGET = "target:"
_NEVER = frozenset((SCRATCH, "context"))
"""Names that a context cannot take over."""


@dataclass(frozen=True, slots=True)
class StageSource:
    """Another stage of this file."""

    index: int


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image: its name, or the value of a named context that is one."""

    reference: str
    name: str = field(default="", compare=False)
    """What the Dockerfile calls it, where a named context gives the reference."""

    @property
    def shown(self) -> str:
        return self.name or self.reference


@dataclass(frozen=True, slots=True)
class LocalSource:
    """The files of a named context: a directory, or what a git or http URL gave."""

    name: str


@dataclass(frozen=True, slots=True)
class EmptySource:
    """`scratch`."""


@dataclass(frozen=True, slots=True)
class TargetSource:
    """`target:NAME`: a stage by name, wherever it stands in the file."""

    name: str


Source: TypeAlias = StageSource | ImageSource | LocalSource | EmptySource
ContextValue: TypeAlias = ImageSource | LocalSource | EmptySource | TargetSource


def classify(name: str, value: str) -> ContextValue:
    """What the value of a named context is."""
    if value.startswith(_TARGET):
        return TargetSource(value[len(_TARGET) :])
    if value == f"docker-image://{SCRATCH}":
        return EmptySource()
    return ImageSource(value) if value.startswith(_IMAGES) else LocalSource(name)


class NamedContexts:
    """The named contexts of a request, looked up the way BuildKit does."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._names = {_normal(name): name for name in values}

    def find(self, name: str, platform: Platform) -> ContextValue | None:
        """The context that stands in for a stage or image of that name; one for the platform wins."""
        if not self._names or name.lower() in _NEVER:
            return None
        plain = _short(name)
        for key in (f"{plain}::{platform}", plain):
            if key in self._names:
                given = self._names[key]
                found = classify(given, self._values[given])
                return ImageSource(found.reference, name) if isinstance(found, ImageSource) else found
        return None

    def names(self) -> Iterable[str]:
        return self._values


def _normal(key: str) -> str:
    name, colons, platform = key.partition("::")
    return _short(name) + colons + platform


def _short(name: str) -> str:
    """`docker.io/library/alpine:latest` is `alpine`."""
    return familiar(name).removesuffix(":latest")
