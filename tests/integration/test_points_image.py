"""What a Dockerfile means, point by point: what steps see, config, history and layers (points 12, 15, 30, 42, 68 to 77).

The image of one build answers most of them.
"""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.descriptor import host_platform
from support.base_image import CREATED, GROUP, PASSWD, write_busybox
from support.building import Image, Project
from support.command import slimstage
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

EPOCH_S = 1_600_000_000

DOCKERFILE = """\
FROM base AS entry
ENTRYPOINT ["e"]

FROM base AS command
ENTRYPOINT ["e"]
CMD ["c"]

FROM base AS before
CMD ["c"]
ENTRYPOINT ["e"]

FROM scratch AS empty
COPY old /

FROM base AS ids
USER 4321
RUN echo "number: $(id -u) $(id -g) $(id -G)" >> /tmp/ids && chmod 666 /tmp/ids
USER app
RUN echo "name: $(id -u) $(id -g) $(id -G)" >> /tmp/ids
USER app:wheel
RUN echo "group: $(id -u) $(id -g) $(id -G)" >> /tmp/ids
WORKDIR /home/app/made
USER root
RUN stat -c '%a %u:%g' /home/app/made >> /tmp/ids

FROM base AS texts
RUN <<EOF
#!/bin/awk -f
BEGIN { print "awk" > "/script" }
EOF
RUN cat <<one 3<<two - /dev/fd/3 > /both
1
one
2
two
COPY <<first <<'second' /double/
$HOME
first
$HOME
second
SHELL ["/bin/awk"]
RUN <<EOF
BEGIN { print "shell" > "/shell" }
EOF

FROM base
RUN id -G > /root-groups
ARG foo=bar
ARG bar=123
WORKDIR /
ENV e=1
ARG foo=bar2
RUN true
COPY old new /
WORKDIR /w
RUN rm /base/gone /old-too
COPY --from=ids /tmp/ids /ids
COPY --from=texts /script /both /double /shell /texts/
LABEL l=1
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    top = tmp_path_factory.mktemp("image")
    base = write_busybox(top / "base", None, [
        ("base", tarfile.DIRTYPE, 0o755, b""), ("base/gone", tarfile.REGTYPE, 0o644, b"old\n"),
        ("old-too", tarfile.REGTYPE, 0o644, b"old\n"),
    ])  # fmt: skip
    made = Project.new(top, base, "--network=none")
    made.dockerfile(DOCKERFILE)
    os.utime(made.write("old", "old"), (1_000_000_000, 1_000_000_000))
    os.utime(made.write("new", "new"), (1_700_000_000, 1_700_000_000))
    return made


Rewritten = tuple[Image, Image]


@pytest.fixture(scope="module")
def rewritten(project: Project) -> Rewritten:
    """The image made twice with rewrite-timestamp, by stores that know nothing of one another."""
    env = {"SOURCE_DATE_EPOCH": str(EPOCH_S)}
    options = ",rewrite-timestamp=true"
    first = project.layout("one", options=options, env=env)
    return first, project.layout("two", options=options, env=env, root=project.path.parent / "other-root")


@pytest.fixture(scope="module")
def image(rewritten: Rewritten) -> Image:
    return rewritten[0]


# What steps see --------------------------------------------------------------------------------------------------


def test_point_12_a_heredoc_reaches_its_interpreter_its_shell_or_the_shell_as_text(image: Image) -> None:
    assert image.read("texts/script") == b"awk\n"
    assert image.read("texts/both") == b"1\n2\n"
    assert image.read("texts/shell") == b"shell\n"


def test_point_15_heredocs_are_files_named_by_their_words_with_mode_0644(image: Image) -> None:
    assert (image.read("texts/first"), image.read("texts/second")) == (b"\n", b"$HOME\n")
    (layer,) = [layer for layer in image.layers() if "texts/first" in layer]
    assert layer["texts/first"].mode == 0o644


def test_point_42_workdir_makes_a_directory_that_belongs_to_the_user(image: Image) -> None:
    assert image.read("ids").decode().splitlines()[3] == "755 1000:10"


def test_point_75_numbers_have_group_0_names_their_groups_and_an_explicit_group_no_other(image: Image) -> None:
    assert "app:x:1000:1000" in PASSWD
    assert "extra:x:44:app" in GROUP
    seen = image.read("ids").decode().splitlines()
    assert seen[:3] == ["number: 4321 0 0", "name: 1000 1000 1000 44", "group: 1000 10 10"]


def test_point_76_root_has_its_supplementary_groups_when_nobody_says_user(image: Image) -> None:
    assert "wheel:x:10:root" in GROUP
    assert image.read("root-groups") == b"0 10\n"


# Config and history ----------------------------------------------------------------------------------------------


def config_of(project: Project, target: str) -> dict[str, Any]:
    config: dict[str, Any] = project.layout(target, "--target", target).config
    return config


def test_point_68_entrypoint_clears_an_inherited_command_and_none_of_its_own_stage(project: Project) -> None:
    assert "Cmd" not in config_of(project, "entry")["config"]
    assert config_of(project, "command")["config"]["Cmd"] == ["c"]
    assert config_of(project, "before")["config"]["Cmd"] == ["c"]


def test_point_69_scratch_still_has_path_directory_and_platform(project: Project) -> None:
    config = config_of(project, "empty")
    assert (config["os"], config["architecture"]) == ("linux", host_platform().architecture)
    assert config["config"]["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert config["config"]["WorkingDir"] == "/"


def history(image: Image) -> list[tuple[str, bool]]:
    entries = image.config["history"][2:]
    return [(entry["created_by"], entry.get("empty_layer", False)) for entry in entries]


def test_point_70_each_entry_that_is_not_empty_has_a_layer_a_run_that_changes_nothing_too(image: Image) -> None:
    found = dict(history(image))
    assert found["RUN |2 foo=bar2 bar=123 /bin/sh -c true # buildkit"] is False
    assert found["WORKDIR /"] is True
    assert found["WORKDIR /w"] is False
    filled = [entry for entry in image.config["history"] if not entry.get("empty_layer")]
    assert len(filled) == len(image.config["rootfs"]["diff_ids"]) == len(image.manifest["layers"])


def test_point_71_history_has_the_latest_values_in_order_of_first_declaration(image: Image) -> None:
    assert history(image) == [
        ("RUN /bin/sh -c id -G > /root-groups # buildkit", False),
        ("ARG foo=bar", True),
        ("ARG bar=123", True),
        ("WORKDIR /", True),
        ("ENV e=1", True),
        ("ARG foo=bar2", True),
        ("RUN |2 foo=bar2 bar=123 /bin/sh -c true # buildkit", False),
        ("COPY old new / # buildkit", False),
        ("WORKDIR /w", False),
        ("RUN |2 foo=bar2 bar=123 /bin/sh -c rm /base/gone /old-too # buildkit", False),
        ("COPY /tmp/ids /ids # buildkit", False),
        ("COPY /script /both /double /shell /texts/ # buildkit", False),
        ("LABEL l=1", True),
    ]


# Layers ----------------------------------------------------------------------------------------------------------


def test_point_72_history_times_and_layers_of_the_base_stay_as_they_are(project: Project, image: Image) -> None:
    index = json.loads((project.base / "index.json").read_text())
    manifest = _blob(project.base, index["manifests"][0]["digest"])
    config = _blob(project.base, manifest["config"]["digest"])
    assert image.manifest["layers"][:2] == manifest["layers"]
    assert image.config["history"][:2] == config["history"]
    assert config["history"][0]["created"] == CREATED


def _blob(layout: Path, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
    return found


def test_point_73_rewrite_timestamp_lowers_later_times_and_keeps_earlier_ones(rewritten: Rewritten) -> None:
    members = {name: member for layer in rewritten[0].layers()[2:] for name, member in layer.items()}
    assert members["old"].mtime == 1_000_000_000
    assert members["new"].mtime == EPOCH_S
    assert members["root-groups"].mtime == EPOCH_S
    assert {name for name in members if ".wh." in name} == {"base/.wh.gone", ".wh.old-too"}
    assert max(member.mtime for member in members.values()) == EPOCH_S


def test_point_74_the_same_inputs_give_the_same_digest(rewritten: Rewritten, project: Project) -> None:
    first, other = rewritten
    assert first.digest == other.digest
    assert project.layout("plain-1").digest == project.layout("plain-2").digest


# Platforms -------------------------------------------------------------------------------------------------------


def test_point_77_local_output_of_several_platforms_goes_to_a_directory_each_and_one_to_the_directory_itself(
    project: Project, tmp_path: Path
) -> None:
    args = ("--network=none", "--build-context", f"base=oci-layout://{project.base}", "--target=empty", project.path)
    both = (tmp_path / "both", "--platform=linux/arm/v7,linux/amd64", "-f", "-")
    slimstage("build", "-o", *both, tmp_path, root=project.root, stdin=b"FROM scratch\nCOPY <<X /f\nX\n")
    assert sorted(os.listdir(tmp_path / "both")) == ["linux_amd64", "linux_arm_v7"]
    slimstage("build", f"--platform={host_platform()}", "-o", tmp_path / "out", *args, root=project.root)
    assert os.listdir(tmp_path / "out") == ["old"]


# Contexts --------------------------------------------------------------------------------------------------------


def test_point_30_the_ignore_file_of_a_local_context_that_replaces_a_stage_applies(
    project: Project, tmp_path: Path
) -> None:
    for name, text in ((".dockerignore", "no*\n"), ("yes", "y"), ("not", "n")):
        (tmp_path / name).write_text(text)
    dockerfile = "FROM missing AS lib\nRUN false\nFROM scratch\nCOPY --from=lib / /\n"
    project.build(f"--build-context=lib={tmp_path}", "-f", "-", "-o", tmp_path / "out", stdin=dockerfile.encode())
    assert sorted(os.listdir(tmp_path / "out")) == [".dockerignore", "yes"]
