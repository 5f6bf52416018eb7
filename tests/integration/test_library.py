"""`slimstage.build(...)`: the examples of docs/library.md, and what a caller may do wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import slimstage
from slimstage.errors import DockerfileError, UsageError
from slimstage.events import BuildFinished, Event, StepStarted

pytestmark = pytest.mark.root

PAGE = Path(__file__).parents[2] / "docs/library.md"
BASE = "FROM base\n"


@pytest.fixture
def here(tmp_path: Path, busybox: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the page's examples name, and a store of its own."""
    (tmp_path / "base").symlink_to(busybox)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/data.csv").write_text("1,2\n3,4\n")
    (tmp_path / "token.txt").write_text("s3cret")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(tmp_path / "root"))
    return tmp_path


def test_the_examples_of_the_page_do_what_it_says(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    printed = []
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
        printed.append(capsys.readouterr().out)
    build, watch, archive, fails, stop = printed
    assert re.match(
        r"sha256:[0-9a-f]{64} [1-9][0-9]* bytes\ntrain built [1-9][0-9]*\nserve built [1-9][0-9]*\n\Z", build
    )
    assert watch.count("cached ") == 4
    assert "starts RUN" not in watch
    assert archive == ""
    assert (here / "model.tar").stat().st_size > 0
    assert "unknown-instruction" in fails
    assert "COPY" in fails
    assert stop == "stopped\n"


def build(text: str, **more: Any) -> slimstage.BuildResult:
    return slimstage.build("project", dockerfile=text, build_contexts={"base": "oci-layout://base"}, **more)


def test_a_file_a_target_and_arguments_are_taken_as_the_flags_are(here: Path) -> None:
    text = "FROM base AS first\nARG WHAT\nRUN echo $WHAT > /what\nFROM base AS last\nRUN exit 1\n"
    (here / "other.Dockerfile").write_text(text)
    result = slimstage.build(
        here / "project",
        file=here / "other.Dockerfile",
        target="First",
        build_args={"WHAT": "bread"},
        build_contexts={"base": "oci-layout://base"},
        labels={"a": "b"},
        tags=["x:1", "y"],
    )
    assert [stage.status for stage in result.stages] == ["built", "skipped"]
    assert result.tags == ("x:1", "y")


def test_several_platforms_give_an_index(here: Path) -> None:
    text = "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY data.csv /\n"
    result = slimstage.build("project", dockerfile=text, platform=["linux/amd64", "linux/arm64/v8,amd64"], tags=["a:1"])
    assert [part.platform for part in result.platforms] == ["linux/amd64", "linux/arm64"]
    assert result.image_id == result.manifest_digest
    assert len({part.image_id for part in result.platforms}) == 2
    alone = slimstage.build("project", dockerfile=text, platform="linux/arm64")
    assert alone.image_id == alone.platforms[0].image_id == result.platforms[1].image_id


def test_events_come_one_after_the_other_and_end_with_the_image(here: Path) -> None:
    seen: list[Event] = []
    inside = threading.Lock()

    def listen(event: Event) -> None:
        assert inside.acquire(blocking=False), "called twice at once"
        seen.append(event)
        inside.release()

    stages = "".join(f"FROM base AS s{n}\nRUN echo {n} > /f\n" for n in range(6))
    copies = "".join(f"COPY --from=s{n} /f /f{n}\n" for n in range(6))
    result = build(f"{stages}{BASE}{copies}", jobs=6, listener=listen)
    assert isinstance(seen[-1], BuildFinished)
    assert seen[-1].image_id == result.image_id
    assert sum(isinstance(event, StepStarted) and "RUN" in event.title for event in seen) == 6


def test_two_threads_that_build_the_same_run_each_step_once(here: Path) -> None:
    results: list[slimstage.BuildResult] = []
    text = f"{BASE}RUN cat /proc/sys/kernel/random/uuid > /id\n"
    threads = [threading.Thread(target=lambda: results.append(build(text))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = results
    assert one.image_id == other.image_id
    assert sorted(result.steps[-1].status for result in results) == ["cached", "run"]


def test_a_fault_of_the_dockerfile_comes_with_its_place(here: Path) -> None:
    with pytest.raises(DockerfileError) as caught:
        build(f"{BASE}WORKDIR\nCOPI a b\n")
    spans = [diagnostic.span for diagnostic in caught.value.diagnostics]
    assert [span.line for span in spans if span] == [2, 3]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tags": "x:1"}, "tags is one text"),
        ({"tags": [f"x@sha256:{'0' * 64}"]}, "has a digest"),
        ({"jobs": 0}, "jobs is 0"),
        ({"file": "Dockerfile"}, "file and dockerfile"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(here: Path, more: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build(BASE, **more)


def test_without_root_it_says_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UsageError, match="needs root") as caught:
        build(BASE)
    assert "slimstage build" in str(caught.value.hint)


def test_the_call_is_there_before_and_after_the_engine_is_imported() -> None:
    code = (
        "import sys, slimstage; assert 'slimstage.build' not in sys.modules; first = slimstage.build;"
        "import slimstage.build.builder; from slimstage import build; assert first is build is slimstage.build;"
        "assert callable(build) and slimstage.__version__; print(sorted(slimstage.__all__));"
        "\ntry: slimstage.nothing\nexcept AttributeError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no attribute 'nothing'" in done.stdout
