"""`slimstage compare`: what became of an image, to the byte, and what an update costs, by what a registry then serves."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from support.building import Project
from support.registry import needs_registry
from support.registry_process import RegistryProcess
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

SITE = "usr/lib/python3/site-packages"
_ACCESS = re.compile(r'"GET (/v2/\S+/(?:blobs|manifests)/\S+) HTTP/1\.1" 200 (\d+)')


def package(project: Project, version: str, size: int) -> None:
    project.write("site/numeric/core.so", random.Random(version).randbytes(size))
    record = f"numeric/core.so,,\nnumeric-{version}.dist-info/METADATA,,\n"
    for old in (project.path / "site").glob("*.dist-info/*"):
        old.unlink()
    project.write(f"site/numeric-{version}.dist-info/METADATA", f"Name: numeric\nVersion: {version}\n")
    project.write(f"site/numeric-{version}.dist-info/RECORD", record)


@pytest.fixture
def service(project: Project) -> Project:
    """Two images, `app:1` and `app:2`: a package upgraded, a file changed, one removed, one with other rights, a variable."""
    package(project, "1.9", 40_000)
    project.write("app/main.py", "print('one')\n")
    project.write("app/old.py", "x\n")
    project.write("app/tool", "#!/bin/sh\n", 0o644)
    project.write("model.bin", random.Random(3).randbytes(300_000))
    project.dockerfile(
        f'FROM base\nCOPY model.bin /model.bin\nCOPY site /{SITE}\nCOPY app /app\nENV MODE=old\nCMD ["/app/main.py"]\n'
    )
    project.build("-t", "app:1")
    package(project, "1.10", 50_000)
    project.write("app/main.py", "print('two')\n")  # as long as before
    (project.path / "app/old.py").unlink()
    (project.path / "app/tool").chmod(0o755)
    project.dockerfile((project.path / "Dockerfile").read_text().replace("MODE=old", "MODE=new"))
    project.build("-t", "app:2")
    return project


def document(project: Project, *args: object) -> dict[str, Any]:
    found: dict[str, Any] = project.run("compare", "--json", *args).json()
    return found


def test_every_byte_of_the_difference_is_accounted_for(service: Project) -> None:
    found = document(service, "app:1", "app:2")
    delta = found["new"]["size_bytes"] - found["old"]["size_bytes"]
    assert found["delta_bytes"] == delta
    assert delta == 10_000 + len("numeric-1.10") * 1 + 1 - len("numeric-1.9") - len("x\n") - 0 + _metadata_growth()
    assert sum(each["delta_bytes"] for each in found["purposes"].values()) == delta
    assert sum(each["delta_bytes"] for each in found["packages"]) == delta
    assert sum(each["new_bytes"] - each["old_bytes"] for each in found["layers"]) == delta


def _metadata_growth() -> int:
    """Of METADATA, by the longer version; that of RECORD stands in the test."""
    return len("1.10") - len("1.9") - 1


def test_packages_files_layers_and_config_say_what_changed(service: Project) -> None:
    found = document(service, "app:1", "app:2")
    (numeric,) = [each for each in found["packages"] if each["kind"] == "python"]
    assert (numeric["change"], numeric["old_version"], numeric["new_version"]) == ("upgraded", "1.9", "1.10")
    files = {each["path"]: each["change"] for each in found["files"]["largest"]}
    assert files["app/main.py"] == "content"
    assert files["app/old.py"] == "removed"
    assert files["app/tool"] == "attributes"
    assert "model.bin" not in files
    assert found["files"]["counts"]["attributes"] == 1
    assert found["config"] == [{"field": "Env", "key": "MODE", "old": "old", "new": "new"}]
    assert [each["change"] for each in found["layers"]] == ["same", "same", "added", "added", "removed", "removed"]
    assert found["sameness"] == "different"


def test_the_other_way_round_a_package_is_downgraded(service: Project) -> None:
    found = document(service, "app:2", "app:1")
    assert [each["change"] for each in found["packages"] if each["kind"] == "python"] == ["downgraded"]
    assert found["files"]["counts"]["added"] == 3  # the file, and the package's two texts have new names


@needs_registry
def test_a_pull_costs_what_a_registry_then_serves(service: Project, tmp_path: Path) -> None:
    registry = RegistryProcess(tmp_path / "registry")
    try:
        name = f"{registry.host}/team/app"
        said = document(service, "app:1", "app:2")["pull"]
        for tag in ("1", "2"):
            service.run("tag", f"app:{tag}", f"{name}:{tag}")
            service.run("push", f"{name}:{tag}")
        host = service.on(tmp_path / "other")
        host.run("pull", f"{name}:1")
        before = len(_served(registry))
        host.run("pull", f"{name}:2")
        served = _served(registry)[before:]
        assert sum(served) == said["total_bytes"]
        assert said["layer_bytes"] < said["from_nothing_bytes"]
        of_registry = document(host, f"docker://{name}:1", f"docker://{name}:2")
        assert of_registry["pull"]["total_bytes"] == said["total_bytes"]
        assert of_registry["files"] == document(service, "app:1", "app:2")["files"]
    finally:
        registry.close()


def _served(registry: RegistryProcess) -> list[int]:
    """Bytes of each answer with a blob or a manifest, by the registry's access log."""
    return [int(size) for _, size in _ACCESS.findall((registry.directory / "log").read_text())]


def test_an_image_packed_otherwise_is_the_same(service: Project, tmp_path: Path) -> None:
    service.build("-o", f"type=oci,dest={tmp_path}/zstd.tar,compression=zstd")
    found = document(service, "app:2", f"oci-archive:{tmp_path}/zstd.tar")
    assert found["sameness"] in ("identical", "same-config")
    assert found["delta_bytes"] == 0
    assert found["pull"]["layer_bytes"] > 0
    assert "one image" in service.run("compare", "app:2", f"oci-archive:{tmp_path}/zstd.tar").out


def test_an_image_beside_itself_costs_nothing(service: Project) -> None:
    done = service.run("compare", "app:1", "app:1")
    assert "They are one image" in done.out
    assert "fetches nothing" in done.out


def test_parts_cost_less_than_layers(project: Project) -> None:
    project.write("data/big", random.Random(1).randbytes(400_000))
    project.write("data/small", "one\n")
    project.dockerfile("FROM scratch\nCOPY data /data\n")
    layouts: list[Path] = []
    for text in ("one\n", "two\n"):
        project.write("data/small", text)
        layouts.append(project.layout(f"layout-{len(layouts)}", options=",compression=estargz").path)
    pull = document(project, f"oci:{layouts[0]}", f"oci:{layouts[1]}")["pull"]
    assert pull["layer_bytes"] > 400_000
    assert 0 < pull["in_parts_bytes"] < 0.02 * pull["layer_bytes"]


def test_text_and_markdown_say_the_same_and_others_names_are_escaped(project: Project) -> None:
    project.dockerfile("FROM base\nCOPY f /f\nLABEL evil='<img src=x>|a'\n")
    project.write("f", "1")
    project.build("-t", "a")
    project.write("f", "1234")
    project.dockerfile("FROM base\nCOPY f /f\nLABEL evil='[x](y)'\n")
    project.build("-t", "b")
    text = project.run("compare", "a", "b").out
    markdown = project.run("compare", "--format", "markdown", "a", "b").out
    assert "The new image is 3 B" in text
    assert "The new image is 3 B" in markdown
    assert markdown.startswith("## a → b\n")
    assert "<img" not in markdown
    assert "[x](y)" not in markdown
    assert "| --- |" in markdown


def test_stages_say_what_stayed_behind_and_what_they_saved(project: Project) -> None:
    project.dockerfile(
        "FROM base AS build\nRUN head -c 3000000 /dev/urandom > /work && head -c 1000 /work > /model\n"
        "FROM base\nCOPY --from=build /model /model\n"
    )
    project.build("-t", "app")
    found = project.run("compare", "--stages", "--json", "app").json()
    build, final = found["stages"]
    assert (build["own_bytes"], build["handed_on_bytes"], build["behind_bytes"]) == (3_001_000, 1000, 3_000_000)
    assert sum(build["behind_purposes"].values()) == 3_001_000
    assert final["is_in_image"]
    assert found["saved_bytes"] == 3_000_000
    assert found["verdict"] == "saves"
    assert "the stages save 3 MB" in project.run("compare", "--stages", "app").out


def test_stages_that_bring_nothing_are_called_so(project: Project) -> None:
    project.dockerfile("FROM base AS deps\nRUN head -c 900000 /dev/zero > /deps\nFROM deps\nRUN echo app > /app\n")
    project.build("-t", "app")
    done = project.run("compare", "--stages", "app")
    assert "The stages save nothing" in done.out
    assert "One stage that does the same is easier" in done.out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("app:1",), "takes two images"),
        (("--stages", "a", "b"), "takes one image"),
        (("--json", "--format", "text", "a", "b"), "ask for different things"),
        (("--format", "html", "a", "b"), "html"),
        (("nothing-here", "app:1"), "nothing-here"),
    ],
)
def test_wrong_uses_are_refused_with_a_hint(project: Project, args: tuple[str, ...], message: str) -> None:
    done = project.run("compare", *args, status=2)
    assert message in done.err


def test_how_an_image_from_elsewhere_was_built_is_not_known(project: Project, tmp_path: Path) -> None:
    project.dockerfile("FROM scratch\nCOPY Dockerfile /\n")
    project.build("-o", f"type=oci,dest={tmp_path}/a.tar,name=app:x")
    project.run("load", "-i", f"{tmp_path}/a.tar")
    done = project.run("compare", "--stages", "app:x", status=2)
    assert "is not known here" in done.err
