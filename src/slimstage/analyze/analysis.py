"""A whole analysis as values: what `analyze`, `compare`, reports and explorers read.

The bytes of an image, `size_bytes`, are those of the content of all regular files in all of its layers, whether a higher layer
hides them or not; names of one file in a layer (hard links) count once, at the first of them that is seen. Directories,
symlinks and what tars and compression add count nothing. Every attribution here sums to exactly that: layers, owners,
purposes, and the files themselves.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from slimstage.digest import Digest
from slimstage.values import dataclass, field

if TYPE_CHECKING:
    from slimstage.analyze.inventory import System

OwnerKind: TypeAlias = Literal["none", "own", "debian", "alpine", "rpm", "python", "conda", "npm"]
"""own: the user's files, copied in or written outside of the system's directories. none: nobody says whose they are."""

State: TypeAlias = Literal["seen", "overwritten", "deleted"]
"""seen: part of the image's tree. The others are stored and hidden: by another file of the same name, or by a deletion."""

NOBODY, USER = 0, 1
"""The first two owners of every analysis: none, and the user."""

_STATES: tuple[State, ...] = ("seen", "overwritten", "deleted")


@dataclass(frozen=True, slots=True)
class AnalysedFile:
    """One regular file of one layer.

    size_bytes: 0 at the further names of a hard-linked file. owner: position in `Analysis.owners`. is_listed: the owner's
    own list names it; False where it was found to be the owner's by where it lies. hidden_by: number of the layer that
    hides it, -1 when it is seen. is_link: a further name of a file that is counted elsewhere.
    """

    path: str
    size_bytes: int
    layer: int
    purpose: str
    owner: int
    state: State
    hidden_by: int
    is_listed: bool
    is_link: bool
    mode: int
    uid: int
    gid: int


