"""The files of a project → facts. Nothing is run; files are seen through lint's `ContextView`."""

from __future__ import annotations

import ast
import tomllib
from typing import Any

from slimstage.analyze.inventory import weights_format
from slimstage.lint.commands.command import FileKind, Requested
from slimstage.lint.commands.distributions import normalised
from slimstage.lint.listings import Listed, read_listing
from slimstage.lint.subject import ContextFile, ContextView
from slimstage.scaffold.project import Code, Folder, Model, Need, Project
from slimstage.scaffold.reading_code import read_code

MOST_SOURCES = 2_000
"""Python sources that are read; of further ones nothing is said."""

_SKIPPED = frozenset(
    (".git", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache", ".ruff_cache", "build", "dist",
     "site-packages", ".pytest_cache", ".ipynb_checkpoints")
)  # fmt: skip
_DATA = frozenset(("data", "datasets", "dataset", "raw", "mlruns", "wandb", "checkpoints"))
_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_MARKS = frozenset(("pyproject.toml", "requirements.txt", "setup.py", "environment.yml", "environment.yaml", "Pipfile"))
_LANGUAGES = {"go.mod": "Go", "Cargo.toml": "Rust"}
_COMPILED = (".c", ".cc", ".cpp", ".cxx", ".pyx", ".cu", ".f90")
_NO_PYTHON = frozenset(("python", "pip", "cudatoolkit", "cudnn", "nodejs", "gcc", "gxx", "make", "cmake", "git", "mkl"))


def read_project(view: ContextView) -> Project:
    """What the files say. Files that an ignore file keeps out are told in `folders` alone. Raises: nothing."""
    files = [each for each in view.files() if not _SKIPPED & set(each.path.split("/"))]
    texts = {each.path: view.read(each.path) or "" for each in files if "/" not in each.path and _is_listing(each.path)}
    code = _code(view, files)
    needs, options, conda_only, python = _asked_for(texts)
    own = _loaded(texts.get("pyproject.toml", ""))
    for need in _setup_needs(view.read("setup.py") or ""):
        needs.setdefault((need.name, need.group), need)
    names = {each.path for each in files}
    is_package = "setup.py" in names or "build-system" in own
    parts = sorted({path.rpartition("/")[0] for path in names if path.rpartition("/")[2] in _MARKS and "/" in path})
    version_file = (view.read(".python-version") or "").strip()
    cuda = any(need.name.startswith(("nvidia-", "cupy")) or need.name.endswith("-gpu") for need in needs.values())
    return Project(
        python=version_file or python,
        needs=tuple(needs.values()),
        locked=_locked(view, names),
        options=tuple(options),
        conda_only=tuple(sorted(conda_only)),
        is_package=is_package,
        scripts=_scripts(own),
        code=tuple(code),
        notebooks=tuple(each.path for each in files if each.path.endswith(".ipynb")),
        models=tuple(
            Model(each.path, each.size_bytes, kind)
            for each in files
            if not each.path.endswith("/") and (kind := weights_format(each.path))
        ),
        extensions=tuple(each.path for each in files if each.path.endswith(_COMPILED)) if is_package else (),
        data=_folders(files, 0, _DATA),
        folders=_folders(list(view.files()), 0, None),
        fronts=tuple(sorted(path.rpartition("/")[0] or "." for path in names if path.endswith("package.json"))),
        other_languages=tuple(
            sorted({_LANGUAGES[last] for path in names if (last := path.rpartition("/")[2]) in _LANGUAGES})
        ),
        parts=() if names & _MARKS else tuple(parts),
        uses_cuda=cuda or any(path.endswith(".cu") for path in names),
        top=tuple(sorted({head + mark for each in files for head, mark, _ in [each.path.partition("/")]})),
    )


def _is_listing(path: str) -> bool:
    is_requirements = path.endswith(".txt") and path.startswith("requirements")
    return is_requirements or path in ("pyproject.toml", "environment.yml", "environment.yaml", "Pipfile")


def _code(view: ContextView, files: list[ContextFile]) -> list[Code]:
    made: list[Code] = []
    for each in files:
        if each.path.endswith(".py") and each.path != "setup.py" and len(made) < MOST_SOURCES:
            text = view.read(each.path)
            if text is not None:
                made.append(read_code(each.path, text))
    return made


