"""The tables of data are whole and say what is asked of them."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import get_args

import pytest

from slimstage.lint import knowledge
from slimstage.lint.commands.command import Family
from slimstage.lint.commands.distributions import normalised
from slimstage.lint.reading import base_image


def table(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((files("slimstage.lint") / "data" / f"{name}.toml").read_text())


def test_roles_are_known_roles_of_normalised_names_in_one_word() -> None:
    roles = table("roles")
    assert set(roles) == set(get_args(knowledge.RoleName))
    names = [name for group in roles.values() for name in group]
    assert len(names) >= 250
    assert len(set(names)) == len(names)
    assert all(name == normalised(name) for name in names)
    assert all(reason.isalpha() for group in roles.values() for reason in group.values())


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("wandb", "experiment-tracking"),
        ("pytest", "test-tools"),
        ("matplotlib", "plotting"),
        ("jupyterlab", "notebooks"),
        ("onnxruntime", "inference"),
        ("uvicorn", "serving"),
        ("black", "code-checks"),
    ],
)
def test_a_distribution_has_its_role(name: str, role: str) -> None:
    found = knowledge.role_of(name)
    assert found is not None
    assert found.name == role


def test_of_other_distributions_nothing_is_said() -> None:
    assert knowledge.role_of("my-own-package") is None
    assert knowledge.variants_of("numpy") == ()


def test_variants_say_what_to_do_instead() -> None:
    torch, xgboost = knowledge.variants_of("torch")[0], knowledge.variants_of("xgboost")[0]
    assert (torch.action, torch.when, torch.is_same) == ("index", "cpu", True)
    assert torch.saving_bytes is not None
    assert torch.saving_bytes > 4_000_000_000
    assert (xgboost.action, xgboost.instead, xgboost.since) == ("name", "xgboost-cpu", "2.1.2")
    assert xgboost.saving_bytes == 694_900_000
    assert [each.extra for each in knowledge.variants_of("jax")] == ["cuda12", "cuda13", "cuda"]


def test_only_a_variant_with_another_name_or_index_is_put_right_by_itself() -> None:
    for name in ("torch", "xgboost", "tensorflow", "opencv-python", "mlflow", "psycopg2", "gradio"):
        for each in knowledge.variants_of(name):
            assert not each.is_same or (each.action != "drop" and each.instead)
            assert each.why


@pytest.mark.parametrize(
    ("family", "name", "kind"),
    [
        ("debian", "build-essential", "compiler"),
        ("debian", "libpq-dev", "headers"),
        ("debian", "gcc-12", "compiler"),
        ("debian", "git", "source"),
        ("debian", "libgomp1", None),
        ("debian", "gcc-12-base", None),
        ("debian", "python3", None),
        ("debian", "", None),
        ("alpine", "musl-dev", "headers"),
        ("alpine", "libstdc++", None),
        ("rpm", "gcc-c++", "compiler"),
        ("rpm", "zlib-devel", "headers"),
        ("conda", "gxx_linux-64", "compiler"),
        ("conda", "numpy", None),
        ("python", "cmake", None),
    ],
)
def test_tools_of_systems(family: Family, name: str, kind: str | None) -> None:
    found = knowledge.system_tool(family, name)
    assert (found.kind if found else None) == kind


def test_sizes_are_those_that_were_measured() -> None:
    git, headers = knowledge.system_tool("debian", "git"), knowledge.system_tool("debian", "libpq-dev")
    assert git is not None
    assert (git.size_bytes, git.recommended_bytes) == (59_800_000, 91_600_000)
    assert headers is not None
    assert headers.size_bytes is None


@pytest.mark.parametrize(
    ("name", "tools", "twin"),
    [
        ("python", True, "slim"),
        ("python:3.12", True, "3.12-slim"),
        ("python:3.12.1-bookworm", True, "3.12.1-slim-bookworm"),
        ("python:3.12-slim", False, None),
        ("python:3.12-slim-bookworm", False, None),
        ("python:3.12-alpine", False, None),
        ("python:3.14.0rc1", True, "3.14.0rc1-slim"),
        ("node:22", True, "22-slim"),
        ("node:22-bookworm-slim", False, None),
        ("gcc:13", True, None),
        ("golang:1.22-alpine", True, None),
        ("debian:12", False, "12-slim"),
        ("debian:bookworm-slim", False, None),
        ("nvidia/cuda:12.4.1-devel-ubuntu22.04", True, "12.4.1-runtime-ubuntu22.04"),
        ("nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04", True, "12.4.1-cudnn-runtime-ubuntu22.04"),
        ("nvidia/cuda:12.4.1-base-ubuntu22.04", False, None),
        ("pytorch/pytorch:2.4.0-cuda12.4-cudnn9-devel", True, "2.4.0-cuda12.4-cudnn9-runtime"),
        ("ghcr.io/astral-sh/uv:python3.12-bookworm", True, "python3.12-bookworm-slim"),
        ("jupyter/scipy-notebook:latest", True, None),
        ("buildpack-deps:bookworm-curl", False, None),
    ],
)
def test_bases_with_tools_and_their_twins(name: str, tools: bool, twin: str | None) -> None:
    base = base_image(name)
    assert base is not None
    found = knowledge.base_facts(base)
    assert found is not None
    assert (found.has_tools, found.twin_tag) == (tools, twin)


@pytest.mark.parametrize(
    ("name", "user", "has_shell"),
    [
        ("gcr.io/distroless/python3-debian12:nonroot", "nonroot", False),
        ("gcr.io/distroless/python3-debian12", "root", False),
        ("gcr.io/distroless/python3-debian12:debug-nonroot", "nonroot", True),
        ("jupyter/base-notebook", "jovyan", True),
        ("mambaorg/micromamba:2", "mambauser", True),
        ("python:3.12", "root", True),
        ("debian://bookworm?variant=minbase", "root", True),
        ("bitnami/pytorch:2", "1001", True),
        ("registry.access.redhat.com/ubi9/python-312", "1001", True),
        ("registry.access.redhat.com/ubi9/ubi-minimal", "root", True),
        ("cgr.dev/chainguard/python:latest", "nonroot", False),
        ("cgr.dev/chainguard/python:latest-dev", "nonroot", True),
    ],
)
def test_whom_bases_run_as(name: str, user: str, has_shell: bool) -> None:
    base = base_image(name)
    assert base is not None
    found = knowledge.base_facts(base)
    assert found is not None
    assert (found.user, found.has_shell) == (user, has_shell)


def test_of_other_bases_nothing_is_said() -> None:
    for name in ("ghcr.io/org/app:1", "oci-layout://base", "myregistry.example/python:3.12"):
        base = base_image(name)
        assert base is not None
        assert knowledge.base_facts(base) is None
