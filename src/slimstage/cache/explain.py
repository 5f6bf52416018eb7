"""Why a step ran: what of its key changed since the last time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.store.records import Record

_MOST_NAMED = 3


def why_it_ran(pairs: Sequence[tuple[str, str]], last: Record | None, *, parent: str | None, is_forced: bool) -> str:
    """One sentence for people.

    pairs: what went into the key now. last: the record of the same place in the Dockerfile, None when there is none.
    parent: the step above, when it ran in this build. is_forced: `--no-cache` named it.
    """
    if is_forced:
        return "--no-cache asks for it"
    if last is None:
        return "it has not been built here before"
    before, now = dict(last.explain), dict(pairs)
    changed = [name for name in now if name != "parent" and name in before and before[name] != now[name]]
    added = [name for name in now if name not in before and name != "parent"]
    gone = [name for name in before if name not in now and name != "parent"]
    parts = []
    for names, what in ((changed, "changed"), (added, "is new"), (gone, "is gone")):
        if names:
            shown = ", ".join(names[:_MOST_NAMED])
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            parts.append(f"{shown}{more} {what if len(names) == 1 else what.replace('is', 'are')}")
    if parts:
        return "; ".join(parts)
    if before.get("parent") != now.get("parent"):
        return f"the step above it ran again ({parent})" if parent else "the steps above it changed"
    return "its result is no longer in the store"
