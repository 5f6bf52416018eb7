"""Where a file that a RUN names comes from: the path in the image → the path in the build context."""

from __future__ import annotations

import posixpath

from slimstage.dockerfile.instructions import Add, Copy, Instruction
from slimstage.lint.contents import context_copies, destination_of, directory_at, picked, source_paths
from slimstage.lint.subject import StageView, Subject
from slimstage.plan.paths import absolute
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """path: in the context. copy: the last instruction in front of the RUN that brings it. is_exact: the instruction says so
    by itself; False: no directory is known, and the only file of that name in the context is taken.
    """

    path: str
    copy: Copy | Add | None
    is_exact: bool = True


def origin_of(subject: Subject, stage: StageView, run: Instruction, path: str) -> Origin | None:
    """The origin of a file that a RUN names, relative to its working directory; None when it is not known."""
    if subject.context is None:
        return None
    directory = "/" if path.startswith("/") else directory_at(subject, stage, run)
    found: Origin | None = None
    if directory is not None:
        wanted = absolute(path, directory)
        for view in reversed([*stage.chain()]):
            for copy in context_copies(view):
                if view is stage and _is_behind(stage, copy, run):
                    break
                if (origin := _by_copy(subject, view, copy, wanted)) is not None:
                    found = Origin(origin, copy)
    if found is not None:
        return found
    name = posixpath.basename(path)
    same = [
        file.path for file in subject.context.files() if posixpath.basename(file.path) == name and not file.is_ignored
    ]
    return Origin(same[0], None, is_exact=False) if len(same) == 1 else None


def _is_behind(stage: StageView, copy: Instruction, run: Instruction) -> bool:
    return stage.instructions.index(copy) > stage.instructions.index(run) if run in stage.instructions else False


def _by_copy(subject: Subject, view: StageView, copy: Copy | Add, wanted: str) -> str | None:
    """The path in the context of what the instruction puts at `wanted`."""
    into = destination_of(subject, view, copy)
    sources = source_paths(subject, view, copy)
    files = picked(subject, view, copy)
    if into is None or sources is None or files is None:
        return None
    is_directory = copy.destination.endswith(("/", "/.")) or copy.destination in (".", "") or len(sources) > 1
    for file in files:
        for _, source in sources:
            if file.path == source:
                at = posixpath.join(into, posixpath.basename(source))
                # A directory that is there already takes the file as well; which it is, only the build knows.
                if wanted == at or (wanted == into and not is_directory):
                    return file.path
            elif not source or file.path.startswith(source + "/"):
                below = file.path[len(source) + 1 :] if source else file.path
                if wanted == posixpath.join(into, below):
                    return file.path
            elif posixpath.basename(file.path) == posixpath.basename(wanted) and posixpath.dirname(wanted) == into:
                return file.path  # by a wildcard
    return None
