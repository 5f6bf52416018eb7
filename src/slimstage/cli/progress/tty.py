"""Progress on a terminal: the stages with what runs in each now, redrawn in place. Imported only when it is shown."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from slimstage.cli.progress.model import BuildView, StageView, StepView
from slimstage.cli.units import duration_text, size_text
from slimstage.diagnostics import shown
from slimstage.events import Event

_REDRAWS_PER_S = 8
_SIDE_BY_SIDE = 110
"""Columns from which two stages at work are drawn beside each other."""


class TerminalProgress:
    """Draws the build on a terminal; events come from any thread, rich's own thread redraws.

    What is left on the screen at the end is the last picture: stages with their times, without log lines.
    """

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._view, self._lock = BuildView(), threading.Lock()
        self._began = time.monotonic()
        self._console = Console(file=stream, no_color=not colour, highlight=False)
        self._live = Live(
            get_renderable=self._draw, console=self._console, refresh_per_second=_REDRAWS_PER_S, transient=False
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._view.apply(event)

    def close(self) -> None:
        """Draws the last picture and gives the terminal back. Idempotent."""
        with self._lock:
            self._view.is_finished = True
        self._live.stop()

    def _draw(self) -> Group:
        with self._lock:
            return picture(self._view, time.monotonic() - self._began, self._console.width, self._console.height)


def picture(view: BuildView, now_s: float, width: int, height: int) -> Group:
    """The build as rich renderables: a head line, a block for each stage, the log lines of what runs.

    height: of the terminal; log lines are left out first when there is no room.
    """
    lines: list[Text | Table | Panel] = [_head(view, now_s)]
    at_work = [stage for stage in view.stages.values() if stage.running]
    room = max(0, height - len(view.stages) - 4)
    per_step = min(4, room // max(1, sum(len(stage.running) for stage in at_work)) - 1) if at_work else 0
    lines += [_stage_line(stage, now_s, width) for stage in view.stages.values()]
    if at_work and not view.is_finished and per_step > 0:
        panels = [_work(stage, now_s, per_step) for stage in at_work]
        if width >= _SIDE_BY_SIDE and len(panels) > 1:
            grid = Table.grid(expand=True)
            for _ in range(2):
                grid.add_column(ratio=1)
            for left in range(0, len(panels), 2):
                grid.add_row(*panels[left : left + 2])
            lines.append(grid)
        else:
            lines += panels
    lines += [_one_line(f" ● {name}  {doing}", "dim") for name, doing in view.bases.items() if not view.is_finished]
    lines += [
        _one_line(f"  {what}  {_bytes(transfer.done_bytes, transfer.total_bytes)}", "dim")
        for what, transfer in view.transfers.items()
        if not view.is_finished
    ]
    return Group(*lines)


def _head(view: BuildView, now_s: float) -> Text:
    ended = view.count("done", "cached", "failed", "cancelled")
    text = Text("building ", style="bold")
    text.append(shown(view.target) or "…", style="bold cyan")
    text.append(f"  {ended}/{max(view.step_count, ended)} steps  {view.count('cached')} cached  {duration_text(now_s)}")
    return text


def _stage_line(stage: StageView, now_s: float, width: int) -> Text:
    ended = stage.count("done", "cached")
    if stage.count("failed"):
        mark, style, word = "✗", "red", "failed"
    elif stage.running:
        mark, style, word = "●", "yellow", "building"
    elif stage.steps and ended >= stage.of:
        mark, style = "✓", "green"
        word = "cached" if stage.count("cached") == ended else "built"
    elif stage.count("cancelled"):
        mark, style, word = "-", "dim", "cancelled"
    else:
        mark, style, word = "·", "dim", "waiting"
    seconds = sum(
        (step.ended_s if step.ended_s is not None else now_s) - step.started_s for step in stage.steps.values()
    )
    text = Text(f" {mark} ", style=style)
    text.append(f"{shown(stage.name):<16}", style="bold")
    text.append(f" {word:<9}", style=style)
    if stage.of:
        text.append(f" {ended:>2}/{stage.of:<3}")
    if stage.steps:
        text.append(f" {duration_text(seconds):>7}")
        text.append(f" {size_text(stage.layer_bytes):>7}", style="dim")
        if cached := stage.count("cached"):
            text.append(f"  {cached} cached", style="cyan")
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _work(stage: StageView, now_s: float, per_step: int) -> Panel:
    lines: list[Text] = []
    for step in stage.running:
        lines.append(_one_line(f"{step.number}/{step.of} {step.title}  {duration_text(now_s - step.started_s)}"))
        lines += _details(step, per_step)
    return Panel(Group(*lines), title=Text(shown(stage.name)), title_align="left", border_style="dim", padding=(0, 1))


def _details(step: StepView, per_step: int) -> list[Text]:
    lines = [_one_line(line, "dim") for line in list(step.last_lines)[-per_step:]]
    if step.transfer is not None:
        what, done, total = step.transfer
        lines.append(_one_line(f"{what}  {_bytes(done, total)}", "dim"))
    return lines


def _bytes(done: int, total: int | None) -> str:
    if not total:
        return size_text(done)
    return f"{size_text(done)} of {size_text(total)} ({min(100, done * 100 // total)} %)"


def _one_line(text: str, style: str = "") -> Text:
    return Text(shown(text.expandtabs()), style=style, no_wrap=True, overflow="ellipsis")
