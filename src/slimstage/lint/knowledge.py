"""What is known beforehand of packages and base images: tables of data (`data/*.toml`), each read when it is first asked.

Names only: what a package really holds, `analyze` finds in the image.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeAlias

from slimstage.lint.commands.command import Family
from slimstage.lint.subject import BaseImage
from slimstage.values import dataclass

RoleName: TypeAlias = Literal[
    "training", "notebooks", "plotting", "experiment-tracking", "test-tools", "code-checks", "docs", "build",
    "serving", "inference", "data",
]  # fmt: skip

TRAINING_ONLY: frozenset[RoleName] = frozenset(
    ("training", "notebooks", "plotting", "experiment-tracking", "test-tools", "code-checks", "docs")
)
"""Roles that no image has a use for that only answers requests. `build` is not here: wheel and setuptools are in it, which
some packages import when they run."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a Python distribution is mostly for. reason: one word (`notebook`, `tests`)."""

    name: RoleName
    reason: str


@dataclass(frozen=True, slots=True)
class Variant:
    """Another variant of a distribution that takes fewer bytes.

    extra: only where it is asked for with this extra. when: what must be so: `cpu`, `always`, `serve`, `screenless`,
    `cuda-base`. action: `name`: write `instead` in place of the name; `index`: install from the index `instead`; `drop`: do
    without. is_same: what imports it sees no difference, so that a fix may do it. since: the oldest version that `instead` has.
    size_bytes, instead_bytes: of site-packages with nothing else, measured; None: not measured.
    """

    package: str
    extra: str | None
    when: Literal["cpu", "always", "serve", "screenless", "cuda-base"]
    action: Literal["name", "index", "drop"]
    instead: str
    why: str
    is_same: bool = False
    since: str | None = None
    size_bytes: int | None = None
    instead_bytes: int | None = None

    @property
    def saving_bytes(self) -> int | None:
        """What the other variant saves, where both were measured."""
        if self.size_bytes is None or self.instead_bytes is None:
            return None
        return self.size_bytes - self.instead_bytes


@dataclass(frozen=True, slots=True)
class SystemTool:
    """A system package that only building needs. kind: compiler, build, headers, source, installer, debugger.

    size_bytes, recommended_bytes: what installing it adds to a small Debian 12 with Python, without and with the packages it
    recommends, where it was measured. They do not add up: packages share what they need.
    """

    name: str
    kind: str
    size_bytes: int | None = None
    recommended_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What the name of a base image says. has_tools: compilers and headers are in it. cuda: none, base, runtime or devel.

    user: whom its commands run as (`root`, a name, a number). packages: who installs (`apt`, `apk`, `dnf`, `none`).
    twin_tag: the tag of the same without tools or more; None: no such tag is known, or this is it already.
    """

    has_tools: bool = False
    cuda: str = "none"
    user: str = "root"
    packages: str = "none"
    has_shell: bool = True
    twin_tag: str | None = None


def role_of(distribution: str) -> Role | None:
    """What a Python distribution is for. distribution: its normalised name."""
    return _roles().get(distribution)


def variants_of(distribution: str) -> tuple[Variant, ...]:
    """The other variants of a distribution, by its normalised name."""
    return tuple(each for each in _variants() if each.package == distribution)


_TABLES: dict[Family, str] = {"debian": "debian", "alpine": "alpine", "rpm": "rpm", "conda": "conda"}


def system_tool(family: Family, name: str) -> SystemTool | None:
    """The package of that name, if only building needs it. family: whose package it is."""
    table = _TABLES.get(family)
    if table is None or not name:
        return None
    data = _data("system_tools")[table]
    found = data["names"].get(name.lower())
    if found is not None:
        return SystemTool(name, found["kind"], found.get("bytes"), found.get("recommended_bytes"))
    kind = next((kind for shape, kind in data["patterns"].items() if _fits(shape, name)), None)
    return SystemTool(name, kind) if kind is not None else None


@cache
def base_facts(base: BaseImage) -> BaseFacts | None:
    """What is known of a base image by its name and tag; None: nothing."""
    if base.has_scheme:
        return BaseFacts(packages="apt") if base.name.startswith("debian://") else None
    tag = base.tag or "latest"
    for entry in _data("bases")["base"]:
        if any(_fits(name, base.name) for name in entry["name"].split("|")) and any(
            _fits(shape, tag) for shape in entry["tag"].split("|")
        ):
            return BaseFacts(
                has_tools=entry.get("tools", False),
                cuda=entry.get("cuda", "none"),
                user=entry.get("user", "root"),
                packages=entry["packages"],
                has_shell=entry.get("shell", True),
                twin_tag=_twin(entry.get("twin", ()), tag),
            )
    return None


def _twin(pairs: list[list[str]], tag: str) -> str | None:
    import re

    for shape, replacement in pairs:
        if re.search(shape, tag):
            return re.sub(shape, replacement, tag)
    return None


def _fits(shape: str, text: str) -> bool:
    """True of a text that a pattern of the tables fits."""
    if "*" not in shape and "[" not in shape:
        return shape == text
    from fnmatch import fnmatchcase

    return fnmatchcase(text, shape)


@cache
def _data(name: str) -> Mapping[str, Any]:
    import tomllib

    # As importlib.resources does it, also out of a zip, without the dozen modules that it needs for that.
    path = os.path.join(os.path.dirname(__file__), "data", f"{name}.toml")
    return tomllib.loads(globals()["__loader__"].get_data(path).decode("utf-8"))


@cache
def _roles() -> Mapping[str, Role]:
    return {name: Role(role, reason) for role, names in _data("roles").items() for name, reason in names.items()}  # type: ignore[arg-type]  # its keys are role names: a test holds them


@cache
def _variants() -> tuple[Variant, ...]:
    return tuple(
        Variant(
            each["package"],
            each.get("extra"),
            each["when"],
            each["do"],
            each["instead"],
            each["why"],
            each["is_same"],
            each.get("from"),
            each.get("bytes"),
            each.get("instead_bytes"),
        )
        for each in _data("variants")["variant"]
    )