def _asked_for(texts: dict[str, str]) -> tuple[dict[tuple[str, str], Need], list[str], set[str], str]:
    """Needs by name and group, options, conda's own packages, what is said of Python's version."""
    needs: dict[tuple[str, str], Need] = {}
    options: list[str] = []
    conda_only: set[str] = set()
    python = ""
    for path, text in texts.items():
        listed = read_listing(_kind(path), path, text)
        python = python or (listed.python or "")
        options += [each for each in listed.options if each not in options]
        always = "" if path in _MARKS else path.removesuffix(".txt").removeprefix("requirements").strip("-_.")
        always = "" if always in ("serve", "train", "prod", "base") else always
        for group, packages in _groups(listed, always):
            for package in packages:
                if package.name and package.kind == "name":
                    needs.setdefault((package.name, group), Need(package.name, _pip_text(package), path, group))
        for package in listed.conda:
            if package.name in _NO_PYTHON or package.name.startswith("lib"):
                conda_only |= {package.name} - {"python", "pip"}
            elif package.name:
                name = "torch" if package.name == "pytorch" else package.name
                version = package.constraint.lstrip("=").split("=")[0] if package.constraint.startswith("=") else ""
                text = f"{name}=={version}" if version.count(".") >= 2 else f"{name}=={version}.*" if version else name
                needs.setdefault((name, ""), Need(name, text, path))
    return needs, options, conda_only, python


def _groups(listed: Listed, always: str) -> list[tuple[str, tuple[Requested, ...]]]:
    return [(always, listed.packages), *listed.groups.items()]


def _kind(path: str) -> FileKind:
    return "environment" if path.endswith((".yml", ".yaml")) else "requirements"


def _pip_text(package: Requested) -> str:
    """As pip reads it; poetry's `^1.2` and `~1.2` become what they mean."""
    constraint = package.constraint
    if constraint.startswith("^"):
        version = constraint[1:]
        parts = version.split(".")
        at = next((place for place, part in enumerate(parts) if part != "0"), len(parts) - 1)
        if not parts[at].isdigit():
            return package.name
        above = ".".join([*parts[:at], str(int(parts[at]) + 1)])
        return f"{package.name}>={version},<{above}"
    if constraint.startswith("~") and not constraint.startswith("~="):
        return (
            f"{package.name}~={constraint[1:]}.0" if constraint.count(".") == 1 else f"{package.name}~={constraint[1:]}"
        )
    if constraint[:1].isdigit():
        return f"{package.name}=={constraint}"
    return package.raw if package.raw != package.name else package.name + constraint


def _loaded(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _locked(view: ContextView, names: set[str]) -> tuple[tuple[str, str], ...]:
    """Source: the locks of uv, poetry and pdm: tables `[[package]]` with `name` and `version`."""
    for lock in _LOCKS:
        if lock in names:
            packages = _loaded(view.read(lock, 8 << 20) or "").get("package", [])
            found = {
                normalised(str(each["name"])): str(each["version"])
                for each in packages
                if isinstance(each, dict) and "name" in each and "version" in each
            }
            return tuple(sorted(found.items()))
    return ()


def _scripts(own: dict[str, Any]) -> tuple[str, ...]:
    project = own.get("project")
    scripts = project.get("scripts") if isinstance(project, dict) else None
    return tuple(sorted(scripts)) if isinstance(scripts, dict) else ()


def _setup_needs(text: str) -> list[Need]:
    """`install_requires` of setup.py where it is written as a list of texts."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    lists = [
        word.value.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for word in node.keywords
        if word.arg == "install_requires" and isinstance(word.value, (ast.List, ast.Tuple))
    ]
    texts = [
        each.value for elts in lists for each in elts if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    listed = read_listing("requirements", "setup.py", "\n".join(texts))
    return [Need(each.name, each.raw, "setup.py") for each in listed.packages if each.name]


def _folders(files: list[ContextFile], depth: int, names: frozenset[str] | None) -> tuple[Folder, ...]:
    sizes: dict[str, int] = {}
    for each in files:
        parts = each.path.rstrip("/").split("/")
        if (len(parts) > depth + 1 or each.path.endswith("/")) and (names is None or parts[depth] in names):
            sizes[parts[depth]] = sizes.get(parts[depth], 0) + each.size_bytes
    return tuple(Folder(path, size) for path, size in sorted(sizes.items()))
