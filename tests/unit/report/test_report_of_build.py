"""Stages and timeline of a report: from what the store remembers, and from a build's events."""

from __future__ import annotations

from slimstage.events import BuildFinished, CacheHit, LogLine, StepFinished, StepStarted
from slimstage.report.of_build import MOST_STEPS, BuildRecorder, stages_of, timeline, timeline_of
from slimstage.report.record import StageEdge, StepRow
from slimstage.store.builds import BuiltCopy, BuiltStage, BuiltStep, StoredBuild

TRAIN = BuiltStage(
    0, "train", 1, "built", "python:3.11", None, 900, copies=(BuiltCopy(None, "ghcr.io/uv", 2, ("/uv",), 30),)
)
TEST = BuiltStage(1, "test", 5, "skipped", "", None, 0, why="nothing needs it")
TOOLS = BuiltStage(2, "tools", 7, "cached", "train", 0, 950)
SERVE = BuiltStage(
    4, "serve", 9, "built", "python:3.11", None, 400, copies=(BuiltCopy(0, "train", 10, ("/w/model", "/w/x"), 250),)
)
BUILD = StoredBuild(
    "Dockerfile", 4, 12.5, 0.0, 650, (TRAIN, TEST, TOOLS, SERVE),
    (
        BuiltStep(0, 1, "FROM python:3.11", "cached", 0),
        BuiltStep(0, 3, "RUN train", "run", 500, started_s=0.5, duration_s=10.0),
        BuiltStep(4, 10, "COPY --from=train /w/model /w/x /", "cached", 250, source="registry.example/cache"),
    ),
)  # fmt: skip


def test_stages_are_those_of_the_dockerfile_with_images_behind_them() -> None:
    found = stages_of(BUILD)
    assert [(node.name, node.kind, node.is_target) for node in found.nodes] == [
        ("train", "stage", False),
        ("test", "stage", False),
        ("tools", "stage", False),
        ("serve", "stage", True),
        ("python:3.11", "image", False),
        ("ghcr.io/uv", "image", False),
    ]
    assert found.edges == (
        StageEdge(4, 0, "base"),
        StageEdge(5, 0, "copy", 30, ("/uv",), 2),
        StageEdge(0, 2, "base"),
        StageEdge(4, 3, "base"),
        StageEdge(0, 3, "copy", 250, ("/w/model", "/w/x"), 10),
    )
    assert (found.dockerfile, found.stayed_behind_bytes) == ("Dockerfile", 650)


def test_a_remembered_build_has_its_times() -> None:
    found = timeline_of(BUILD)
    assert (found.ran, found.cached, found.duration_s, found.is_remembered) == (1, 2, 12.5, True)
    assert [(step.stage, step.stage_name, step.start_s, step.end_s) for step in found.steps] == [
        (0, "train", 0.0, 0.0),
        (0, "train", 0.5, 10.5),
        (3, "serve", 0.0, 0.0),
    ]
    assert found.steps[2].source == "registry.example/cache"


def test_events_become_a_timeline_with_the_last_lines_of_logs() -> None:
    recorder = BuildRecorder()
    recorder(CacheHit(0.1, "a", "train", 1, 2, "FROM x", 1, 70, "cache.example"))
    recorder(StepStarted(0.2, "b", "train", 2, 2, "RUN train", 3))
    for number in range(100):
        recorder(LogLine(0.3, "b", 1, f"line {number} " + "x" * 1000))
    recorder(StepFinished(5.2, "b", "train", 4.5, 90, "the file changed"))
    recorder(BuildFinished(6.0, "sha256:1", 5, True))
    found = recorder.timeline(stages_of(BUILD))
    assert (found.duration_s, found.ran, found.cached, found.is_remembered) == (6.0, 1, 1, False)
    hit, run = found.steps
    assert (hit.status, hit.source, hit.layer_bytes, hit.end_s) == ("cached", "cache.example", 70, 0.0)
    assert (run.stage, run.start_s, run.end_s, run.layer_bytes) == (0, 5.2 - 4.5, 5.2, 90)
    assert (run.why, run.log_count, len(run.log)) == ("the file changed", 100, 60)
    assert run.log[-1].startswith("line 99 ")
    assert all(len(line) < 500 for line in run.log)


def test_logs_of_very_many_steps_are_cut_to_what_a_page_can_hold() -> None:
    recorder = BuildRecorder()
    for step in range(400):
        recorder(StepStarted(0.0, str(step), "s", step, 400, "RUN x", step))
        for _ in range(60):
            recorder(LogLine(0.0, str(step), 1, "y" * 400))
    logs = [step.log for step in recorder.timeline().steps]
    assert {len(log) for log in logs} == {1}
    assert sum(len(line) for log in logs for line in log) <= 256 << 10


def test_of_very_many_steps_the_longest_are_told_in_their_order() -> None:
    steps = [
        StepRow(0, "s", n, f"RUN {n}", "run" if n % 5 == 0 else "cached", 0, n if n % 5 == 0 else 0)
        for n in range(8000)
    ]
    found = timeline(steps, 3.0)
    assert (len(found.steps), found.ran, found.cached) == (MOST_STEPS, 1600, 6400)
    lines = [step.line for step in found.steps]
    assert lines == sorted(lines)
    assert min(step.end_s for step in found.steps) == 3000
