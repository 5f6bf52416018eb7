"""Ready steps, bounded workers: which steps must be done at all, and in which order.

First every key that can be known without doing anything is asked of the cache. Then the target says what it needs: a
step that is cached needs only the tree it stands on; what it was made from is not needed, even if that was pruned. Then
what is needed is handed to the executor as its inputs become ready. Nothing depends on the order of finishing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slimstage.build.executor import Executor, StepOutcome, StepTask
from slimstage.cache.keys import (
    EMPTY_TREE,
    base_key,
    content_key,
    definition_key,
    is_volatile,
    reads_files,
    tree_key,
)
from slimstage.cache.local import Cache
from slimstage.errors import Interrupted
from slimstage.plan.graph import AnyStep, BaseStep, Graph, RunStep, StepId, inputs_of
from slimstage.store.promises import PromiseBroken
from slimstage.store.records import Record
from slimstage.store.snapshots import Stack

if TYPE_CHECKING:
    from concurrent.futures import Future

_POLL_S = 0.1
"""How often a waiting scheduler looks whether the user asked for an end."""


class Progress:
    """What happened to each step so far. Only the scheduler's own thread changes it."""

    def __init__(self) -> None:
        self.outcomes: dict[StepId, StepOutcome] = {}
        self.keys: dict[StepId, str] = {}

    def stack(self, graph: Graph, step: StepId | None) -> Stack:
        """The layers of a finished step's whole tree, base first."""
        parts: list[Stack] = []
        while step is not None:
            parts.append(self.outcomes[step].layers)
            step = graph.steps[step].parent
        return tuple(layer for part in reversed(parts) for layer in part)


class _Queue:
    """Steps that wait for others; `ready` holds those that wait for nothing any more, in the graph's order."""

    def __init__(self, waits_for: Mapping[StepId, tuple[StepId, ...]]) -> None:
        self._left = {step: len(inputs) for step, inputs in waits_for.items()}
        self._dependents: dict[StepId, list[StepId]] = {}
        for step, inputs in waits_for.items():
            for each in inputs:
                self._dependents.setdefault(each, []).append(step)
        self.ready = deque(step for step, count in self._left.items() if not count)

    def done(self, step: StepId) -> None:
        for dependent in self._dependents.get(step, ()):
            self._left[dependent] -= 1
            if not self._left[dependent]:
                self.ready.append(dependent)


