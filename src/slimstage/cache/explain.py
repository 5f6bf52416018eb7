"""Why a step ran: what of its key changed since the last time. Pure.

What went into a key is remembered as (name, value) pairs. The value of a file's pair is what `facts` makes, so that the
one fact that changed can be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.store.records import Record
from slimstage.values import dataclass

_MOST_NAMED = 3
_SHORT = 24
"""Hex digits of a digest that tell two contents of one file apart."""

_KINDS = {"file": "file", "dir": "directory", "symlink": "symlink"}
_SPECIAL = "special file"
"""All other kinds."""
_FACTS = ("mode", "owner", "", "attributes")
"""What the words of a file's value are called; its content is called by the file's own name."""

_BASE, _PARENT = "base image", "parent"
_PLACES = (_BASE, _PARENT)


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of a step from the last build of its Dockerfile.

    key: of its record; None when its stage was not built here, "" when it was and the step is new in it. record: that
    record; None when it was pruned.
    """

    key: str | None = None
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Now:
    """What is known of a step that is about to run.

    pairs: what went into its key. keys: its own. forced_by: the option that asks for it, else "". above: the title of
    the step that it stands on, "" when that is a base or nothing; has_above_run: in this build.
    """

    pairs: Sequence[tuple[str, str]]
    keys: tuple[str, ...] = ()
    forced_by: str = ""
    above: str = ""
    has_above_run: bool = False


def file_name(kind: str, path: str) -> str:
    """The name of a file's pair. kind: as in `Entry`."""
    return f"{_KINDS.get(kind, _SPECIAL)} {path}"


def facts(mode: int, owner: str, content: str, attributes: str) -> str:
    """The value of a file's pair. content: its digest, or the target of a symlink; attributes: a digest, "" for none."""
    return f"{mode:o} {owner or '-'} {content.replace('sha256:', '')[:_SHORT] or '-'} {attributes[:_SHORT] or '-'}"


def why_it_ran(now: Now, before: Before) -> str:
    """One sentence for people."""
    if now.forced_by:
        return f"{now.forced_by} asks for it"
    if before.key is None:
        return "it has not been built here before"
    if not before.key:
        return "it is new here"
    lost = "its result is no longer in the store"
    if before.key in now.keys:
        return lost
    if before.record is None:
        return _above(now) if now.has_above_run else f"it is not what it was, and {lost}"
    if not before.record.explain:  # it came from a cache, which does not say what went into a key
        return _above(now) if now.has_above_run else "it is another than the one that came from a cache"
    parts = list(_differences(dict(before.record.explain), dict(now.pairs)))
    if parts:
        return "; ".join(parts)
    return _place(dict(before.record.explain), dict(now.pairs), now) or lost


def _differences(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    both = [name for name in now if name in before and name not in _PLACES]
    was = [name for name in before if name in now and name not in _PLACES]
    changed = [_what_changed(name, before[name], now[name]) for name in both if before[name] != now[name]]
    added = [name for name in now if name not in before and name not in _PLACES]
    gone = [name for name in before if name not in now and name not in _PLACES]
    for names, verb in (
        (changed, ("changed", "changed")),
        (added, ("is new", "are new")),
        (gone, ("is gone", "are gone")),
    ):
        if names:
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            yield f"{', '.join(names[:_MOST_NAMED])}{more} {verb[len(names) > 1]}"
    if both != was:
        moved = next(name for name, old in zip(both, was, strict=True) if name != old)
        what = "variables" if moved.startswith("variable ") else "mounts" if " mount " in moved else "sources"
        yield f"the order of the {what} changed"


def _what_changed(name: str, before: str, now: str) -> str:
    """The name, or the one fact of a file that is another."""
    kind = next((kind for kind in (*_KINDS.values(), _SPECIAL) if name.startswith(f"{kind} ")), None)
    old, new = before.split(" "), now.split(" ")
    if kind is None or not len(old) == len(new) == len(_FACTS):
        return name
    different = [what for what, a, b in zip(_FACTS, old, new, strict=True) if a != b]
    if different == [""]:
        return f"target of {name}" if kind == "symlink" else name
    return f"{different[0]} of {name}" if len(different) == 1 else name


def _place(before: dict[str, str], now: dict[str, str], step: Now) -> str:
    """What changed below the step; "" when nothing did."""
    if _BASE in now:
        if _BASE not in before:
            return "the step above it is gone"
        return "" if before[_BASE] == now[_BASE] else "base image changed"
    return "" if before.get(_PARENT) == now.get(_PARENT) else _above(step)


def _above(step: Now) -> str:
    return f"the step above it {'ran again' if step.has_above_run else 'is another'} ({step.above})"
