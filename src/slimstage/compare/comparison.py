"""A comparison of two images as values: what `compare` prints, a report shows, and a pull request is told.

All differences of bytes are new less old. Those of purposes, of owners and of layers each sum to that of the images: nothing
is left over, and nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from slimstage.analyze.analysis import AnalysedImage, OwnerKind
from slimstage.compare.pulling import PullCost
from slimstage.digest import Digest
from slimstage.values import dataclass

Sameness: TypeAlias = Literal["identical", "same-config", "same-files", "different"]
"""identical: one image ID. same-config: the same files and, but for history and times, the same config in another packing.
same-files: only the files are the same."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. size_bytes: of all files in all layers; seen_bytes: of those of its tree; files: of its tree."""

    image: AnalysedImage
    size_bytes: int
    seen_bytes: int
    compressed_bytes: int | None
    layers: int
    files: int


@dataclass(frozen=True, slots=True)
class PackageChange:
    """An owner whose files are others now. Of kind none and own: the files of nobody and of the user, without a version."""

    kind: OwnerKind
    name: str
    change: Literal["added", "removed", "upgraded", "downgraded", "resized"]
    old_version: str | None
    new_version: str | None
    old_bytes: int
    new_bytes: int

    @property
    def delta_bytes(self) -> int:
        return self.new_bytes - self.old_bytes


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer of either side. same: both have it, by its diff ID, in one packing; repacked: the same files, another blob.

    number: in the new image, of a removed one in the old. old_bytes, new_bytes: of its files, 0 where it is not.
    """

    change: Literal["same", "repacked", "added", "removed"]
    number: int
    diff_id: Digest | None
    old_bytes: int
    new_bytes: int
    compressed_bytes: int | None
    created_by: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path of the trees whose file is another now. attributes: the same content with other rights or owners."""

    path: str
    change: Literal["added", "removed", "content", "attributes"]
    old_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class FileChanges:
    """All of them, the largest difference first; links: symlinks that lead elsewhere, are new or are gone."""

    files: tuple[FileChange, ...] = ()
    links: int = 0

    def count(self, change: str) -> int:
        return sum(each.change == change for each in self.files)

    @property
    def are_none(self) -> bool:
        return not self.files and not self.links


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One thing of the config: `field` as Docker names it, `key` of a variable or label. None: it is not there."""

    field: str
    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """See the module. purposes: name → (old bytes, new bytes), the largest difference first; equal ones too.

    pull: what a host that has the old image fetches for the new one; None where that is not known.
    """

    old: Side
    new: Side
    sameness: Sameness
    purposes: Mapping[str, tuple[int, int]]
    packages: tuple[PackageChange, ...]
    layers: tuple[LayerChange, ...]
    files: FileChanges
    config: tuple[ConfigChange, ...]
    pull: PullCost | None = None

    @property
    def delta_bytes(self) -> int:
        return self.new.size_bytes - self.old.size_bytes
