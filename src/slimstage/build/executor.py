"""The seam between deciding and doing: a ready step is a `StepTask`, what became of it a `StepOutcome`.

Both are plain values, so that a step can be done by another thread, another process or another machine. The embedded
executor is a pool of threads: RUN steps wait for a child process and copying, hashing and compressing release the
interpreter lock, so they scale over cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from slimstage.plan.graph import AnyStep, StepId
from slimstage.store.snapshots import Stack
from slimstage.values import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor


@dataclass(frozen=True, slots=True)
class StepTask:
    """A step whose inputs are done.

    parent: the stack it stands on. sources: the stacks of the other steps it reads from. keys: the content keys of all
    its inputs. last_key: of the record that the step had the last time (`Before.key`). forced_by: the option for which
    the cache is not asked, or "". above: the title of the parent step, "" when that is a base; has_above_run: in this
    build. is_read: False when nothing but cached steps stands on it, so that nobody may ever ask for its files.
    """

    step: AnyStep
    parent: Stack
    sources: tuple[tuple[StepId, Stack], ...]
    keys: tuple[tuple[StepId, str], ...]
    last_key: str | None = None
    forced_by: str = ""
    above: str = ""
    has_above_run: bool = False
    is_read: bool = True


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """A step that is done. `layers`: its own, to put on the parent's stack. `why`: why it ran; empty when cached.

    key: of its record, "" for a base. source: the cache of another machine that has it, "" for this store.
    """

    step: StepId
    status: Literal["run", "cached"]
    content_key: str
    layers: Stack
    layer_bytes: int = 0
    duration_s: float = 0.0
    created_s: float = 0.0
    why: str = ""
    key: str = ""
    source: str = ""
    started_s: float = 0.0
    """When it began, since the build did; of one that ran."""


class Executor(Protocol):
    """Does steps, several at once. `submit` returns at once; the future gives the outcome or raises SlimstageError."""

    def submit(self, task: StepTask) -> Future[StepOutcome]: ...

    def close(self) -> None:
        """Waits for what runs; nothing new is begun."""
        ...


class ThreadExecutor:
    """The embedded executor: `work` is called for each task in one of `jobs` threads."""

    def __init__(self, work: Callable[[StepTask], StepOutcome], jobs: int) -> None:
        self._work, self._jobs = work, jobs
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, task: StepTask) -> Future[StepOutcome]:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # a build that finds all cached needs no threads

            self._pool = ThreadPoolExecutor(max_workers=self._jobs, thread_name_prefix="step")
        return self._pool.submit(self._work, task)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