class FileTable(Sequence[AnalysedFile]):
    """The files of an image in columns, some 150 bytes a file; each is made into a value when it is looked at.

    Ordered by layer, then as the layer has them. Filled once, by whoever makes the analysis.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.sizes = array("q")
        self.layers = array("H")
        self.purposes = array("B")
        self.owners = array("I")
        self.states = array("B")
        self.hidden_by = array("h")
        self.flags = array("B")
        self.modes = array("H")
        self.uids = array("I")
        self.gids = array("I")
        self.purpose_names: list[str] = []

    def add(self, path: str, size_bytes: int, layer: int, modes: tuple[int, int, int] = (0o644, 0, 0)) -> int:
        """A seen file of nobody, without a purpose; its position. modes: permission bits, uid, gid."""
        self.paths.append(path)
        self.sizes.append(size_bytes)
        self.layers.append(layer)
        self.purposes.append(0)
        self.owners.append(NOBODY)
        self.states.append(0)
        self.hidden_by.append(-1)
        self.flags.append(0)
        self.modes.append(modes[0] & 0o7777)
        self.uids.append(modes[1])
        self.gids.append(modes[2])
        return len(self.paths) - 1

    def hide(self, position: int, state: State, by: int) -> None:
        """Notes what hides it."""
        self.states[position], self.hidden_by[position] = _STATES.index(state), by

    def link(self, position: int) -> None:
        """Notes that it is a further name: its bytes are counted elsewhere."""
        self.sizes[position] = 0
        self.flags[position] |= 2

    def drop(self, position: int) -> None:
        """Notes that its layer itself says the name again: what it was before is stored nowhere."""
        self.link(position)
        self.hide(position, "overwritten", self.layers[position])

    def own(self, position: int, owner: int, *, is_listed: bool) -> None:
        self.owners[position] = owner
        self.flags[position] = self.flags[position] & ~1 | is_listed

    def purpose(self, position: int, name: str) -> None:
        if name not in self.purpose_names:
            self.purpose_names.append(name)
        self.purposes[position] = self.purpose_names.index(name)

    def is_seen(self, position: int) -> bool:
        return self.states[position] == 0

    def purpose_of(self, position: int) -> str:
        return self.purpose_names[self.purposes[position]] if self.purpose_names else ""

    def seen(self) -> Iterator[int]:
        """Positions of the files of the image's tree, further names too."""
        return (position for position, state in enumerate(self.states) if state == 0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> AnalysedFile:  # type: ignore[override]  # slices of an image's files are not needed
        flags = self.flags[position]
        return AnalysedFile(
            self.paths[position],
            self.sizes[position],
            self.layers[position],
            self.purpose_of(position),
            self.owners[position],
            _STATES[self.states[position]],
            self.hidden_by[position],
            bool(flags & 1),
            bool(flags & 2),
            self.modes[position],
            self.uids[position],
            self.gids[position],
        )

    def __iter__(self) -> Iterator[AnalysedFile]:
        return (self[position] for position in range(len(self.paths)))


@dataclass(frozen=True, slots=True)
class AnalysedImage:
    """name: as the user called it. id: digest of the config. digest: of the manifest, None where there is none."""

    name: str
    id: Digest
    digest: Digest | None
    platform: str
    created: str | None = None


@dataclass(frozen=True, slots=True)
class AnalysedLayer:
    """One layer. size_bytes: of its files; seen_bytes: of those that are part of the image's tree.

    created_by: the instruction as the history has it. stage, line: of the Dockerfile, where they are known.
    """

    number: int
    diff_id: Digest | None
    digest: Digest | None
    size_bytes: int
    seen_bytes: int
    compressed_bytes: int | None
    files: int
    created_by: str = ""
    stage: str | None = None
    line: int | None = None

    @property
    def ratio(self) -> float | None:
        """Compressed bytes for each byte of its files; None where it is not known."""
        return None if self.compressed_bytes is None or not self.size_bytes else self.compressed_bytes / self.size_bytes


@dataclass(frozen=True, slots=True)
class OwnedPackage:
    """An owner: a package with all that is its own, or one of the two that stand for no package (kind none and own).

    size_bytes: of all its files; hidden_bytes: of those that no longer are part of the tree. unlisted_bytes: of those that
    its own list does not name. layer: the number of the one that its list came with. requires: names, as they are compared
    in its kind, of what it needs and is there. needed_by: names of what needs it; empty: asked for by the user, or by
    nobody. is_removed: only a lower layer knows it.
    """

    kind: OwnerKind
    name: str = ""
    version: str = ""
    directory: str = ""
    layer: int = -1
    size_bytes: int = 0
    hidden_bytes: int = 0
    unlisted_bytes: int = 0
    files: int = 0
    requires: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    is_requested: bool = False
    is_essential: bool = False
    is_removed: bool = False

    @property
    def is_package(self) -> bool:
        return self.kind not in ("none", "own")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Files of the tree with one content that is stored several times: the first path, then those that are too much."""

    size_bytes: int
    paths: tuple[str, ...]

    @property
    def saving_bytes(self) -> int:
        return self.size_bytes * (len(self.paths) - 1)


@dataclass(frozen=True, slots=True)
class Waste:
    """overwritten_bytes, deleted_bytes: stored and hidden. duplicate_bytes: stored once too often in the tree itself.

    efficiency, dive_wasted_bytes: as dive counts them (see efficiency.py): 1.0 is no waste.
    """

    overwritten_bytes: int = 0
    deleted_bytes: int = 0
    duplicate_bytes: int = 0
    efficiency: float = 1.0
    dive_wasted_bytes: int = 0

    @property
    def hidden_bytes(self) -> int:
        return self.overwritten_bytes + self.deleted_bytes


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A model's file by its header. parameters, dtypes: None and empty where the header does not say.

    tensors: how many arrays. classes: what loading it imports, as `module.name`. external: files beside it with more of it.
    metadata: what the file says in words.
    """

    path: str
    format: str
    size_bytes: int
    parameters: int | None = None
    dtypes: Mapping[str, int] = field(default_factory=dict)
    tensors: int = 0
    classes: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """What of Python is reachable. entries: what was started from, as paths or module names; empty: no entry is known.

    reached: how many modules an import leads to. unreachable: names of installed packages that no import from the entries
    and no requirement of a reachable package leads to. dynamic: places whose imports cannot be known by reading. is_exact: by
    syntax trees; False: by lines. optional: of the reachable ones those that only optional imports, or imports in functions,
    lead to.
    """

    entries: tuple[str, ...] = ()
    reached: int = 0
    reachable: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    dynamic: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    is_exact: bool = False
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnalysisFinding:
    """Bytes that need not be there. code: kebab case, stable (docs/analyze.md lists all).

    saving_bytes: what mending it saves, uncompressed; compressed_saving_bytes: estimated by how the layers concerned
    compress, None where that is not known. reason: one sentence, lower case, no full stop. layer: the number of the one that
    causes it, -1 where several do; line: of its instruction in the Dockerfile. paths: the largest first, at most
    `MOST_PATHS`; path_count: of all. hint: how to mend it.
    """

    code: str
    saving_bytes: int
    reason: str
    hint: str
    paths: tuple[str, ...] = ()
    path_count: int = 0
    layer: int = -1
    line: int | None = None
    compressed_saving_bytes: int | None = None


MOST_PATHS = 20
"""Of one finding: the rest is a number."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """See the module. size_bytes: the sum of everything, hidden bytes included. compressed_bytes: of all blobs, None where
    a layer has none. owners: NOBODY and USER first, then packages by kind and name. purposes: bytes by purpose, the
    largest first. parts: (purpose, bytes) of a file that have another purpose than the rest of it, by its position in `files`.
    cuda: bytes of device code by GPU architecture. symlinks: of the tree, path → target as written.
    faults: what could not be read, one sentence each.
    """

    image: AnalysedImage
    system: System
    size_bytes: int
    seen_bytes: int
    compressed_bytes: int | None
    layers: tuple[AnalysedLayer, ...]
    files: FileTable = field(repr=False)
    owners: tuple[OwnedPackage, ...]
    purposes: Mapping[str, int]
    parts: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    waste: Waste = field(default_factory=Waste)
    duplicates: tuple[Duplicate, ...] = ()
    weights: tuple[WeightsFile, ...] = ()
    cuda: Mapping[str, int] = field(default_factory=dict)
    python: PythonFacts = field(default_factory=PythonFacts)
    findings: tuple[AnalysisFinding, ...] = ()
    symlinks: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[OwnedPackage, ...]:
        """The owners that are packages."""
        return self.owners[USER + 1 :]

    def by_directory(self, depth: int = 2, *, seen_only: bool = False) -> dict[str, int]:
        """Bytes below each directory of at most that depth, "" for the root itself: each file counts in all above it."""
        found: dict[str, int] = {"": 0}
        files = self.files
        for position, path in enumerate(files.paths):
            size = files.sizes[position]
            if not size or (seen_only and files.states[position]):
                continue
            found[""] += size
            at = -1
            for _ in range(depth):
                at = path.find("/", at + 1)
                if at < 0:
                    break
                directory = path[:at]
                found[directory] = found.get(directory, 0) + size
        return found

    def by_type(self) -> dict[str, int]:
        """Bytes by the ending of the file's name in lower case, "" for names without one."""
        found: dict[str, int] = {}
        for path, size in zip(self.files.paths, self.files.sizes, strict=True):
            ending = type_of(path)
            found[ending] = found.get(ending, 0) + size
        return found

    def largest(self, count: int = 20) -> list[AnalysedFile]:
        """The largest files of all layers, the largest first."""
        from heapq import nsmallest

        files = self.files
        order = nsmallest(
            count, range(len(files)), key=lambda each: (-files.sizes[each], files.paths[each], files.layers[each])
        )
        return [files[position] for position in order]


def type_of(path: str) -> str:
    """The ending that says what a file is: `.py`, `.so` for `libx.so.1.2` too; "" for none."""
    name = path.rpartition("/")[2].lower()
    if ".so." in name and name.rpartition(".so.")[2].replace(".", "").isdigit():
        return ".so"
    stem, dot, ending = name.rpartition(".")
    says = dot and stem and len(ending) <= 12 and ending.isalnum() and not ending.isdigit()
    return f".{ending}" if says else ""
