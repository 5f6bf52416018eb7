"""What rules look at: one Dockerfile under one request, its stages tied together, and what is known around it.

Everything costly is asked for by a method and made once: shell text is parsed for the first rule that wants it, the context
is walked for the first that wants sizes. Pure but for the `ContextView` that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from slimstage.dockerfile.instructions import Copy, Dockerfile, Instruction, Run, Stage
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.context.patterns import Pattern
    from slimstage.dockerfile.syntax import Node
    from slimstage.lint.commands.command import Command
    from slimstage.lint.shell.script import Script


Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class ContextFile:
    """A regular file of the context: its path with `/`, its size, and whether the ignore file keeps it out."""

    path: str
    size_bytes: int
    is_ignored: bool


class ContextView(Protocol):
    """The build context as rules see it. Bounded: it never reads more than it says."""

    def files(self) -> Sequence[ContextFile]:
        """All regular files, ignored ones too, sorted by path; an ignored directory of very many files may be one entry
        whose path ends in `/` and whose size is its whole. Walked once.
        """
        ...

    def read(self, path: str, limit_bytes: int = 1 << 20) -> str | None:
        """A small text file (UTF-8, wrong bytes replaced); None: not there, ignored, too large, or no regular file."""
        ...


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image that a FROM names, as far as its name tells. tag: None when none is written; digest likewise.

    name: familiar and without tag (`python`, `nvidia/cuda`, `ghcr.io/org/app`); "scratch" for nothing.
    has_scheme: `debian://`, `oci-layout://` and the like, whose name says nothing else.
    """

    name: str
    tag: str | None = None
    digest: str | None = None
    has_scheme: bool = False


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the config of a base image says, where somebody has it. env: names and values."""

    platform: Platform
    env: Mapping[str, str]
    has_shell: bool = False


class StageView:
    """A stage with what it stands on and who reads it. Compared by identity."""

    __slots__ = ("base", "is_final", "is_needed", "parent", "platform", "readers", "stage", "triggers")

    def __init__(self, stage: Stage, parent: StageView | None, base: BaseImage | None) -> None:
        self.stage = stage
        self.parent = parent
        """The stage that FROM names; None when it names an image."""
        self.base = base
        """The image that FROM names, variables expanded; None when it names a stage or the name cannot be known."""
        self.is_final = False
        """True of the stage that is built: the target, or the last."""
        self.is_needed = False
        """True when the final stage needs it, or it is the final stage."""
        self.platform: str | None = None
        """FROM's `--platform` with variables expanded."""
        self.readers: list[tuple[StageView, Instruction]] = []
        """Who reads it, in the order of the file: each stage with its FROM, COPY or RUN (a mount)."""
        self.triggers: tuple[Instruction, ...] = ()
        """What ONBUILD of the stage it stands on puts in front of its instructions; their place is the FROM's."""

    @property
    def name(self) -> str:
        """The name in lower case, or `stage-N`."""
        return self.stage.shown_name

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        return self.stage.instructions

    def chain(self) -> Iterator[StageView]:
        """Itself, the stage it stands on, and so on down to the one that stands on an image."""
        view: StageView | None = self
        while view is not None:
            yield view
            view = view.parent

    def root(self) -> BaseImage | None:
        """The image that the whole chain stands on."""
        *_, last = self.chain()
        return last.base


@dataclass(frozen=True, slots=True)
class Seen:
    """What an instruction sees. values: those that are known. names: all that have a value. declared: the names of ARG."""

    values: Mapping[str, str]
    names: frozenset[str] = frozenset()
    declared: frozenset[str] = frozenset()


class Subject(Protocol):
    """One Dockerfile and its surroundings; `lint/reading.py` makes it."""

    dockerfile: Dockerfile
    request: PlanRequest
    stages: tuple[StageView, ...]
    """All of the file, in order; also those nobody needs."""
    final: StageView
    shared: Mapping[str, str]
    """What FROM lines see: the arguments in front of the first FROM, and the automatic ones."""
    ignore: tuple[Pattern, ...] | None
    """The patterns of the ignore file; None when there is none or nobody looked."""
    ignore_name: str
    """`.dockerignore`, or `NAME.dockerignore` where that is the one."""
    context: ContextView | None
    """None: the check is of a text alone, or the context is no local directory."""

    def environment(self, stage: StageView, instruction: Instruction) -> Mapping[str, str]:
        """ARG and ENV that the instruction sees, with values as far as they are known; inherited ones too."""
        ...

    def seen(self, stage: StageView, instruction: Instruction) -> Seen:
        """The same in full: also which names have a value that is not known, and which are declared by ARG."""
        ...

    def once(self, key: object, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made when it is asked for first: for what several rules work out of the same instruction.

        key: a function and what tells its arguments apart; instructions by `id`, they live as long as the subject.
        """
        ...

    def node(self, instruction: Instruction) -> Node | None:
        """The instruction split into words, each with its place (`Node.span_of`); None: it is not the file's own text.

        For the narrow place of a finding, and for edits. The file is split again when it is asked for first.
        """
        ...

    def expanded(self, stage: StageView, instruction: Instruction, word: str) -> str | None:
        """A word of the instruction with variables replaced and quotes removed; None when a variable is not known."""
        ...

    def script(self, stage: StageView, run: Run) -> Script:
        """The shell text of a RUN as invocations with places. Empty for shells that are no POSIX shell."""
        ...

    def commands(self, stage: StageView, run: Run) -> Sequence[Command]:
        """What a RUN does, as far as it is understood: installs, removals, clean-ups, compilations, downloads, in order."""
        ...

    def all_commands(self, stage: StageView, *, inherited: bool = False) -> Iterator[tuple[StageView, Run, Command]]:
        """The commands of all RUNs of a stage in order; with `inherited` those of the stages it stands on come first."""
        ...

    def expanded_base(self, stage: StageView) -> str:
        """What FROM names, variables replaced, as far as they are known."""
        ...

    def facts(self, stage: StageView) -> ImageFacts | None:
        """What is known of the image that the stage itself names, besides its name; mostly nothing."""
        ...

    def source_of(self, stage: StageView, copy: Copy) -> StageView | BaseImage | None:
        """What `COPY --from` names: a stage, an image; None for the build context or a named one."""
        ...