class Scheduler:
    """Brings one graph's steps to be done.

    extra: what the request adds to the keys of RUN steps. digests: the digests of what a volatile step reads, asked
    before anything runs. forced_by: the option for which the cache is not asked, "" for other steps. last_key: see
    `StepTask`. at_once: what a task comes to when nothing has to be done for it, so that no thread is needed.
    """

    def __init__(
        self,
        graph: Graph,
        cache: Cache,
        executor: Executor,
        *,
        extra: Callable[[AnyStep], Mapping[str, Any]],
        forced_by: Callable[[AnyStep], str],
        last_key: Callable[[StepId], str | None],
        digests: Callable[[AnyStep], Sequence[Any]],
        on_cached: Callable[[AnyStep, Record | None], None],
        on_done: Callable[[AnyStep, StepOutcome], None],
        at_once: Callable[[StepTask], StepOutcome | None] = lambda _: None,
    ) -> None:
        self._graph, self._cache, self._executor, self._extra = graph, cache, executor, extra
        self._forced_by, self._last_key, self._digests = forced_by, last_key, digests
        self._on_cached, self._on_done, self._at_once = on_cached, on_done, at_once
        self.progress = Progress()
        self._hits: dict[StepId, Record] = {}
        self._hollow: set[StepId] = set()
        self._read_before: dict[StepId, Sequence[Any]] = {}
        self._read_bases: frozenset[StepId] = frozenset()

    # What is known without doing anything ---------------------------------------------------------------------

    def probe(self, targets: Iterable[StepId] = ()) -> dict[StepId, bool]:
        """Asks the cache about every step whose key can be known; True: cached.

        A record whose layer nobody has answers for a step that is not needed for the targets, and for no other: then it
        runs, and what stands on it is asked for anew.
        """
        wanted = list(targets)
        found = self._probe()
        while hollow := [
            step for step in self.needed(wanted) if step in self._hits and not self._hits[step].has_result
        ]:
            self._hollow.update(hollow)
            self.progress.keys.clear()
            self._hits.clear()
            found = self._probe()
        return found

    def _probe(self) -> dict[StepId, bool]:
        keys = self.progress.keys
        for step in self._graph.steps.values():
            if isinstance(step, BaseStep):
                keys[step.id] = base_key(step)
                continue
            inputs = inputs_of(step)
            if any(each not in keys for each in inputs):
                continue
            record = self._look_up(step)
            if record and not record.has_result and step.id in self._hollow:
                continue
            if record and not self._forced_by(step):
                keys[step.id], self._hits[step.id] = self._tree_key(step, record.content_key), record
        return {s.id: s.id in self._hits or isinstance(s, BaseStep) for s in self._graph.steps.values()}

    def _tree_key(self, step: AnyStep, content: str) -> str:
        return tree_key(step, self.progress.keys[step.parent] if step.parent else EMPTY_TREE, content)

    def _reads_beforehand(self, step: AnyStep) -> bool:
        """Files of the context only: what URLs and git give is asked when the step is due."""
        urls = getattr(step, "urls", ()) or getattr(step, "gits", ())
        return is_volatile(step) and not urls and not isinstance(step, RunStep) and not self._forced_by(step)

    def _look_up(self, step: AnyStep) -> Record | None:
        keys = self.progress.keys
        parent = keys[step.parent] if step.parent else EMPTY_TREE
        if self._reads_beforehand(step):
            if step.id not in self._read_before:
                self._read_before[step.id] = self._digests(step)
            return self._cache.find(content_key(step, parent, self._read_before[step.id], self._extra(step)))
        if is_volatile(step):
            return None
        if not reads_files(step):
            return self._cache.find(content_key(step, parent, (), self._extra(step)))
        return self._cache.find(definition_key(step, keys, self._extra(step)))

    # What must be done ----------------------------------------------------------------------------------------

    def needed(self, targets: Iterable[StepId]) -> list[StepId]:
        """The steps that must be there for the targets' trees, inputs first."""
        found: set[StepId] = set()
        waiting = list(targets)
        while waiting:
            step = self._graph.steps[waiting.pop()]
            if step.id in found:
                continue
            found.add(step.id)
            if step.id in self._hits:
                waiting += [step.parent] if step.parent else []
            else:
                waiting += inputs_of(step)
        return [each for each in self._graph.steps if each in found]

    def undone(self, targets: Iterable[StepId]) -> list[StepId]:
        """The needed steps of which the cache is not known to have the result."""
        return [step for step in self.needed(targets) if step not in self._hits]

    def run(self, targets: Iterable[StepId], cancel: threading.Event) -> Progress:
        """Does all that the targets need. Raises the first step's error, after the others were told to end.

        Not after a PromiseBroken: what the others give is of use when all is planned again.
        """
        needed = self.needed(targets)
        self._read_bases = self._bases_read(needed)
        queue = _Queue({each: self._waits_for(each) for each in needed})
        chosen = frozenset(needed)
        for step in self._graph.steps.values():
            if step.id not in chosen and not isinstance(step, BaseStep):
                self._on_cached(step, self._hits.get(step.id))
        running: dict[Future[StepOutcome], StepId] = {}
        failures: list[BaseException] = []
        while True:
            if not failures and not cancel.is_set():
                self._begin(queue, running)
            if not running:
                break
            from concurrent.futures import FIRST_COMPLETED, wait  # a build that finds all cached needs no threads

            done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                step_id = running.pop(future)
                error = future.exception()
                if error:
                    failures.append(error)
                    if not isinstance(error, PromiseBroken):
                        cancel.set()
                else:
                    self._finish(self._graph.steps[step_id], future.result(), queue)
        if failures:
            raise next((each for each in failures if not isinstance(each, Interrupted)), failures[0])
        if len(self.progress.outcomes) < len(needed):
            raise Interrupted("the build was interrupted")
        return self.progress

    def _bases_read(self, needed: Iterable[StepId]) -> frozenset[StepId]:
        """The bases below what will run, or below what that reads from."""
        seen: set[StepId] = set()
        for step in needed:
            if step in self._hits or isinstance(self._graph.steps[step], BaseStep):
                continue
            for each in inputs_of(self._graph.steps[step]):
                below: StepId | None = each
                while below is not None and below not in seen:
                    seen.add(below)
                    below = self._graph.steps[below].parent
        return frozenset(seen)

    def records(self) -> dict[StepId, Record]:
        """The records of all steps that were found, needed or not."""
        return dict(self._hits)

    def record_keys(self) -> dict[StepId, str]:
        """The keys of the records of all steps that are done or were found."""
        found = {step: record.key for step, record in self._hits.items()}
        return found | {step: outcome.key for step, outcome in self.progress.outcomes.items() if outcome.key}

    def _waits_for(self, step: StepId) -> tuple[StepId, ...]:
        parent = self._graph.steps[step].parent
        if step in self._hits:
            return (parent,) if parent else ()
        return inputs_of(self._graph.steps[step])

    def _begin(self, queue: _Queue, running: dict[Future[StepOutcome], StepId]) -> None:
        while queue.ready:
            step = self._graph.steps[queue.ready.popleft()]
            record = self._hits.get(step.id)
            if record is None:
                task = self._task(step)
                if (at_once := self._at_once(task)) is not None:
                    self._finish(step, at_once, queue)
                else:
                    running[self._executor.submit(task)] = step.id
                continue
            self._on_cached(step, record)
            layers = (record.layer,) if record.layer else ()
            outcome = StepOutcome(
                step.id,
                "cached",
                record.content_key,
                layers,
                created_s=record.created_s,
                key=record.key,
                source=record.source,
            )
            self._finish(step, outcome, queue)

    def _finish(self, step: AnyStep, outcome: StepOutcome, queue: _Queue) -> None:
        self.progress.outcomes[step.id] = outcome
        self.progress.keys[step.id] = self._tree_key(step, outcome.content_key)
        queue.done(step.id)
        self._on_done(step, outcome)

    def _task(self, step: AnyStep) -> StepTask:
        inputs = inputs_of(step)
        above = self._graph.steps[step.parent] if step.parent else None
        return StepTask(
            step=step,
            parent=self.progress.stack(self._graph, step.parent),
            sources=tuple((each, self.progress.stack(self._graph, each)) for each in inputs if each != step.parent),
            keys=tuple((each, self.progress.keys[each]) for each in inputs),
            last_key=None if isinstance(step, BaseStep) else self._last_key(step.id),
            forced_by=self._forced_by(step),
            above=above.title if above and not isinstance(above, BaseStep) else "",
            has_above_run=above is not None and self.progress.outcomes[above.id].status == "run",
            is_read=step.id in self._read_bases,
        )
