"""One ready step, done: keys asked, work performed, result frozen and recorded.

This is what an executor calls, in any of its threads. Everything it needs beside the task is given once, when a build
begins. A key is worked on once at a time, whoever works on it: another thread, another process on the same store.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slimstage.bases.base import Base, BaseResolver
from slimstage.build.executor import StepOutcome, StepTask
from slimstage.build.files import FileSteps, Reading
from slimstage.build.running import RunSteps
from slimstage.cache.explain import Before, Now, why_it_ran
from slimstage.cache.keys import (
    EMPTY_TREE,
    base_key,
    content_key,
    definition_key,
    explained,
    is_volatile,
    reads_files,
    rerun_key,
)
from slimstage.cache.local import Cache
from slimstage.diagnostics import Span
from slimstage.errors import Interrupted, SlimstageError
from slimstage.events import CacheHit, Listener, StepCancelled, StepFailedEvent, StepFinished, StepStarted
from slimstage.plan.graph import AnyStep, BaseStep, CopyStep, RunStep, StepId, WorkdirStep
from slimstage.store.files import store_error, wait_lock_cancellable
from slimstage.store.promises import PromiseBroken
from slimstage.store.records import Record
from slimstage.store.snapshots import Draft, Snapshots, Stack
from slimstage.store.store import Store
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Numbering:
    """How a step is shown: its stage's name, its number of how many."""

    stage: str
    number: int
    of: int


