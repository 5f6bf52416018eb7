"""`slimstage report` and `build --report` on an image that is built here: the page knows stages, times and findings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from support.building import Project
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS train
WORKDIR /w
RUN head -c 50000 /dev/zero > model && echo "loss </script> 0.1"

FROM base
COPY --from=train /w/model /srv/
"""


def test_a_build_writes_a_report_of_itself(project: Project, tmp_path: Path) -> None:
    project.dockerfile(DOCKERFILE)
    page = tmp_path / "build.html"
    done = project.build("-t", "app", "--report", page)
    assert f"wrote {page}" in done.err
    text = page.read_text()
    assert "<title>app – slimstage report</title>" in text
    assert "loss &lt;/script&gt; 0.1" in text
    assert "train → stage-1" in text
    assert '"/srv"' not in text.partition("<title>")[0]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_report_of_an_image_remembers_its_build_and_compares(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.build("-t", "app:1")
    project.dockerfile(DOCKERFILE.replace("50000", "80000"))
    project.build("-t", "app:2")
    document: dict[str, Any] = project.run("report", "--json", "--against", "app:1", "app:2").json()
    assert document["title"] == "app:2"
    assert [node["name"] for node in document["stages"]["nodes"] if node["kind"] == "stage"] == ["train", "stage-1"]
    assert [edge["size_bytes"] for edge in document["stages"]["edges"] if edge["kind"] == "copy"] == [80_000]
    assert document["timeline"]["is_remembered"]
    compared = document["comparison"]
    assert compared["files"][0]["new_bytes"] == 80_000
    known = project.run("compare", "--json", "app:1", "app:2").json()
    assert compared["pull_bytes"] == known["pull"]["total_bytes"]
    assert compared["pull_is_compressed"]
    assert sum(each["size_bytes"] for each in document["purposes"]) == document["image"]["size_bytes"]
    assert not (project.path / "report.html").exists()

    same = project.run("report", "-o", "-", "--against", "app:2", "app:2").out
    assert "app:2 is as large as app:2." in same

    project.run("report", "app:2")
    written = (project.path / "report.html").read_bytes()
    assert project.run("report", "-o", "-", "app:2").out.encode() == written


def test_an_image_from_elsewhere_is_told_without_its_build(project: Project, tmp_path: Path) -> None:
    project.dockerfile(DOCKERFILE)
    archive = tmp_path / "app.tar"
    project.build("-o", f"type=oci,dest={archive}")
    done = project.run("report", "-o", "-", "--against", archive, f"oci-archive:{archive}", root=tmp_path / "other")
    assert "How this image was built is not known here" in done.out
    assert re.search(r"<h1>[^<]*app\.tar</h1>", done.out)


def test_what_cannot_be_written_is_said_before_anything_is_done(project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY Dockerfile /\n")
    for args in (("build", "--report", "missing/x.html", "."), ("report", "-o", "missing/x.html", "none")):
        done = project.run(*args, status=2)
        assert '"' in done.err
        assert "is not there" in done.err
    done = project.run("build", "--report", "x.html", "-o", "out", ".", status=2)
    assert "--report is about an image of the store" in done.err
    done = project.run("report", "--json", "-o", "-", "none", status=2)
    assert "both print to stdout" in done.err
    done = project.run("report", "none", status=2)
    assert 'no image "none"' in done.err
