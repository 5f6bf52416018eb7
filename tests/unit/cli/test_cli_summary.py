"""The words at the end of a build, the files it writes, tables and units."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from slimstage.build.request import (
    BuildResult,
    LayerResult,
    OutputResult,
    PlatformResult,
    StageCopy,
    StageResult,
    StayedBehind,
    StepResult,
    WarningResult,
)
from slimstage.cli.build_files import check_writable, write_image_id, write_metadata, write_text
from slimstage.cli.show import plain, table
from slimstage.cli.summary import explain_text, image_line, platform_table, summary_text
from slimstage.cli.terminal import Paint, has_colour
from slimstage.cli.units import age_text, counted, duration_text, short_digest, size_text, time_text
from slimstage.errors import UsageError
from slimstage.values import replace

ID = "sha256:" + "ab" * 32


def step(stage: str, instruction: str, size: int, status: str = "run") -> StepResult:
    return StepResult(stage, 1, instruction, status, 1.5, size, "its text changed" if status == "run" else "")  # type: ignore[arg-type] # a literal


RESULT = BuildResult(
    image_id=ID,
    manifest_digest="sha256:" + "cd" * 32,
    tags=("iris", "localhost:5000/iris:1"),
    platform="linux/amd64",
    size_bytes=182_000_000,
    compressed_bytes=None,
    duration_s=12.34,
    layers=(LayerResult(None, "sha256:" + "ef" * 32, 5, "COPY"),),
    stages=(
        StageResult("base", 0, "cached", 120_000_000),
        StageResult("train", 1, "built", 1_120_000_000),
        StageResult("docs", 2, "skipped", 0, "the target does not need it"),
        StageResult(
            "serve", 3, "built", 182_000_000, "", (StageCopy("train", ("/app/a", "/b", "/c", "/d"), 12_000_000),)
        ),
    ),
    steps=(
        step("base", "FROM debian", 100_000_000, "cached"),
        step("base", "RUN apt-get", 20_000_000, "cached"),
        step("train", "FROM base", 0),
        step("train", "RUN pip install", 1_000_000_000),
        step("serve", "FROM base AS serve", 0),
        step("serve", "COPY --from=train /app/a /", 12_000_000),
    ),
    warnings=(WarningResult("x", "y"),),
    outputs=(OutputResult("image", None, None), OutputResult("oci", "x.tar", ID)),
    stayed_behind=StayedBehind(988_000_000, ("train",)),
)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "b"), "5 MB stayed behind in a and b;"),
        (("a", "b", "c"), "5 MB stayed behind in a, b and c;"),
        (("a", "b", "c", "d", "e"), "5 MB stayed behind in 5 earlier stages;"),
    ],
)
def test_stages_that_something_stayed_behind_in_are_named_or_counted(names: tuple[str, ...], said: str) -> None:
    assert said in image_line(replace(RESULT, stayed_behind=StayedBehind(5_000_000, names)))


def test_an_image_of_one_stage_leaves_nothing_behind() -> None:
    assert "behind" not in image_line(replace(RESULT, stayed_behind=StayedBehind()))


def test_the_image_line_says_size_layers_and_what_stayed_behind() -> None:
    assert image_line(RESULT) == (
        "iris, localhost:5000/iris:1 (abababababab) is 182 MB in 1 layer; 988 MB stayed behind in train; 12.3s"
    )


def test_the_summary_has_a_line_for_each_stage_and_output() -> None:
    text = summary_text(RESULT, Paint(False))
    assert text.splitlines() == [
        "STAGE  STATUS     SIZE  COPIED FROM OTHER STAGES",
        "base   cached    120MB",
        "train  built    1.12GB",
        "docs   skipped       -  the target does not need it",
        "serve  built     182MB  train: /app/a /b /c … (12MB)",
        image_line(RESULT),
        "wrote oci x.tar (abababababab)",
    ]


def test_explain_says_why_each_step_ran() -> None:
    text = explain_text(RESULT)
    assert "train, line 1: RUN pip install\n  1.5s, because its text changed\n" in text
    assert text.endswith("4 steps ran, 2 cached")


def test_json_has_the_fields_of_the_result_by_name() -> None:
    document = json.loads(json.dumps(plain(RESULT)))
    assert list(document) == [
        "image_id", "manifest_digest", "tags", "platform", "size_bytes", "compressed_bytes", "duration_s", "layers",
        "stages", "steps", "warnings", "outputs", "stayed_behind", "caches",
        "platforms",
    ]  # fmt: skip
    assert document["stages"][0]["status"] == "cached"
    assert document["compressed_bytes"] is None


def test_an_index_is_summed_up_with_a_line_for_each_platform() -> None:
    parts = tuple(
        PlatformResult(platform, "sha256:" + mark * 64, "sha256:" + "0" * 64, size, None, (), (), behind)
        for platform, mark, size, behind in (
            ("linux/amd64", "1", 2_000_000, StayedBehind(1_000_000_000, ("train",))),
            ("linux/arm/v7", "2", 1_000_000, StayedBehind()),
        )
    )
    both = replace(RESULT, platforms=parts, size_bytes=3_000_000)
    assert image_line(both) == "iris, localhost:5000/iris:1 (abababababab) is 3 MB for 2 platforms; 12.3s"
    assert platform_table(both).splitlines() == [
        "PLATFORM      IMAGE ID      SIZE  STAYED BEHIND",
        "linux/amd64   111111111111   2MB            1GB",
        "linux/arm/v7  222222222222   1MB              -",
    ]
    assert platform_table(both) in summary_text(both, Paint(False))
    assert "PLATFORM" not in summary_text(replace(RESULT, platforms=parts[:1]), Paint(False))


def test_metadata_of_an_index_names_no_config(tmp_path: Path) -> None:
    part = PlatformResult("linux/amd64", ID, ID, 1, None, (), ())
    write_metadata(str(tmp_path / "meta.json"), replace(RESULT, platforms=(part, part)))
    assert "containerimage.config.digest" not in json.loads((tmp_path / "meta.json").read_text())


def test_iidfile_and_metadata(tmp_path: Path) -> None:
    write_image_id(str(tmp_path / "iid"), RESULT)
    assert (tmp_path / "iid").read_text() == ID
    write_metadata(str(tmp_path / "meta.json"), RESULT)
    assert json.loads((tmp_path / "meta.json").read_text()) == {
        "containerimage.config.digest": ID,
        "containerimage.digest": "sha256:" + "cd" * 32,
        "image.name": "docker.io/library/iris:latest,localhost:5000/iris:1",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iid", "meta.json"]


def test_files_that_cannot_be_written_are_found_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        check_writable(str(tmp_path), "--iidfile")
    with pytest.raises(UsageError, match="is not there"):
        check_writable(str(tmp_path / "no" / "x"), "--iidfile")
    check_writable(str(tmp_path / "x"), "--iidfile")


def test_a_pipe_or_device_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(str(pipe), "page")
        assert os.read(reader, 10) == b"page"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(UsageError, match="no space left on device"):
        write_text(str(full), "page")
    assert full.is_symlink()


def test_tables_escape_what_could_move_the_cursor_and_end_without_blanks() -> None:
    text = table(("A", "B"), [("x\x1b[2J", "1"), ("y", "")], right=(1,))
    assert text == "A         B\nx\\x1b[2J  1\ny"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (999_499, "999kB"), (999_500, "1MB"), (182_345_678, "182MB"),
     (1_240_000_000, "1.24GB"), (10**18, "1e+03PB")],
)  # fmt: skip
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text


def test_durations_ages_and_times() -> None:
    assert [duration_text(s) for s in (0.04, 12.34, 59.99, 125, 3720)] == ["0.0s", "12.3s", "1m00s", "2m05s", "1h02m"]
    assert [age_text(s) for s in (-5, 59, 61, 3600, 90000, 4e7)] == ["0s", "59s", "1m", "1h", "1d", "1y"]
    assert time_text(0.9) == "1970-01-01T00:00:00Z"
    assert short_digest(ID) == "abababababab"


def test_colour_needs_a_terminal_or_a_wish() -> None:
    import io

    assert not has_colour(io.StringIO(), None, {})
    assert has_colour(io.StringIO(), True, {"NO_COLOR": "1"})
    closed = io.StringIO()
    closed.close()
    assert not has_colour(closed, None, {})


def test_a_number_of_things() -> None:
    assert [counted(number, "layer") for number in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