class Worker:
    """Does the steps of one build. Safe for several threads."""

    def __init__(
        self,
        *,
        store: Store,
        cache: Cache,
        bases: BaseResolver,
        base_of: Mapping[StepId, Base],
        files: FileSteps,
        runs: RunSteps,
        numbering: Mapping[StepId, Numbering],
        listener: Listener,
        clock: Callable[[], float],
        extra: Callable[[AnyStep], Mapping[str, Any]],
        cancel: threading.Event,
        spans: Mapping[StepId, Span],
        promises_bases: bool = False,
    ) -> None:
        """promises_bases: a base that nothing reads is not fetched before something does."""
        self._promises_bases = promises_bases
        self._store, self._cache, self._bases, self._base_of = store, cache, bases, base_of
        self._spans = spans
        self._files, self._runs = files, runs
        self._numbering, self._emit, self._clock, self._extra, self._cancel = numbering, listener, clock, extra, cancel

    def work(self, task: StepTask) -> StepOutcome:
        """Does the step. Raises SlimstageError, after saying so to the listener."""
        step, shown = task.step, self._numbering[task.step.id]
        try:
            if isinstance(step, BaseStep):
                return self._base(step)
            return self._step(task)
        except (Interrupted, PromiseBroken):
            self._emit(StepCancelled(self._clock(), step.id, shown.stage))
            raise
        except (SlimstageError, OSError) as cause:
            # What the disk refuses where nobody expected it (a read of a layer, a lock) is a fault of the store.
            error = store_error(f'"{step.title}"', cause) if isinstance(cause, OSError) else cause
            if (span := self._spans.get(step.id)) is not None:
                error.at(span)
            self._emit(StepFailedEvent(self._clock(), step.id, shown.stage, error.message))
            if error is cause:
                raise
            raise error from cause

    def at_once(self, task: StepTask) -> StepOutcome | None:
        """The outcome of a base that is unpacked here already, or need not be; None for all that takes a while."""
        step = task.step
        if not isinstance(step, BaseStep):
            return None
        if self._is_here(step):
            return self._base(step)
        if task.is_read or not self._promises_bases:
            return None
        self._cached(step, 0)
        stack = self._bases.promise(self._base_of[step.id], self._emit, step.id)
        return StepOutcome(step.id, "cached", base_key(step), stack)

    # Bases ----------------------------------------------------------------------------------------------------

    def _base(self, step: BaseStep) -> StepOutcome:
        base = self._base_of[step.id]
        began = self._clock()
        is_here = self._is_here(step)
        if not is_here:
            self._started(step)
        stack = self._bases.fetch(base, self._emit, step.id)
        if is_here:
            self._cached(step, 0)
            return StepOutcome(step.id, "cached", base_key(step), stack)
        size = sum(layer.size_bytes for layer in self._bases.layers(base))
        took = self._clock() - began
        why = "its layers were not unpacked here yet"
        self._finished(step, took, size, why)
        return StepOutcome(step.id, "run", base_key(step), stack, size, took, time.time(), why, started_s=began)

    def _is_here(self, step: BaseStep) -> bool:
        layers = self._base_of[step.id].layers
        return all(layer.layer and self._store.snapshots.has((layer.layer,)) for layer in layers)

    # All others -----------------------------------------------------------------------------------------------

    def _step(self, task: StepTask) -> StepOutcome:
        step, keys = task.step, dict(task.keys)
        parent = keys[step.parent] if step.parent else EMPTY_TREE
        extra = self._extra(step)
        definition = "" if is_volatile(step) or not reads_files(step) else definition_key(step, keys, extra)
        if definition and not task.forced_by and (record := self._find(definition)):
            return self._hit(step, record)
        with self._reading(task) as reading:
            key = content_key(step, parent, reading.digests, extra)
            with wait_lock_cancellable(self._lock_path(key), self._cancel):
                record = self._find(key)
                if record and not task.forced_by:
                    if definition:
                        self._cache.keep(record, definition)
                    return self._hit(step, record)
                return self._perform(task, reading, key, definition, parent, extra)

    def _find(self, key: str) -> Record | None:
        """A record with a layer: the content key alone is no use for a step that is due."""
        record = self._cache.find(key)
        return record if record and record.has_result else None

    def _reading(self, task: StepTask) -> Reading:
        """What the step reads, digested. Closing it lets go of opened trees."""
        step = task.step
        if isinstance(step, CopyStep):
            return self._files.read(step, self._stack_paths(task))
        if isinstance(step, RunStep):
            return self._files.read_binds(step, self._stack_paths(task))
        return Reading(())

    def _stack_paths(self, task: StepTask) -> Mapping[StepId, tuple[str, ...]]:
        stacks = dict(task.sources)
        if task.step.parent:
            stacks[task.step.parent] = task.parent
        return _Paths(self._store.snapshots, stacks)

    def _perform(
        self, task: StepTask, reading: Reading, key: str, definition: str, parent: str, extra: Mapping[str, Any]
    ) -> StepOutcome:
        step = task.step
        self._started(step)
        pairs = (*explained(step, parent, extra), *reading.explained())
        now = Now(pairs, (key, definition), task.forced_by, task.above, task.has_above_run)
        why = why_it_ran(now, Before(task.last_key, self._cache.peek(task.last_key) if task.last_key else None))
        began = self._clock()
        draft = self._store.snapshots.draft()
        try:
            lowers = self._store.snapshots.paths(task.parent)
            if isinstance(step, RunStep):
                self._runs.perform(step, lowers, reading, draft, is_fresh=bool(task.forced_by))
                size = None
            elif isinstance(step, CopyStep):
                size = self._files.copy(step, lowers, reading, draft)
            else:
                assert not isinstance(step, BaseStep)
                size = self._files.make_directory(step, lowers, draft)
            if self._holds_what_was_there(step, lowers, draft):
                size = None
            layer = self._store.snapshots.freeze(draft, size_bytes=size)
        except BaseException:
            self._store.snapshots.discard(draft)
            raise
        bytes_ = self._store.snapshots.size_bytes(layer) if size is None else size
        content = rerun_key(key, layer) if isinstance(step, RunStep) else key
        created_s = time.time()
        record = Record(key, content, layer, pairs, created_s)
        self._cache.keep(record, *([definition] if definition else []))
        took = self._clock() - began
        self._finished(step, took, bytes_, why)
        return StepOutcome(step.id, "run", content, (layer,), bytes_, took, created_s, why, key, started_s=began)

    def _holds_what_was_there(self, step: AnyStep, lowers: tuple[str, ...], draft: Draft) -> bool:
        """Takes what did not change out of the layer; True when its size is another now."""
        if not lowers or isinstance(step, WorkdirStep) or (isinstance(step, CopyStep) and step.is_link):
            return False
        from slimstage.build.destination import disk_errors  # only when a step ran
        from slimstage.tree.unchanged import drop_unchanged

        with disk_errors(step.title):
            return drop_unchanged(draft.path, lowers, keeps_links=isinstance(step, RunStep))

    def _lock_path(self, key: str) -> str:
        name = hashlib.sha256(key.encode()).hexdigest()[:3]
        # A few thousand lock files serve all keys: two keys that share one wait for each other, which is rare and harmless.
        return str(self._store.root / "locks" / f"step-{name}")

    # Telling --------------------------------------------------------------------------------------------------

    def _hit(self, step: AnyStep, record: Record) -> StepOutcome:
        layers = (record.layer,) if record.layer else ()
        size = sum(self._store.snapshots.size_bytes(layer) for layer in layers)
        self._cached(step, size, record.source)
        return StepOutcome(
            step.id,
            "cached",
            record.content_key,
            layers,
            size,
            created_s=record.created_s,
            key=record.key,
            source=record.source,
        )

    def _cached(self, step: AnyStep, size: int, source: str = "") -> None:
        shown, now = self._numbering[step.id], self._clock()
        self._emit(CacheHit(now, step.id, shown.stage, shown.number, shown.of, step.title, step.line, size, source))

    def _started(self, step: AnyStep) -> None:
        shown = self._numbering[step.id]
        self._emit(StepStarted(self._clock(), step.id, shown.stage, shown.number, shown.of, step.title, step.line))

    def _finished(self, step: AnyStep, took: float, size: int, why: str) -> None:
        self._emit(StepFinished(self._clock(), step.id, self._numbering[step.id].stage, took, size, why))


class _Paths(Mapping[StepId, tuple[str, ...]]):
    """The layer directories of several trees, asked of the store one tree at a time: what is not read is not brought."""

    def __init__(self, snapshots: Snapshots, stacks: Mapping[StepId, Stack]) -> None:
        self._snapshots, self._stacks = snapshots, stacks

    def __getitem__(self, step: StepId) -> tuple[str, ...]:
        return self._snapshots.paths(self._stacks[step])

    def __iter__(self) -> Iterator[StepId]:
        return iter(self._stacks)

    def __len__(self) -> int:
        return len(self._stacks)
