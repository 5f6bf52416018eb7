"""Who needs whom among an image's packages, and why one is there. Pure.

Requirements of Python are taken with the markers of the image's interpreter, not of this one, and with the extras that are
asked for; those of Debian by the first alternative that is installed, or a package that provides it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from slimstage.analyze.analysis import USER, OwnedPackage
from slimstage.analyze.distribution import Distribution, normalised
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from slimstage.analyze.installed import Installed

_VERSION = pattern(r"(?:.*/)?(?:lib|lib64)/python(\d+)(?:\.(\d+))?/")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l"}


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain: the package, by its position among the owners, and how the one before it asks for it."""

    owner: int
    asked: str = ""


def with_needs(
    owners: Sequence[OwnedPackage], installed: Sequence[Installed], edges: Mapping[int, Iterable[int]]
) -> tuple[OwnedPackage, ...]:
    """The owners with `requires` and `needed_by`. installed: that of each package among the owners, in their order.

    edges: see `requirements`.
    """
    requires: list[list[str]] = [[] for _ in installed]
    needed: list[list[str]] = [[] for _ in installed]
    for number, wanted in edges.items():
        for other in wanted:
            requires[number].append(installed[other].key)
            needed[other].append(installed[number].key)
    first = USER + 1
    return (
        *owners[:first],
        *(
            replace(owner, requires=tuple(sorted(set(asks))), needed_by=tuple(sorted(set(by))))
            for owner, asks, by in zip(owners[first:], requires, needed, strict=True)
        ),
    )


def requirements(installed: Sequence[Installed], architecture: str) -> dict[int, dict[int, str]]:
    """Position of a package → of each that it needs and is there, with how it says so."""
    found: dict[int, dict[int, str]] = {number: {} for number in range(len(installed))}
    by_kind: dict[str, dict[str, int]] = {}
    provided: dict[str, dict[str, int]] = {}
    for number, each in enumerate(installed):
        if not each.is_removed:
            by_kind.setdefault(each.kind, {}).setdefault(each.key, number)
            for name in each.provides:
                provided.setdefault(each.kind, {}).setdefault(name, number)
    for number, each in enumerate(installed):
        if each.is_removed:
            continue
        names, others = by_kind.get(each.kind, {}), provided.get(each.kind, {})
        for alternatives in each.requires:
            for name in alternatives:
                other = names.get(name, others.get(name))
                if other is not None:
                    if other != number:
                        found[number].setdefault(other, " | ".join(alternatives))
                    break
    _python(installed, by_kind.get("python", {}), architecture, found)
    return found


def why(installed: Sequence[Installed], edges: Mapping[int, Mapping[int, str]], name: str) -> list[list[Link]]:
    """For each package of that name the shortest chain that leads to it, from what nobody needs; the package last."""
    wanted = {name, name.lower(), normalised(name)}
    needed_by: dict[int, dict[int, str]] = {}
    for number, others in edges.items():
        for other, asked in others.items():
            needed_by.setdefault(other, {})[number] = asked
    chains = []
    for number, each in enumerate(installed):
        if each.key in wanted or each.name in wanted:
            chains.append(_chain(number, needed_by, installed))
    return chains


def closure(edges: Mapping[int, Iterable[int]], start: Iterable[int]) -> set[int]:
    """All that the start needs, directly or not, itself included."""
    found = set(start)
    todo = list(found)
    while todo:
        for other in edges.get(todo.pop(), ()):
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def _chain(number: int, needed_by: Mapping[int, Mapping[int, str]], installed: Sequence[Installed]) -> list[Link]:
    """Back to the nearest package that was asked for, or that nothing needs."""
    came: dict[int, tuple[int, str] | None] = {number: None}
    todo = deque([number])
    root = number
    while todo:
        at = todo.popleft()
        root = at
        parents = needed_by.get(at, {})
        if not parents or (installed[at].is_requested and at != number):
            break
        for parent in sorted(parents, key=lambda each: installed[each].key):
            if parent not in came:
                came[parent] = (at, parents[parent])
                todo.append(parent)
    chain = [Link(root + USER + 1)]
    step = came[root]
    while step is not None:
        at, asked = step
        chain.append(Link(at + USER + 1, asked))
        step = came[at]
    return chain


def _python(
    installed: Sequence[Installed],
    names: Mapping[str, int],
    architecture: str,
    found: dict[int, dict[int, str]],
) -> None:
    """Adds the requirements of Python packages, with extras as far as anything asks for them."""
    todo: deque[tuple[int, str]] = deque((number, "") for number in names.values())
    done = set(todo)
    environments: dict[str, dict[str, str]] = {}
    while todo:
        number, extra = todo.popleft()
        distribution = installed[number].distribution
        if distribution is None:
            continue
        environment = environments.get(distribution.directory)
        if environment is None:
            environment = environments[distribution.directory] = _environment(distribution, architecture)
        for requirement in distribution.requires:
            other = names.get(normalised(requirement.name))
            if other is None or not _holds(requirement, environment, extra):
                continue
            if other != number:
                found[number].setdefault(other, str(requirement))
            for each in ("", *map(normalised, sorted(requirement.extras))):
                if (other, each) not in done:
                    done.add((other, each))
                    todo.append((other, each))


def _holds(requirement: Requirement, environment: Mapping[str, str], extra: str) -> bool:
    if requirement.marker is None:
        return not extra  # what is needed without any extra was counted without one
    from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
    from packaging.version import InvalidVersion

    try:
        return requirement.marker.evaluate({**environment, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return True  # rather one link too many than a package that seems to be of no use


def _environment(distribution: Distribution, architecture: str) -> dict[str, str]:
    """Markers' variables for the interpreter whose directory the package lies in."""
    match = _VERSION.match(distribution.directory + "/")
    version = f"{match[1]}.{match[2] or '11'}" if match else "3.11"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "os_name": "posix",
        "platform_machine": _MACHINES.get(architecture, architecture),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }
