"""WORKDIR: the directory is made where it is not there; an existing one is left alone.

Source: dockerfile.md §1.7 and §4 (42); BuildKit's dispatchWorkdir.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from slimstage.build.destination import Destination, disk_errors
from slimstage.build.owners import parse_owner
from slimstage.errors import ContextError
from slimstage.plan.graph import WorkdirStep
from slimstage.store.snapshots import Draft
from slimstage.tree.union import UnionTree
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class WorkdirResult:
    """`was_made` is False when the directory was there: the layer then holds nothing."""

    was_made: bool


def workdir_step(step: WorkdirStep, parent: Sequence[str], draft: Draft, *, now_ns: int | None = None) -> WorkdirResult:
    """Writes the layer of a WORKDIR into the draft: directories that are missing, 0755, owned by the step's user.

    parent: the layer directories below, base first. Symlinks are followed inside them.
    Raises ContextError when the path is no directory, PlanError when the user is not in the stage's passwd, StoreError.
    """
    with disk_errors(step.title), UnionTree(parent) as below:
        owner = parse_owner(step.user, below.read) if step.user else None
        with Destination(
            draft.path,
            below if parent else None,
            owner=owner,
            now_ns=now_ns or time.time_ns(),
        ) as into:
            path = into.resolve(step.path)
            was_made = into.kind(path) is None
            if into.kind(path) not in (None, "dir"):
                raise ContextError(
                    f'"{step.path}" is not a directory, it cannot be the WORKDIR', code="workdir-not-dir"
                )
            if was_made:
                into.make_directories(path)
            into.finish()
    return WorkdirResult(was_made)
