"""The graph of a build: frozen steps, their inputs, the stages they belong to.

`lower.py` makes it, `build/` runs it. Every value here is plain data (strings, numbers, tuples), so a step can be
digested for its key and sent to another machine. Nothing in it depends on time, disk or the order of finishing.
"""

from __future__ import annotations

from itertools import groupby
from typing import Literal, TypeAlias

from slimstage.dockerfile.instructions import Heredoc
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.values import dataclass, field

StepId: TypeAlias = str
"""`s<stage>.<ordinal>` (`s0.0` is the stage's base); unique in a graph."""


# Where files come from -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromStep:
    """The file tree after another step: another stage's last step, or a base image taken for its files."""

    step: StepId


@dataclass(frozen=True, slots=True)
class FromContext:
    """A local directory: the build context (`""`) or a named one."""

    name: str


FileSource: TypeAlias = FromStep | FromContext


# Steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have. `parent` None: an empty tree."""

    id: StepId
    stage: int
    parent: StepId | None
    line: int
    end_line: int
    title: str
    """The instruction as shown to people, variables expanded, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseStep(Step):
    """The tree of a base image. `digest` names it: the chain ID of its layers (of an image without any, the config's)."""

    reference: str
    digest: str
    platform: str


@dataclass(frozen=True, slots=True)
class Url:
    url: str
    checksum: str | None = None
    """`sha256:…` when the author pinned it."""
    unpack: bool = False


@dataclass(frozen=True, slots=True)
class Git:
    """A repository; `ref` None: the remote's default branch. `remote` may hold credentials: never shown or stored."""

    remote: str
    ref: str | None = None
    subdir: str | None = None
    checksum: str | None = None
    keep_git_dir: bool = False
    submodules: bool = True
    mtime: Literal["checkout", "commit"] = "checkout"
    """Whether files are as old as the checkout or as the commit."""
    fetches_by_commit: bool = False
    """Fetch the checksum itself; `ref` is then only a name for it."""


SourceKind: TypeAlias = Literal["path", "url", "git"]
SourcePart: TypeAlias = tuple[str, ...] | Url | Git
"""What is brought at once: neighbouring paths, one download, one repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyStep(Step):
    """COPY or ADD. Destination is absolute (WORKDIR joined), keeps a trailing slash; `.`-endings keep one as well.

    Copied in the order of `parts_of`, then the `inline` heredocs: of two files with one name the last one stays.
    """

    source: FileSource
    paths: tuple[str, ...]
    """Cleaned source patterns, relative to the source's root, no leading or trailing slash; the root itself is `.`.

    With `keeps_parents` one may hold a pivot `/./`: what stands behind it is kept.
    """
    destination: str
    inline: tuple[Heredoc, ...] = ()
    """Bodies already expanded."""
    urls: tuple[Url, ...] = ()
    gits: tuple[Git, ...] = ()
    order: tuple[SourceKind, ...] = ()
    """The kind of each source as the line has them; () when that is paths, then URLs, then repositories."""
    chown: str | None = None
    chmod: str | None = None
    is_link: bool = False
    keeps_parents: bool = False
    exclude: tuple[str, ...] = ()
    unpack: Literal["auto", "never"] = "never"
    """ADD of local archives is "auto"; COPY is "never"."""
    from_is_stage: bool = False
    """True when files come from a stage or image: owners are preserved; from a context they become 0:0."""


@dataclass(frozen=True, slots=True)
class BindMount:
    target: str
    source: FileSource
    path: str = "/"
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class CacheMount:
    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    source: FileSource | None = None
    path: str = "/"
    is_readonly: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    target: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SecretMount:
    """`target` None: environment only. `env` None: file only."""

    id: str
    target: str | None
    env: str | None = None
    is_required: bool = False
    mode: int = 0o400
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class SshMount:
    id: str
    target: str | None
    is_required: bool = False
    mode: int = 0o600
    uid: int = 0
    gid: int = 0
    written: str | None = None
    """The target as SSH_AUTH_SOCK says it, where that is another text: relative, or not cleaned."""


RunMount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep(Step):
    """One command. `env` is in order: image ENV with PATH, in-scope ARGs; proxy variables are in `proxy_env`.

    `script`: text of a heredoc that begins with `#!`; it is put into the sandbox as an executable file and
    `argv` names it (see `SCRIPT_PATH`).
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    mounts: tuple[RunMount, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    security: Literal["sandbox", "insecure"] = "sandbox"
    proxy_env: tuple[tuple[str, str], ...] = ()
    """Not in the key, unless declared with ARG (then they are in `env` too)."""
    script: str | None = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkdirStep(Step):
    """Makes the directory (0755, owned by `user`) where it is not there; an existing one is left alone."""

    path: str
    user: str


AnyStep: TypeAlias = BaseStep | CopyStep | RunStep | WorkdirStep


# Stages and graph ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StageHistory:
    """A history entry in waiting: `step` names the layer's step, None for an empty layer. `created` is set at assembly."""

    created_by: str
    step: StepId | None
    comment: str = "slimstage"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One needed stage: its steps in order, and the config and history of the image that it gives."""

    index: int
    name: str
    """As shown: the stage's name or `stage-N`."""
    base: StepId | None
    """The BaseStep, or the last step of the parent stage; None for scratch."""
    steps: tuple[StepId, ...]
    """Own steps only, without the base."""
    last: StepId | None
    """Whose tree is the stage's result."""
    config: ImageConfig
    """Complete but for diff IDs, history and created."""
    base_history: tuple[HistoryEntry, ...]
    base_layers: int
    """How many layers the base *image* brings (through parent stages too)."""
    history: tuple[StageHistory, ...]
    """Of this stage and of the parent stages it stands on, without the base image's own."""
    line: int = 0
    needs: tuple[int, ...] = ()
    """Indexes of the stages that this one reads from (FROM, COPY --from, mounts)."""
    platform: str = ""
    """That its RUN steps run on."""
    crosses_to: str = ""
    """Where it uses TARGET arguments of another platform: that one, without the operating system if that is the same."""


@dataclass(frozen=True, slots=True)
class SkippedStage:
    index: int
    name: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Graph:
    """All that the target needs, and a word about what it does not."""

    steps: dict[StepId, AnyStep]
    """In an order where inputs come first."""
    stages: tuple[StagePlan, ...]
    """Needed ones, in file order."""
    target: int
    """Index of the target stage."""
    skipped: tuple[SkippedStage, ...] = ()
    contexts: tuple[str, ...] = ()
    """Names of the local contexts that some step reads; "" is the build context."""
    warnings: tuple[str, ...] = field(default=())
    source_date_epoch_s: int | None = None
    """Of `SOURCE_DATE_EPOCH` as build argument or global ARG, when it is a number."""
    targets: tuple[tuple[str, int], ...] = ()
    """Of the joined graph of several platforms: each platform and the index of its target stage."""
    epoch_source: Url | Git | FromContext | None = None
    """What gives the epoch where it is not a number: a download, a commit, a context."""

    def stage(self, index: int) -> StagePlan:
        return next(stage for stage in self.stages if stage.index == index)

    def target_steps(self) -> tuple[StepId, ...]:
        """The last step of each target that is not empty, each once."""
        indexes = [index for _, index in self.targets] or [self.target]
        return tuple(dict.fromkeys(last for index in indexes if (last := self.stage(index).last)))

    def inputs(self, step: StepId) -> tuple[StepId, ...]:
        """The steps that must be there before this one, parent first."""
        return inputs_of(self.steps[step])


def parts_of(step: CopyStep) -> list[SourcePart]:
    """The sources of a COPY or ADD in order, without heredocs; paths that stand together are one part."""
    order = step.order or ("path",) * len(step.paths) + ("url",) * len(step.urls) + ("git",) * len(step.gits)
    paths, urls, gits = iter(step.paths), iter(step.urls), iter(step.gits)
    found: list[SourcePart] = []
    for kind, group in groupby(order):
        if kind == "path":
            found.append(tuple(next(paths) for _ in group))
        else:
            found += [next(urls) if kind == "url" else next(gits) for _ in group]
    return found


SCRIPT_PATH = "/dev/pipes/EOF"
"""Where a `#!` heredoc stands while its step runs, as in BuildKit."""


def inputs_of(step: AnyStep) -> tuple[StepId, ...]:
    """Parent first, then what it copies or mounts from; no repetition."""
    found = [step.parent] if step.parent else []
    if isinstance(step, CopyStep):
        found += [step.source.step] if isinstance(step.source, FromStep) else []
    elif isinstance(step, RunStep):
        for mount in step.mounts:
            if isinstance(mount, BindMount | CacheMount) and isinstance(mount.source, FromStep):
                found.append(mount.source.step)
    return tuple(dict.fromkeys(found))
