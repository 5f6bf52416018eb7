"""Who may import whom: the table of docs/architecture.md, held by reading every import of the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import slimstage

ROOT = Path(slimstage.__file__).parent
SINGLE = ("values", "regex", "userns", "diagnostics", "errors", "digest", "events", "together", "units", "version")

# Each folder and all that it may import. The order is the order in which data moves.
MAY_IMPORT: dict[str, set[str]] = {
    "values": set(),
    "regex": set(),
    "userns": set(),
    "diagnostics": {"values"},
    "errors": {"diagnostics"},
    "digest": {"regex", "errors", "diagnostics"},
    "events": {"values", "digest", "errors", "diagnostics"},
    "together": {"errors"},
    "units": set(),
    "version": set(),
    "dockerfile": set(SINGLE),
    "oci": set(SINGLE),
    "plan": {*SINGLE, "dockerfile", "oci"},
    "tree": {*SINGLE, "oci"},
    "sandbox": set(SINGLE),
    "signing": {*SINGLE, "oci"},
    "context": {*SINGLE, "dockerfile", "oci", "tree"},
    "store": {*SINGLE, "oci", "tree"},
    "registry": {*SINGLE, "oci", "store"},
    "analyze": {*SINGLE, "oci", "tree", "store"},
    "container": {*SINGLE, "oci", "tree", "store", "sandbox"},
    "bases": {*SINGLE, "oci", "tree", "store", "registry", "sandbox"},
    "cache": {*SINGLE, "plan", "oci", "tree", "store", "registry"},
}
MAY_IMPORT["compare"] = {*SINGLE, "oci", "tree", "store", "analyze"}
MAY_IMPORT["report"] = {*SINGLE, "oci", "tree", "store", "analyze", "compare"}
MAY_IMPORT["explore"] = {*SINGLE, "analyze"}
MAY_IMPORT["lint"] = {*SINGLE, "dockerfile", "oci", "plan", "tree", "context"}
MAY_IMPORT["scaffold"] = {*SINGLE, "lint", "analyze"}
MAY_IMPORT["transfer"] = {*SINGLE, "oci", "store", "registry", "bases", "signing"}
MAY_IMPORT["build"] = {*MAY_IMPORT}
MAY_IMPORT["cli"] = {*MAY_IMPORT, "build"}
MAY_IMPORT["api"] = {*SINGLE, "oci", "store", "cache", "build"}
MAY_IMPORT["__main__"] = {"cli"}


def modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def folder_of(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(path: Path) -> set[str]:
    """Full names of the modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name == "slimstage" or name.startswith("slimstage.")}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_a_module_imports_only_what_its_folder_may(path: Path) -> None:
    folder = folder_of(module_name(path))
    assert folder in MAY_IMPORT, f"{folder} is not in the table"
    allowed = MAY_IMPORT[folder] | {folder}
    wrong = sorted(name for name in imports(path) if (to := folder_of(name)) and to not in allowed)
    assert not wrong


def test_no_module_is_part_of_an_import_cycle() -> None:
    known = {module_name(path): path for path in modules()}
    graph = {name: {to for to in imports(path) if to in known and to != name} for name, path in known.items()}
    done: set[str] = set()
    for start in graph:
        stack: list[tuple[str, list[str]]] = [(start, sorted(graph[start]))]
        on_path = [start]
        while stack:
            name, left = stack[-1]
            if not left or name in done:
                done.add(name)
                stack.pop()
                on_path.pop()
                continue
            to = left.pop()
            assert to not in on_path, "cycle: " + " → ".join([*on_path[on_path.index(to) :], to])
            if to not in done:
                stack.append((to, sorted(graph[to])))
                on_path.append(to)


def test_the_package_itself_only_says_where_its_public_names_are() -> None:
    body = ast.parse((ROOT / "__init__.py").read_text()).body
    functions = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    assert functions == ["__getattr__"]
    assert not [node for node in body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_only_the_command_line_prints_and_exits(path: Path) -> None:
    if folder_of(module_name(path)) in {"cli", "__main__"}:
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in {"print", "exit"}]
