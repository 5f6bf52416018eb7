"""COPY of nothing but requirement files, in the place of one that takes everything."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from slimstage.dockerfile.instructions import Add, Copy, Instruction
from slimstage.lint.contents import takes_whole_context
from slimstage.lint.origins import origin_of
from slimstage.lint.requirement_files import read_requirements
from slimstage.lint.subject import StageView, Subject


def requirement_copies(
    subject: Subject, stage: StageView, copy: Copy | Add, reads: Iterable[tuple[Instruction, str]]
) -> list[str] | None:
    """Lines that put the files to where a COPY of everything puts them; None when that is not certain.

    reads: each RUN with a file that it names. Each has to be in the context, and read no other file of the project.
    """
    if takes_whole_context(subject, stage, copy) is None or isinstance(copy, Add) or len(copy.sources) > 1:
        return None
    if copy.heredocs or copy.chown or copy.chmod or copy.link or copy.parents:
        return None
    lines: list[str] = []
    for run, path in reads:
        origin = origin_of(subject, stage, run, path)
        if origin is None or not origin.is_exact or not _stands_alone(subject, origin.path):
            return None
        into = posixpath.dirname(origin.path)
        destination = copy.destination.rstrip("/") or "/"
        target = posixpath.join(destination, into) if into else destination
        lines.append(f"COPY {origin.path} {target if target == '.' else target.rstrip('/') + '/'}")
    return [*dict.fromkeys(lines)]


def _stands_alone(subject: Subject, path: str) -> bool:
    """True of a requirement file that reads no other file of the project."""
    read = read_requirements(subject.context, path)
    reads_more = any(option.startswith(("-f", "--find-links", "-c", "--constraint")) for option in read.options)
    return read.is_whole and read.files == (path,) and all(line.name for line in read.lines) and not reads_more
