"""Variables from instruction to instruction, as `plan/scope.py` keeps them, where base images are not asked.

What is not known has a name and no value here: what is made of ARGs without a value, and of what a base image sets.
Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go (dispatchArg, dispatchEnv); dockerfile.md §4 (16 to 24).
"""

from __future__ import annotations

from collections.abc import Mapping

from slimstage.dockerfile.expand import expand_word
from slimstage.dockerfile.instructions import Arg, Dockerfile, Env, Instruction
from slimstage.errors import SlimstageError
from slimstage.lint.subject import Seen, StageView
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import DEFAULT_PATH
from slimstage.regex import pattern

_LARGEST = 64 * 1024
"""Characters of a value. A longer one counts as not known: a variable that holds itself doubles with every line."""

_HAS_DEFAULT = pattern(r"\$\{([A-Za-z_][A-Za-z0-9_]*):?[-+]")
_NAMED = pattern(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")


_NOTHING = Seen({"PATH": DEFAULT_PATH}, frozenset(("PATH",)))


class Scopes:
    """The scope in front of each instruction; a stage is gone through when the first of its instructions is asked for."""

    def __init__(self, dockerfile: Dockerfile, request: PlanRequest, shared: Mapping[str, str]) -> None:
        self._escape, self._given, self._shared = dockerfile.escape, request.given_args, shared
        self._before: dict[int, Seen] = {}
        self._after: dict[int, Seen] = {}

    def at(self, stage: StageView, instruction: Instruction) -> Seen:
        """What the instruction of this stage, or one that ONBUILD adds to it, sees."""
        last = self.after(stage)
        return self._before.get(id(instruction), last)

    def after(self, stage: StageView) -> Seen:
        """What is seen at the end of a stage."""
        for view in reversed([*stage.chain()]):
            if id(view) not in self._after:
                self._after[id(view)] = self._read(view, self._after[id(view.parent)] if view.parent else _NOTHING)
        return self._after[id(stage)]

    def _read(self, stage: StageView, seen: Seen) -> Seen:
        for each in (*stage.triggers, *stage.instructions):
            self._before[id(each)] = seen
            if isinstance(each, Env):
                seen = self._set(each, seen)
            elif isinstance(each, Arg):
                seen = self._declare(each, seen)
        return seen

    def _set(self, env: Env, before: Seen) -> Seen:
        found = _Building(before)
        for pair in env.pairs:
            name = known(pair.name, before.values, self._escape)
            if name:
                found.put(name, known(pair.value or "", before.values, self._escape))
        return found.seen(before.declared)

    def _declare(self, arg: Arg, before: Seen) -> Seen:
        found = _Building(before)
        for each in arg.args:
            if each.name in self._given:
                found.put(each.name, self._given[each.name])
            elif each.value is not None:
                found.put(each.name, known(each.value, found.values, self._escape))
            elif each.name in self._shared:
                found.put(each.name, self._shared[each.name])
        return found.seen(before.declared.union(each.name for each in arg.args))


class _Building:
    __slots__ = ("names", "values")

    def __init__(self, before: Seen) -> None:
        self.values, self.names = dict(before.values), set(before.names)

    def put(self, name: str, value: str | None) -> None:
        self.names.add(name)
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value

    def seen(self, declared: frozenset[str]) -> Seen:
        return Seen(self.values, frozenset(self.names), declared)


def known(word: str, values: Mapping[str, str], escape: str) -> str | None:
    """The word expanded; None when it needs a variable that has no known value, or cannot be expanded.

    `${NAME:-word}` needs none: what has no value here has mostly none in the build.
    """
    if "$" not in word and "'" not in word and '"' not in word and escape not in word:
        return word
    try:
        found = expand_word(word, values, escape)
    except SlimstageError:
        return None
    if found.unset:
        optional = set(_HAS_DEFAULT.findall(word))
        named = _NAMED.findall(word)
        if any(name not in optional or named.count(name) > 1 for name in found.unset):
            return None
    return found.text if len(found.text) <= _LARGEST else None
