"""What a build tells the world, as values.

The engine emits these; the terminal, the plain log, the JSON stream and the report are readers of the same stream. An
event never holds a secret: text is redacted where it is made. `at_s` is seconds since the build began (monotonic).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class BuildStarted:
    at_s: float
    stages: tuple[str, ...]
    """Names of the stages that will be built, in file order."""
    step_count: int
    target: str


@dataclass(frozen=True, slots=True)
class BaseResolved:
    """A FROM is known: where it came from and what it is."""

    at_s: float
    stage: str
    name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class BaseProgress:
    """A base is being made, before any step runs: `name` as the user knows it, and what is going on, in a few words."""

    at_s: float
    name: str
    doing: str


@dataclass(frozen=True, slots=True)
class StepStarted:
    at_s: float
    step: str
    stage: str
    number: int
    """Of the stage's steps, counted from 1."""
    of: int
    title: str
    """The instruction as shown, one line."""
    line: int


@dataclass(frozen=True, slots=True)
class CacheHit:
    at_s: float
    step: str
    stage: str
    number: int
    of: int
    title: str
    line: int
    layer_bytes: int
    source: str = ""
    """The cache of another machine that has it; "" for this store."""


@dataclass(frozen=True, slots=True)
class CacheRead:
    """A `--cache-from` was asked for what it has; `is_there` False: there is no cache yet."""

    at_s: float
    name: str
    record_count: int
    is_there: bool


@dataclass(frozen=True, slots=True)
class CacheMountFilled:
    """A cache directory that was not here has what another machine left in it. `name`: the cache it came from."""

    at_s: float
    id: str
    name: str
    file_bytes: int


@dataclass(frozen=True, slots=True)
class CacheWritten:
    """A `--cache-to` has what this build made. `sent_bytes` were not there before."""

    at_s: float
    name: str
    digest: str
    record_count: int
    layer_count: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a step printed, without its end; `stream` 1 is stdout, 2 is stderr."""

    at_s: float
    step: str
    stream: int
    text: str


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """Bytes of something long moved so far: a pull, a base being made, a context being read, a layer packed."""

    at_s: float
    step: str
    what: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class BlobPushed:
    """A blob is in a repository: sent, mounted from another one, or it was there. `what`: as its TransferProgress says."""

    at_s: float
    what: str
    repository: str
    digest: str
    size_bytes: int
    outcome: Literal["sent", "mounted", "there"]


@dataclass(frozen=True, slots=True)
class StepFinished:
    at_s: float
    step: str
    stage: str
    duration_s: float
    layer_bytes: int
    why: str
    """Why it ran and was not cached: one sentence for `--explain`."""


@dataclass(frozen=True, slots=True)
class StepCancelled:
    at_s: float
    step: str
    stage: str


@dataclass(frozen=True, slots=True)
class StepFailedEvent:
    at_s: float
    step: str
    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know that does not stop the build."""

    at_s: float
    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class OutputWritten:
    at_s: float
    kind: Literal["image", "oci", "docker", "local", "tar"]
    where: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class BuildFinished:
    at_s: float
    image_id: str | None
    size_bytes: int
    ok: bool


Event: TypeAlias = (
    BuildStarted
    | BaseResolved
    | BaseProgress
    | StepStarted
    | CacheHit
    | CacheMountFilled
    | CacheRead
    | CacheWritten
    | LogLine
    | TransferProgress
    | BlobPushed
    | StepFinished
    | StepCancelled
    | StepFailedEvent
    | Warned
    | OutputWritten
    | BuildFinished
)

Listener: TypeAlias = Callable[[Event], None]
"""Called from any thread, must be quick and must not raise."""


def ignore(event: Event) -> None:
    """The listener for nobody."""


def both(first: Listener, second: Listener) -> Listener:
    """A listener for two."""

    def listen(event: Event) -> None:
        first(event)
        second(event)

    return listen
