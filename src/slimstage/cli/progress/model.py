"""What has happened in a build so far, gathered from its events: stages, steps, what runs now. Pure."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

from slimstage.events import (
    BaseProgress,
    BaseResolved,
    BlobPushed,
    BuildFinished,
    BuildStarted,
    CacheHit,
    Event,
    LogLine,
    OutputWritten,
    StepCancelled,
    StepFailedEvent,
    StepFinished,
    StepStarted,
    TransferProgress,
    Warned,
)
from slimstage.values import dataclass, field

Status: TypeAlias = Literal["running", "done", "cached", "failed", "cancelled"]
KEPT_LINES = 6
"""Last lines of a step that a reader may show."""


@dataclass(slots=True)
class StepView:
    """One step as it stands: `ended_s` None while it runs; `transfer` (what, bytes done, bytes in all or None)."""

    id: str
    stage: str
    number: int
    of: int
    title: str
    status: Status
    started_s: float
    ended_s: float | None = None
    layer_bytes: int = 0
    transfer: tuple[str, int, int | None] | None = None
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))


@dataclass(slots=True)
class StageView:
    """One stage as it stands: its steps in the order they began."""

    name: str
    of: int = 0
    steps: dict[str, StepView] = field(default_factory=dict)

    def count(self, *statuses: Status) -> int:
        return sum(step.status in statuses for step in self.steps.values())

    @property
    def running(self) -> list[StepView]:
        return [step for step in self.steps.values() if step.status == "running"]

    @property
    def layer_bytes(self) -> int:
        return sum(step.layer_bytes for step in self.steps.values())


class BuildView:
    """The whole build as it stands. Not locked: readers that get events from several threads bring their own lock."""

    def __init__(self) -> None:
        self.stages: dict[str, StageView] = {}
        self.target = ""
        self.step_count = 0
        self.at_s = 0.0
        self.warnings: list[Warned] = []
        self.outputs: list[OutputWritten] = []
        self.transfers: dict[str, TransferProgress] = {}
        """Long work that belongs to no step: reading the context, writing an output."""
        self.bases: dict[str, str] = {}
        """Bases that are being made, with what is going on."""
        self.is_finished = False
        self._steps: dict[str, StepView] = {}

    def step(self, step: str) -> StepView | None:
        return self._steps.get(step)

    def count(self, *statuses: Status) -> int:
        return sum(stage.count(*statuses) for stage in self.stages.values())

    def apply(self, event: Event) -> None:
        """Takes one event in; an event about a step that never began changes nothing."""
        self.at_s = max(self.at_s, event.at_s)
        match event:
            case BuildStarted():
                self.target, self.step_count = event.target, event.step_count
                self.bases.clear()
                for name in event.stages:
                    self.stages.setdefault(name, StageView(name))
            case StepStarted():
                self._begin(event, "running")
            case CacheHit():
                step = self._begin(event, "cached")
                step.ended_s, step.layer_bytes = event.at_s, event.layer_bytes
            case LogLine():
                if step_or_none := self._steps.get(event.step):
                    step_or_none.last_lines.append(event.text)
            case TransferProgress():
                if step_or_none := self._steps.get(event.step):
                    step_or_none.transfer = (event.what, event.done_bytes, event.total_bytes)
                else:
                    self.transfers[event.what] = event
            case BlobPushed():
                self.transfers.pop(event.what, None)
            case StepFinished():
                self._end(event.step, "done", event.at_s, event.layer_bytes)
            case StepFailedEvent():
                self._end(event.step, "failed", event.at_s)
            case StepCancelled():
                self._end(event.step, "cancelled", event.at_s)
            case Warned():
                self.warnings.append(event)
            case OutputWritten():
                self.outputs.append(event)
            case BuildFinished():
                self.is_finished = True
            case BaseProgress():
                self.bases[event.name] = event.doing
            case BaseResolved():
                self.bases.pop(event.name, None)

    def _begin(self, event: StepStarted | CacheHit, status: Status) -> StepView:
        stage = self.stages.setdefault(event.stage, StageView(event.stage))
        stage.of = max(stage.of, event.of)
        # A step may begin (asking the cache, pulling a base) and then turn out to be cached.
        step = StepView(event.step, event.stage, event.number, event.of, event.title, status, event.at_s)
        stage.steps[event.step] = self._steps[event.step] = step
        return step

    def _end(self, step_id: str, status: Status, at_s: float, layer_bytes: int = 0) -> None:
        step = self._steps.get(step_id)
        if step is not None:
            step.status, step.ended_s, step.layer_bytes = status, at_s, layer_bytes
