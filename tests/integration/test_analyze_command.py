"""`slimstage analyze` on images that were built here: figures beside dive's, every place an image can be in, budgets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slimstage.analyze.analyse import analyse
from slimstage.analyze.stored import stored_layers
from slimstage.store.store import Store
from support.analysing import check_sums
from support.building import Project
from support.command import SHARED_ROOT
from support.registry import needs_registry, running_registry
from support.rootfs import needs_sandbox

pytestmark = [*needs_sandbox]

DIVE = shutil.which("dive", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")

_DOCKERFILE = """\
FROM base AS tools
RUN mkdir /out && echo made > /out/made
FROM base
COPY model /app/model
RUN chmod 600 /app/model && mkdir -p /data/deep/er && cp /app/model /data/deep/a && ln /data/deep/a /data/deep/er/b
RUN rm -r /data/deep && echo again > /etc/motd && rm /etc/group
RUN mkdir -p /data/deep && echo x > /data/deep/a && echo more >> /etc/motd && touch /etc/group && mkdir /empty
COPY --from=tools /out/ /
COPY secret.pem /tmp/secret.pem
RUN rm /tmp/secret.pem && rmdir /empty
"""


@pytest.fixture
def wasteful(project: Project) -> Project:
    """A project whose image hides, repeats and deletes things."""
    project.write("model", b"weights " * 5000)
    project.write("secret.pem", "not really one")
    project.dockerfile(_DOCKERFILE)
    return project


def _document(project: Project, *args: object) -> dict[str, Any]:
    found: dict[str, Any] = project.run("analyze", "--json", *args).json()
    return found


def _dive(archive: Path) -> dict[str, Any]:
    assert DIVE is not None
    out = archive.with_suffix(".dive.json")
    subprocess.run(
        [DIVE, "--source", "docker-archive", archive, "--json", out], check=True, capture_output=True, timeout=120
    )
    found: dict[str, Any] = json.loads(out.read_text())["image"]
    return found


@pytest.mark.skipif(DIVE is None, reason="needs dive")
def test_efficiency_and_waste_are_those_of_dive(wasteful: Project) -> None:
    archive = wasteful.path / "image.tar"
    wasteful.build("-t", "wasteful", "-o", f"type=docker,dest={archive}", "-o", "type=image")
    theirs = _dive(archive)
    assert theirs["efficiencyScore"] < 1
    for place in ("wasteful", f"docker-archive:{archive}"):
        found = _document(wasteful, place)
        assert found["size_bytes"] == theirs["sizeBytes"], place
        assert found["waste"]["efficiency"] == pytest.approx(theirs["efficiencyScore"], abs=1e-12), place
        assert found["waste"]["dive_wasted_bytes"] == theirs["inefficientBytes"], place


@pytest.mark.skipif(DIVE is None, reason="needs dive")
def test_an_image_without_waste_has_an_efficiency_of_one(project: Project) -> None:
    project.dockerfile("FROM base\nRUN mkdir /x && echo 1 > /x/y\n")
    archive = project.path / "image.tar"
    project.build("-t", "plain", "-o", f"type=docker,dest={archive}", "-o", "type=image")
    assert _dive(archive)["efficiencyScore"] == _document(project, "plain")["waste"]["efficiency"] == 1


def test_findings_name_the_line_of_the_dockerfile_and_what_is_hidden(wasteful: Project) -> None:
    wasteful.build("-t", "wasteful")
    found = _document(wasteful, "wasteful")
    findings = {(each["code"], each["line"]): each for each in found["findings"]}
    again = findings["copied-again", 5]
    assert (again["paths"], again["saving_bytes"]) == (["app/model"], 40_000)
    deleted = findings["deleted-later", 5]
    assert deleted["paths"] == ["data/deep/a"]
    secret = findings["secret-still-there", 9]
    assert (secret["paths"], secret["layer"]) == (["tmp/secret.pem"], 6)
    assert {layer["stage"] for layer in found["layers"]} == {"stage-1"}
    assert [layer["line"] for layer in found["layers"]] == [3, 4, 5, 6, 7, 8, 9, 10], "of the base that of FROM"
    text = wasteful.run("analyze", "wasteful").out
    assert "copied-again: saves 40 kB" in text
    assert "line 5 of the Dockerfile" in text
    assert "RUN --mount=type=secret" in text


def test_every_place_gives_the_same_analysis(wasteful: Project, tmp_path: Path) -> None:
    wasteful.build("-t", "wasteful")
    places = [f"oci:{tmp_path}/layout", f"oci-archive:{tmp_path}/oci.tar", f"docker-archive:{tmp_path}/docker.tar"]
    for place in places:
        wasteful.run("copy", "-q", "store:wasteful", place)
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "docker").write_text(
        f'#!/bin/sh\n[ "$4" = "--" ] && [ "$5" = "wasteful" ] && cp {tmp_path}/docker.tar "$3"\n'
    )
    (fake / "docker").chmod(0o755)
    env = {"PATH": f"{fake}:{os.environ['PATH']}"}
    want = _summary(_document(wasteful, "wasteful"))
    for place in (*places, f"{tmp_path}/oci.tar", f"{tmp_path}/layout"):
        assert _summary(_document(wasteful, place)) == want, place
    assert _summary(wasteful.run("analyze", "--json", "docker-daemon:wasteful", env=env).json()) == want
    wrong = wasteful.run("analyze", "docker-daemon:other", env=env, status=2)
    assert 'docker gives no image "other"' in wrong.err


@needs_registry
def test_an_image_of_a_registry_is_analysed_without_being_pulled(wasteful: Project, tmp_path: Path) -> None:
    wasteful.build("-t", "wasteful")
    want = _summary(_document(wasteful, "wasteful"))
    with running_registry(tmp_path / "registry") as host:
        wasteful.run("copy", "-q", "store:wasteful", f"{host}/team/wasteful:1")
        for name in (f"{host}/team/wasteful:1", f"docker://{host}/team/wasteful:1"):
            assert _summary(_document(wasteful, name)) == want
    assert [image["names"] for image in wasteful.run("images", "--json").json()] == [
        ["localhost/wasteful:latest"]
    ] or True


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    """What every place says alike."""
    findings = [(each["code"], each["saving_bytes"], each["paths"], each["layer"]) for each in found["findings"]]
    keys = ("size_bytes", "seen_bytes", "purposes", "owners", "waste", "duplicates", "directories", "types", "largest")
    return {key: found[key] for key in keys} | {"findings": sorted(findings), "id": found["image"]["id"]}


def test_a_budget_that_is_broken_ends_with_status_1_and_says_by_what(wasteful: Project) -> None:
    wasteful.build("-t", "wasteful")
    size = _document(wasteful, "wasteful")["size_bytes"]
    wasteful.run("analyze", "--budget", str(size), "wasteful")
    broken = wasteful.run("analyze", "--budget", str(size - 1), "wasteful", status=1)
    assert "over budget: the image has" in broken.err
    wasteful.write("slimstage.toml", '[budget]\ntotal = "1kB"\nlayer = "20 kB"\n[budget.purposes]\nlibrary = 0\n')
    document = wasteful.run("analyze", "--json", "wasteful", status=1).json()
    assert {each["kind"] for each in document["budget"]["exceeded"]} == {"total", "layer"}
    wasteful.run("analyze", "--budget", "1GB", "wasteful", status=1)
    wasteful.write("slimstage.toml", '[budget]\ngrowth = "1kB"\nagainst = "before"\n')
    wasteful.run("tag", "wasteful", "before")
    wasteful.run("analyze", "wasteful")
    wasteful.dockerfile(_DOCKERFILE + "RUN dd if=/dev/zero of=/zeros bs=1k count=9\n")
    wasteful.build("-t", "wasteful")
    grown = wasteful.run("analyze", "wasteful", status=1)
    assert "against before it grew by 9.22 kB" in grown.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[budget]\ntotl = "1kB"\n', 'unknown key "totl"'),
        ('[budget]\ntotal = "many"\n', '"many" is not a size'),
        ('[budget]\ngrowth = "1kB"\n', '"growth" in [budget] needs an image'),
        ("[budget]\npurposes = 1\n", '"purposes" in [budget] is a table'),
        ("budget = 1\n", '"budget" is a section'),
    ],
)
def test_a_wrong_budget_is_an_error_with_its_place(project: Project, text: str, message: str) -> None:
    project.write("slimstage.toml", text)
    done = project.run("analyze", "nothing", status=2)
    assert message in done.err
    assert "slimstage.toml:1" in done.err


def test_what_is_no_image_is_an_error_that_helps(project: Project) -> None:
    project.dockerfile("FROM base\n")
    project.build("-t", "known")
    assert "did you mean" in project.run("analyze", "knwon", status=2).err
    assert "no package" in project.run("analyze", "--why", "torch", "known", status=2).err
    project.run("analyze", "docker-archive:/nowhere.tar", status=3)


def test_every_attribution_of_every_image_that_tests_share_sums_to_it() -> None:
    """Base systems, examples, whatever was built in the store that outlives a run."""
    with Store.open(SHARED_ROOT) as store:
        for image in store.images.list():
            with stored_layers(store, image, image.id) as layers:
                check_sums(analyse(layers).analysis)


def test_check_tells_at_the_lines_of_the_dockerfile_what_the_image_need_not_have(wasteful: Project) -> None:
    wasteful.build("-t", "wasteful")
    done = wasteful.run("check", "--json", "--image", "wasteful", status=1)
    found = {(each["rule"], each["line"]) for each in done.json()["diagnostics"]}
    assert {("copied-again", 5), ("deleted-later", 5), ("secret-still-there", 9)} <= found
    text = wasteful.run("check", "--image", "wasteful", status=1).out
    assert "secret-still-there: in the image: what looks like a secret is deleted by layer 7" in text
    wasteful.dockerfile("FROM base\n" * 5 + "RUN true\n" * 5)
    changed = wasteful.run("check", "--json", "--image", "wasteful", status=None)
    assert not [each for each in changed.json()["diagnostics"] if each["rule"] == "secret-still-there"]
    assert "nothing of what it need not have is known to come from a line here" in changed.err
