"""The document of a report, as values: what the page shows and `report --json` prints.

`of_analysis.py` and `of_build.py` fill it, `document.py` writes it as JSON, `html.py` as a page. Text in it is as it was found,
undecodable bytes of file names as surrogates: whoever shows it makes it safe. All sizes are in bytes, uncompressed where
nothing else is said; times are seconds since the build began.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.values import dataclass

NOBODY, USER = -2, -3
"""Owners of files that are no package's: it is not known whose they are, or they are the user's own."""

NodeKind: TypeAlias = Literal["dir", "file", "rest"]
StepStatus: TypeAlias = Literal["run", "cached"]
StageStatus: TypeAlias = Literal["built", "cached", "skipped"]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The image in one view.

    size_bytes: of the files of its tree. hidden_bytes: of files in its layers that a higher layer hides.
    compressed_bytes: of all layers' blobs, None where a layer has none yet. system: the distribution's own name.
    """

    name: str
    id: str
    digest: str | None
    platform: str
    created: str | None
    system: str
    size_bytes: int
    hidden_bytes: int
    compressed_bytes: int | None
    files: int
    user: str = ""
    command: tuple[str, ...] = ()
    """Entrypoint and command."""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer, base first. hidden_bytes: of its files that are no longer part of the tree."""

    number: int
    diff_id: str
    size_bytes: int
    hidden_bytes: int
    compressed_bytes: int | None
    files: int
    created_by: str


@dataclass(frozen=True, slots=True)
class StageNode:
    """A stage of the Dockerfile, or an image that one stands on or copies from.

    size_bytes: of its whole tree; 0 of an image and of a stage that was skipped, for the reason `why`.
    """

    name: str
    kind: Literal["stage", "image"]
    line: int = 0
    status: StageStatus = "built"
    size_bytes: int = 0
    is_target: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class StageEdge:
    """What goes from one node to another, both positions in `Stages.nodes`.

    base: the target's FROM names the source; size_bytes is 0. copy: `COPY --from`, with what it takes and its line.
    """

    source: int
    target: int
    kind: Literal["base", "copy"]
    size_bytes: int = 0
    paths: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Stages:
    """Stages in the order of the Dockerfile, then images. stayed_behind_bytes: what the image did not get of them."""

    dockerfile: str
    nodes: tuple[StageNode, ...]
    edges: tuple[StageEdge, ...]
    stayed_behind_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A directory, a file, or the rest of a directory: files too small to be told one by one.

    parent: position in `FoldedTree.nodes`, -1 of the root. files: how many it stands for; 0 of a part of a file, whose name
    says so. purpose, owner: positions in `Report.purposes` and `Report.packages`; -1: of a directory, or of several; the
    owner also `NOBODY` or `USER`.
    """

    name: str
    parent: int
    size_bytes: int
    files: int
    kind: NodeKind
    purpose: int = -1
    owner: int = -1


@dataclass(frozen=True, slots=True)
class FoldedTree:
    """Parents before children; the root, whose name is "", is first. A directory's bytes are the sum of its children's."""

    nodes: tuple[TreeNode, ...]


@dataclass(frozen=True, slots=True)
class PurposeRow:
    """size_bytes: of the tree's files that serve it."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A package. size_bytes: of its files in the tree. needed_by: names of what requires it. layer: -1 where not known."""

    kind: str
    name: str
    version: str
    size_bytes: int
    files: int
    layer: int = -1
    needed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FindingRow:
    """Something to mend. about: what was looked at. saving_bytes: None where it is not known.

    message: one sentence, lower case. fix: lines to show as code, as a change (`-`, `+`) or as the new text; "" for none.
    """

    code: str
    about: Literal["image", "Dockerfile"]
    severity: Literal["error", "warning", "info"]
    message: str
    saving_bytes: int | None = None
    hint: str = ""
    fix: str = ""
    paths: tuple[str, ...] = ()
    path_count: int = 0
    layer: int = -1
    line: int = 0


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step. stage: position in `Stages.nodes`, -1 where it is not known; end_s equals start_s for a cached one.

    source: the cache of another machine that had it. why: what made it run. log: its last lines.
    """

    stage: int
    stage_name: str
    line: int
    title: str
    status: StepStatus
    start_s: float = 0.0
    end_s: float = 0.0
    layer_bytes: int = 0
    source: str = ""
    why: str = ""
    log: tuple[str, ...] = ()
    log_count: int = 0
    """Of all lines that it printed."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a build did. is_remembered: of the build that made the image, some time ago; False: of this one.

    ran, cached: how many steps; of very many, `steps` has those that took longest.
    """

    steps: tuple[StepRow, ...]
    duration_s: float
    ran: int
    cached: int
    is_remembered: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Something in two images. old_bytes, new_bytes: None where it is not there. detail: versions, for packages."""

    name: str
    old_bytes: int | None
    new_bytes: int | None
    kind: str = ""
    detail: str = ""

    @property
    def delta_bytes(self) -> int:
        return (self.new_bytes or 0) - (self.old_bytes or 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The image beside an older one. Each list has the largest changes first.

    pull_bytes: of the layers that somebody who has the old image still has to fetch, compressed where all are known to be
    (`pull_is_compressed`). shared_layers, new_layers: how many. Counts are of all changes, whatever the lists hold.
    """

    old: ImageFacts
    pull_bytes: int
    pull_is_compressed: bool
    shared_layers: int
    new_layers: int
    purposes: tuple[Change, ...]
    packages: tuple[Change, ...]
    files: tuple[Change, ...]
    package_count: int
    file_count: int


@dataclass(frozen=True, slots=True)
class Report:
    """All of one report. tree: of the final image. stages, timeline: None where nothing is known of the build."""

    title: str
    image: ImageFacts
    layers: tuple[LayerRow, ...]
    tree: FoldedTree
    purposes: tuple[PurposeRow, ...]
    packages: tuple[PackageRow, ...]
    findings: tuple[FindingRow, ...] = ()
    stages: Stages | None = None
    timeline: Timeline | None = None
    comparison: Comparison | None = None
    faults: tuple[str, ...] = ()
    """What could not be read, one sentence each."""
    version: str = ""
    """Of the slimstage that made it."""
