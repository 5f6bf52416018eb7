"""Every lesson of the tutorial builds, runs, and shows what its README says."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest

from support.command import PROJECT, Done, slimstage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="base systems are made as root"),
    pytest.mark.slow,
    pytest.mark.timeout(800),
]

TUTORIAL = PROJECT / "examples" / "tutorial"


def build(folder: str, tag: str, *args: object) -> dict[str, object]:
    done = slimstage("build", "--json", "-t", tag, *args, TUTORIAL / folder, timeout_s=700)
    document = done.json()
    assert isinstance(document, dict)
    return document


def run(tag: str) -> Done:
    return slimstage("run", "--rm", tag)


def sizes(document: dict[str, object]) -> dict[str, int]:
    stages = document["stages"]
    assert isinstance(stages, list)
    return {stage["name"]: stage["size_bytes"] for stage in stages}


def statuses(document: dict[str, object], key: str = "steps") -> list[str]:
    steps = document[key]
    assert isinstance(steps, list)
    return [step["status"] for step in steps]


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_1_one_stage_and_the_second_build_is_all_cached() -> None:
    build("01-simple", "lesson1")
    assert "hello from one stage; True" in run("lesson1").out
    assert set(statuses(build("01-simple", "lesson1"))) == {"cached"}


@pytest.mark.xdist_group("tutorial-go")
def test_lesson_2_the_go_compiler_stays_behind() -> None:
    document = build("02-two-stages", "lesson2")
    assert "hello from two stages; go compiler here: false" in run("lesson2").out
    assert sizes(document)["stage-1"] < sizes(document)["builder"] / 2


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_3_the_c_compiler_stays_behind() -> None:
    document = build("03-compiler-in-builder", "lesson3")
    assert "fib(50) = 12586269025 ; compiler here: False" in run("lesson3").out
    assert sizes(document)["stage-1"] < sizes(document)["builder"] / 2


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_4_the_whole_directory_carries_intermediate_files() -> None:
    single = build("04-copy-what-you-need", "lesson4")
    whole = build("04-copy-what-you-need", "lesson4-whole", "-f", TUTORIAL / "04-copy-what-you-need/Dockerfile.whole")
    assert "f(7) = 22.0 ; files in the image: app.py, model.json" in run("lesson4").out
    assert "intermediate.bin" in run("lesson4-whole").out
    difference = int(str(whole["size_bytes"])) - int(str(single["size_bytes"]))
    assert difference > 20_000_000


@pytest.mark.xdist_group("tutorial-node")
def test_lesson_5_name_and_index_are_the_same_stage() -> None:
    by_name = build("05-names-and-indexes", "lesson5")
    by_index = build("05-names-and-indexes", "lesson5-index", "-f", TUTORIAL / "05-names-and-indexes/Dockerfile.index")
    assert "hello from a bundle; npm here: false" in run("lesson5").out
    assert set(statuses(by_index)) == {"cached"}
    assert by_name["image_id"] == by_index["image_id"]


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_6_the_right_order_installs_once_and_explain_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "lesson6"
    shutil.copytree(TUTORIAL / "06-cache-order", folder)

    def again(tag: str, *args: object) -> list[tuple[str, str]]:
        document = slimstage("build", "--json", "-t", tag, *args, folder, timeout_s=700).json()
        return [(step["instruction"].split()[0] + " " + step["status"], step["why"]) for step in document["steps"]]

    def edit() -> None:
        with (folder / "app.py").open("a") as file:
            file.write(f"# edited {uuid.uuid4()}\n")  # never as in an earlier run, which the store remembers

    edit()
    again("lesson6"), again("lesson6-bad", "-f", folder / "Dockerfile.bad")
    edit()
    good, bad = again("lesson6"), again("lesson6-bad", "-f", folder / "Dockerfile.bad")
    assert [what for what, _ in good if what.startswith("RUN")] == ["RUN cached"]
    assert [what for what, _ in bad if what.startswith("RUN")] == ["RUN run"]
    assert "app.py" in next(why for what, why in bad if what == "COPY run")
    assert "packaging 24.2" in run("lesson6").out


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_7_ignored_files_stay_out(tmp_path: Path) -> None:
    folder = tmp_path / "lesson7"
    shutil.copytree(TUTORIAL / "07-dockerignore", folder)
    shutil.copy(folder / "env.example", folder / ".env")
    slimstage("build", "-t", "lesson7", folder, timeout_s=700)
    said = run("lesson7").out
    assert "in the image: .dockerignore, Dockerfile, NOTICE.md, app.py, env.example" in said


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_8_training_libraries_stay_behind() -> None:
    build("08-train-and-serve", "lesson8")
    assert "f(10) = 29.0 ; numpy here: False" in run("lesson8").out


@pytest.mark.xdist_group("tutorial-python")
def test_lesson_9_ci_tests_one_target_and_ships_another() -> None:
    test = build("09-build-test-package", "lesson9-test", "--target", "test")
    assert "built" in statuses(test, "stages") or "cached" in statuses(test, "stages")
    package = build("09-build-test-package", "lesson9", "--target", "package")
    stages = package["stages"]
    assert isinstance(stages, list)
    assert {stage["name"]: stage["status"] for stage in stages}["test"] == "skipped"
    assert "2 + 3 = 5" in run("lesson9").out


@pytest.mark.xdist_group("tutorial-python")
def test_a_failing_test_stage_fails_the_build(tmp_path: Path) -> None:
    folder = tmp_path / "lesson9"
    shutil.copytree(TUTORIAL / "09-build-test-package", folder)
    (folder / "calc.py").write_text((folder / "calc.py").read_text().replace("a + b", "a - b"))
    done = slimstage("build", "--target", "test", folder, status=1, timeout_s=700, may_trace=True)
    assert "FAILED (failures=1)" in done.err
    assert "Dockerfile:8:1: run-failed" in done.err
