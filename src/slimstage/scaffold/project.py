"""What a project is made of, as far as its files say: values. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.values import dataclass

Use: TypeAlias = Literal["train", "serve", "test", "other"]
"""What a source is for: told by what it imports and makes, then by its name."""


@dataclass(frozen=True, slots=True)
class Code:
    """A Python source. imports: top-level modules, sorted, type checking's left out. strings: names of models in its texts.

    framework: the web framework whose application it makes; application: the variable that holds it, "" where none does.
    routes: of GET, as written. is_program: it does something when it is run.
    """

    path: str
    use: Use
    imports: tuple[str, ...] = ()
    framework: str = ""
    application: str = ""
    routes: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    is_program: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """A Python distribution that the project asks for. text: as it is asked for, as pip would read it. group: of extras and
    dependency groups, "" for what is always needed; origin: the file."""

    name: str
    text: str
    origin: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A model's file: its path, size and format (`onnx`, `pickle`, …)."""

    path: str
    size_bytes: int
    format: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory and the bytes in it."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Project:
    """All facts. Paths are of the project, with `/`; all are sorted.

    python: what is said of its version, as written. needs: without the project itself. locked: versions by names, of a lock.
    options: lines of requirement files that set something. conda_only: packages of conda that are no Python distributions.
    is_package: it can be installed itself. scripts: entry points of programs. extensions: sources that a compiler reads.
    parts: directories that are projects of their own, where the top is none. fronts: directories with a package.json.
    """

    python: str = ""
    needs: tuple[Need, ...] = ()
    locked: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    conda_only: tuple[str, ...] = ()
    is_package: bool = False
    scripts: tuple[str, ...] = ()
    code: tuple[Code, ...] = ()
    notebooks: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    extensions: tuple[str, ...] = ()
    data: tuple[Folder, ...] = ()
    folders: tuple[Folder, ...] = ()
    fronts: tuple[str, ...] = ()
    other_languages: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    uses_cuda: bool = False
    top: tuple[str, ...] = ()
    """Names at the top: files, and directories with `/`."""
