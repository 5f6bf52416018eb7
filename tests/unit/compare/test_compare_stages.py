"""Whether stages were worth having, from what the store remembers of a build."""

from __future__ import annotations

from slimstage.compare.stages import StageComparison, compared_stages
from slimstage.store.builds import BuiltCopy, BuiltStage, BuiltStep, StoredBuild
from slimstage.store.snapshots import LayerId

BASE = LayerId("base")


def stage(index: int, name: str, size: int, base_stage: int | None = None, *copies: BuiltCopy) -> BuiltStage:
    base_layers = (BASE,) if base_stage is None else ()
    return BuiltStage(index, name, 1, "built", "python:3.11", base_stage, size, base_layers, copies)


def step(stage: int, layer: str, size: int) -> BuiltStep:
    return BuiltStep(stage, 2, "RUN x", "run", size, LayerId(layer), 0.0, 1.0)


def compared(behind: int, *stages: BuiltStage, steps: tuple[BuiltStep, ...]) -> StageComparison:
    build = StoredBuild("Dockerfile", stages[-1].index, 1.0, 0.0, behind, stages, steps)
    return compared_stages(build, lambda layer: 100_000_000 if layer == BASE else 0, lambda layers: {"tests": 7})


def test_what_was_built_and_not_taken_stayed_behind() -> None:
    copy = BuiltCopy(0, "build", 9, ("/venv",), 80_000_000)
    found = compared(
        320_000_000,
        stage(0, "build", 500_000_000),
        stage(1, "serve", 180_000_000, None, copy),
        steps=(step(0, "a", 400_000_000), step(1, "b", 80_000_000)),
    )
    build, serve = found.stages
    assert (build.own_bytes, build.handed_on_bytes, build.behind_bytes) == (400_000_000, 80_000_000, 320_000_000)
    assert build.purposes == {"tests": 7}
    assert (serve.is_in_image, serve.behind_bytes, serve.taken) == (True, 0, (copy,))
    assert found.together_bytes == 580_000_000  # the base once
    assert found.verdict == "saves"
    assert round(found.saved_share, 2) == 0.64


def test_a_stage_that_the_image_stands_on_leaves_nothing_behind() -> None:
    found = compared(
        0,
        stage(0, "deps", 150_000_000),
        stage(1, "serve", 150_000_100, 0),
        steps=(step(0, "a", 50_000_000), step(1, "b", 100)),
    )
    assert [each.behind_bytes for each in found.stages] == [0, 0]
    assert all(each.is_in_image for each in found.stages)
    assert found.verdict == "nothing"


def test_little_is_said_to_be_little_and_one_stage_is_one_stage() -> None:
    stages = (stage(0, "build", 500_000_000), stage(1, "serve", 480_000_000))
    assert compared(5_000_000, *stages, steps=(step(0, "a", 5_000_000),)).verdict == "little"
    assert compared(0, stage(0, "only", 10), steps=(step(0, "a", 10),)).verdict == "single"


def test_a_skipped_stage_says_why_it_was() -> None:
    skipped = BuiltStage(0, "docs", 1, "skipped", "", None, 0, why='"serve" does not need it')
    found = compared(0, skipped, stage(1, "serve", 480_000_000), steps=())
    assert found.stages[0].is_skipped
    assert found.stages[0].why == '"serve" does not need it'
    assert found.verdict == "single"
