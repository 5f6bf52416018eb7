"""One frozen value per instruction, as the file says it: nothing expanded, nothing resolved.

Words keep their quotes and variables (`$x`, `"a b"`): `plan/` expands them where dockerfile.md §1.6 says so. Data comes
from `parse.py` and goes to `plan/` and `lint/`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.diagnostics import Diagnostic, Source, Span
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Heredoc:
    """One here-document: `name` is the delimiter without quotes; `content` is the body, each line with its newline.

    `expands` is false when any part of the delimiter was quoted; `strips_tabs` (`<<-`) was already applied to content.
    """

    name: str
    content: str
    expands: bool = True
    strips_tabs: bool = False
    fd: int = 0
    as_written: str | None = None
    """The body with the tabs that `<<-` strips: what a shell is given, and history shows; None: as `content`."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command in shell form (`words` is the one text, verbatim) or exec form (`words` is the JSON array)."""

    form: Literal["shell", "exec"]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlagText:
    """A flag that may stand several times, or whose value is parsed after expansion: its value and its place."""

    value: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all have: where, the text as one logical line, and the comments that stand directly above."""

    span: Span
    """From the instruction's first character to the last line's end, heredocs included."""
    text: str
    """The logical line: continuations joined, comments dropped, keyword as written; heredoc bodies not included."""
    comments: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """The instruction's name in upper case."""
        return self.text.split(None, 1)[0].upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    image: str
    platform: str | None = None
    name: str | None = None
    """As written; compare stage names in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    command: Command
    """In shell form with heredocs the text holds the heredoc operators as written."""
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[FlagText, ...] = ()
    network: str | None = None
    security: str | None = None
    devices: tuple[FlagText, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    sources: tuple[str, ...]
    """Path sources in order; heredoc sources are in `heredocs` and are copied after all paths."""
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    from_: str | None = None
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Instruction):
    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str | None = None
    keep_git_dir: bool | None = None
    unpack: bool | None = None
    parents: bool = False


@dataclass(frozen=True, slots=True)
class KeyValue:
    """`name=value` of ENV, LABEL or ARG; value None: ARG without a value. `legacy`: written `NAME VALUE`."""

    name: str
    value: str | None
    span: Span
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    args: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    pairs: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    ports: tuple[str, ...]
    """Words before expansion; expansion may give several words each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """`test` as the config stores it: ("NONE",), ("CMD", …) or ("CMD-SHELL", text). Durations in nanoseconds, 0: inherit."""

    test: tuple[str, ...]
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBuild(Instruction):
    """`trigger` is the instruction's text as stored in the config; it is parsed when it fires."""

    trigger: str
    instruction: Instruction
    """The trigger, parsed once to find faults in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    author: str


Directive: TypeAlias = Literal["syntax", "escape", "check"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows. `index` counts from 0."""

    index: int
    from_: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str | None:
        """The name in lower case, None when unnamed."""
        return self.from_.name.lower() if self.from_.name else None

    @property
    def shown_name(self) -> str:
        """The name, or `stage-N`."""
        return self.name or f"stage-{self.index}"


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. `global_args`: the ARGs before the first FROM. `warnings`: what the reader noticed.

    A warning's code is `no-empty-continuation`: an empty line inside a continued instruction, one for each instruction.
    """

    source: Source
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    directives: tuple[tuple[Directive, str, Span], ...] = ()
    escape: str = "\\"
    warnings: tuple[Diagnostic, ...] = ()
