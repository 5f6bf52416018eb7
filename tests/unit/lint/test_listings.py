"""Files that list packages: what each kind asks for, and where."""

from __future__ import annotations

import pytest

from slimstage.lint.commands.command import FileKind, Requested
from slimstage.lint.listings import LARGEST, NOTHING, read_listing


def said(packages: tuple[Requested, ...]) -> list[str]:
    return [f"{each.name}{each.constraint}" for each in packages]


REQUIREMENTS = """\
# comment
--index-url https://a/simple
--extra-index-url=https://b
-r base.txt
-cconstraints.txt
numpy==1.26.4  # why
Torch_Vision >= 0.1 ; python_version < "3.12"
pandas[excel]~=2.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
-e git+https://x/y.git#egg=Y
  ./local
https://x/z-1.0-py3-none-any.whl
"""


def test_requirements_of_pip() -> None:
    found = read_listing("requirements", "requirements.txt", REQUIREMENTS)
    assert said(found.packages) == ["numpy==1.26.4", "torch-vision>= 0.1", "pandas~=2.0", "y", "", "z==1.0"]
    assert found.index_urls == ("https://a/simple", "https://b")
    assert [(each.path, each.kind) for each in found.files] == [
        ("base.txt", "requirements"),
        ("constraints.txt", "constraints"),
    ]
    assert found.packages[2].extras == ("excel",)
    assert [each.span.line for each in found.packages] == [6, 7, 8, 11, 12, 13]


def test_lines_may_end_as_on_windows() -> None:
    found = read_listing("requirements", "r.txt", REQUIREMENTS.replace("\n", "\r\n"))
    assert said(found.packages)[:3] == ["numpy==1.26.4", "torch-vision>= 0.1", "pandas~=2.0"]


ENVIRONMENT = """\
name: x
channels:
  - conda-forge
  - defaults  # last
dependencies:
  - python=3.11
  - "numpy>=1.26"
  - conda-forge::pytorch=2.1=cpu*
  - pip
  - pip:
    - torch==2.1  # why
    - -r requirements.txt
    - --extra-index-url https://a
  - scipy
variables:
  A: b
"""


def test_environments_of_conda() -> None:
    found = read_listing("environment", "environment.yml", ENVIRONMENT)
    assert said(found.conda) == ["python=3.11", "numpy>=1.26", "pytorch=2.1=cpu*", "pip", "scipy"]
    assert said(found.packages) == ["torch==2.1"]
    assert found.channels == ("conda-forge", "defaults")
    assert [each.path for each in found.files] == ["requirements.txt"]
    assert found.index_urls == ("https://a",)
    assert found.python == "=3.11"
    assert [each.span.line for each in (*found.conda, *found.packages)] == [6, 7, 8, 9, 14, 11]


def test_an_environment_may_have_its_lists_at_the_margin() -> None:
    text = "channels: [conda-forge]\ndependencies:\n- numpy\n- pip:\n  - torch\n- scipy\n"
    found = read_listing("environment", "env.yaml", text)
    assert (said(found.conda), said(found.packages), found.channels) == (
        ["numpy", "scipy"],
        ["torch"],
        ("conda-forge",),
    )


PROJECT = """\
[build-system]
requires = ["hatchling", "cython"]
[project]
requires-python = ">=3.11"
dependencies = ["fastapi", "torch==2.1"]
[project.optional-dependencies]
Train_All = ["wandb"]
[dependency-groups]
dev = ["pytest", {include-group = "x"}]
[tool.uv]
dev-dependencies = ["ruff"]
"""


def test_projects() -> None:
    found = read_listing("project", "pyproject.toml", PROJECT)
    assert said(found.packages) == ["fastapi", "torch==2.1"]
    assert {name: said(packages) for name, packages in found.groups.items()} == {
        "train-all": ["wandb"],
        "dev": ["pytest", "ruff"],
    }
    assert said(found.build) == ["hatchling", "cython"]
    assert found.python == ">=3.11"
    assert found.packages[0].span.line == 5


def test_projects_of_poetry() -> None:
    text = """\
[tool.poetry.dependencies]
python = "^3.11"
numpy = "^1.26"
torch = {version = "2.1.0", extras = ["a_b"]}
mine = {git = "https://x/y", rev = "abc"}
local = {path = "../l"}
free = "*"
[tool.poetry.group.dev.dependencies]
pytest = "*"
[tool.poetry.dev-dependencies]
mypy = "*"
"""
    found = read_listing("project", "pyproject.toml", text)
    assert said(found.packages) == ["numpy^1.26", "torch2.1.0", "mine", "local", "free"]
    assert [each.is_pinned for each in found.packages] == [False, True, True, True, False]
    assert [each.kind for each in found.packages] == ["name", "name", "vcs", "path", "name"]
    assert found.packages[1].extras == ("a-b",)
    assert said(found.groups["dev"]) == ["mypy", "pytest"]


def test_pipfiles_and_package_json() -> None:
    found = read_listing("project", "Pipfile", '[packages]\nnumpy = "==1.2"\n[dev-packages]\npytest = "*"\n')
    assert (said(found.packages), said(found.groups["dev"])) == (["numpy==1.2"], ["pytest"])
    node = read_listing(
        "project", "web/package.json", '{"dependencies": {"React": "^18"}, "devDependencies": {"vite": "5.0.0"}}'
    )
    assert said(node.packages) == ["react@^18"]
    assert node.groups["dev"][0].is_pinned


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        ("project", "pyproject.toml", "[broken"),
        ("project", "package.json", "[1"),
        ("project", "package.json", "[" * 100000),
        ("lock", "uv.lock", "x = 1"),
        ("requirements", "r.txt", "x\n" * LARGEST),
        ("environment", "e.yml", ""),
        ("project", "pyproject.toml", 'project = 1\ntool = "x"\ndependency-groups = []\n'),
    ],
)
def test_of_what_makes_no_sense_nothing_is_said(kind: FileKind, path: str, text: str) -> None:
    assert read_listing(kind, path, text) == NOTHING
