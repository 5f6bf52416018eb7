"""The summary in Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimstage.build.request import (
    BuildResult,
    LayerResult,
    StageCopy,
    StageResult,
    StayedBehind,
    StepResult,
    WarningResult,
)
from slimstage.cli.step_summary import append_summary, markdown
from slimstage.errors import UsageError

RESULT = BuildResult(
    image_id="sha256:" + "a" * 64,
    manifest_digest="sha256:" + "b" * 64,
    tags=("iris:latest",),
    platform="linux/amd64",
    size_bytes=182_000_000,
    compressed_bytes=None,
    duration_s=12.3,
    layers=(LayerResult(None, "sha256:" + "c" * 64, 1000, "RUN echo a | tee <b>[x](y)"),),
    stages=(
        StageResult("train", 0, "built", 900_000_000, copied_from=()),
        StageResult("serve", 1, "cached", 182_000_000, copied_from=(StageCopy("train", ("/model",), 2000),)),
        StageResult("test", 2, "skipped", 0, why="not needed"),
    ),
    steps=(
        StepResult("train", 4, "RUN slow", "run", 9.0, 10, "new"),
        StepResult("train", 3, "RUN quick", "run", 1.0, 10, "new"),
        StepResult("serve", 8, "COPY", "cached", 0.0, 10, ""),
    ),
    warnings=(WarningResult("w", "watch\nout", 7),),
    outputs=(),
    stayed_behind=StayedBehind(718_000_000, ("train",)),
)


def test_it_says_what_came_of_the_build() -> None:
    text = markdown(RESULT)
    assert text.startswith("## iris")
    assert "182 MB in 1 layer; 718 MB stayed behind in train" in text
    assert "| serve | cached | 182 MB | train: /model (2 kB) |" in text
    assert "2 steps ran, 1 cached." in text
    assert text.index("RUN slow") < text.index("RUN quick")
    assert "- w: watch" in text


def test_others_text_stays_text() -> None:
    line = next(line for line in markdown(RESULT).splitlines() if "tee" in line)
    assert "RUN echo a &#124; tee &#60;b&#62;&#91;x&#93;(y)" in line
    assert line.count("|") == 3


def test_several_builds_of_a_job_add_up(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    append_summary(str(path), RESULT)
    append_summary(str(path), RESULT)
    assert path.read_text().count("## iris") == 2
    with pytest.raises(UsageError, match="cannot write"):
        append_summary(str(tmp_path), RESULT)
