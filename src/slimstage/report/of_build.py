"""What is known of a build → stages and timeline of a report: from the store's memory, and from events as they come."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from slimstage.events import BuildFinished, CacheHit, Event, LogLine, StepFinished, StepStarted
from slimstage.report.record import StageEdge, StageNode, Stages, StepRow, Timeline
from slimstage.store.builds import StoredBuild

MOST_STEPS = 1_000
_LOG_LINES = 60
"""Of each step: the last ones, which say how it ended."""
_LINE_CHARACTERS = 400
_MOST_LOG_CHARACTERS = 256 << 10
"""Of all steps together; where there are more, each keeps fewer lines."""


def stages_of(build: StoredBuild) -> Stages:
    """Stages, the images that they stand on or copy from, and what went between them."""
    nodes = [
        StageNode(
            stage.name, "stage", stage.line, stage.status, stage.size_bytes, stage.index == build.target, stage.why
        )
        for stage in build.stages
    ]
    position = {stage.index: number for number, stage in enumerate(build.stages)}
    images: dict[str, int] = {}
    edges: list[StageEdge] = []

    def source(stage: int | None, image: str) -> int | None:
        if stage is not None:
            return position.get(stage)
        if image not in images:
            images[image] = len(nodes)
            nodes.append(StageNode(image, "image"))
        return images[image]

    for number, stage in enumerate(build.stages):
        if stage.base or stage.base_stage is not None:
            below = source(stage.base_stage, stage.base)
            if below is not None:
                edges.append(StageEdge(below, number, "base"))
        for copy in stage.copies:
            taken = source(copy.stage, copy.source)
            if taken is not None:
                edges.append(StageEdge(taken, number, "copy", copy.size_bytes, copy.paths, copy.line))
    return Stages(build.dockerfile, tuple(nodes), tuple(edges), build.stayed_behind_bytes)


def timeline_of(build: StoredBuild) -> Timeline:
    """What the build did that made the image, as far as the store remembers it."""
    names = {stage.index: (number, stage.name) for number, stage in enumerate(build.stages)}
    rows = []
    for step in build.steps:
        number, name = names.get(step.stage, (-1, ""))
        rows.append(
            StepRow(
                stage=number,
                stage_name=name,
                line=step.line,
                title=step.title,
                status=step.status,
                start_s=step.started_s,
                end_s=step.started_s + step.duration_s,
                layer_bytes=step.layer_bytes,
                source=step.source,
            )
        )
    return timeline(rows, build.duration_s, is_remembered=True)


def timeline(steps: Sequence[StepRow], duration_s: float, *, is_remembered: bool = False) -> Timeline:
    """All steps in their order, of very many those that took longest."""
    ran = sum(step.status == "run" for step in steps)
    kept: Iterable[StepRow] = steps
    if len(steps) > MOST_STEPS:
        longest = sorted(range(len(steps)), key=lambda each: (steps[each].start_s - steps[each].end_s, each))
        kept = [steps[each] for each in sorted(longest[:MOST_STEPS])]
    return Timeline(tuple(kept), duration_s, ran, len(steps) - ran, is_remembered)


class BuildRecorder:
    """A listener that keeps what a report needs of a build. Called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[str, StepStarted | CacheHit] = {}
        self._finished: dict[str, StepFinished] = {}
        self._logs: dict[str, deque[str]] = {}
        self._log_counts: dict[str, int] = {}
        self._end_s = 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._end_s = max(self._end_s, event.at_s)
            if isinstance(event, LogLine):
                log = self._logs.setdefault(event.step, deque(maxlen=_LOG_LINES))
                text = event.text
                log.append(text if len(text) <= _LINE_CHARACTERS else f"{text[:_LINE_CHARACTERS]}…")
                self._log_counts[event.step] = self._log_counts.get(event.step, 0) + 1
            elif isinstance(event, StepStarted):
                self._started[event.step] = event
            elif isinstance(event, CacheHit):
                # A step that is found after it was begun is a cached one.
                self._started[event.step] = event
            elif isinstance(event, StepFinished):
                self._finished[event.step] = event
            elif isinstance(event, BuildFinished):
                self._end_s = event.at_s

    def timeline(self, stages: Stages | None = None) -> Timeline:
        """Of all that ended until now, in the order of the beginnings. stages: those that the steps belong to."""
        with self._lock:
            numbers = {node.name: at for at, node in enumerate(stages.nodes) if node.kind == "stage"} if stages else {}
            lines = self._lines_each()
            return timeline([self._row(step, numbers, lines) for step in self._started], self._end_s)

    def _lines_each(self) -> int:
        """How many lines each step may keep, so that all together are not too much."""
        for lines in (_LOG_LINES, 20, 5):
            kept = (line for log in self._logs.values() for line in list(log)[-lines:])
            if sum(map(len, kept)) <= _MOST_LOG_CHARACTERS:
                return lines
        return 1

    def _row(self, step: str, numbers: dict[str, int], lines: int) -> StepRow:
        begun, ended = self._started[step], self._finished.get(step)
        is_cached = isinstance(begun, CacheHit)
        duration = ended.duration_s if ended else 0.0
        # It waits for its turn between the two: what it took is told by its end.
        end = ended.at_s if ended else begun.at_s
        return StepRow(
            stage=numbers.get(begun.stage, -1),
            stage_name=begun.stage,
            line=begun.line,
            title=begun.title,
            status="cached" if is_cached else "run",
            start_s=0.0 if is_cached else max(0.0, end - duration),
            end_s=0.0 if is_cached else end,
            layer_bytes=begun.layer_bytes if isinstance(begun, CacheHit) else ended.layer_bytes if ended else 0,
            source=begun.source if isinstance(begun, CacheHit) else "",
            why=ended.why if ended else "",
            log=tuple(self._logs.get(step, ()))[-lines:],
            log_count=self._log_counts.get(step, 0),
        )
