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

    reads: each RUN with a file that it names. It has to be in the context with all that it includes, and ask for
    packages alone.
    """
    if takes_whole_context(subject, stage, copy) is None or isinstance(copy, Add) or len(copy.sources) > 1:
        return None
    if copy.heredocs or copy.chown or copy.chmod or copy.link or copy.parents:
        return None
    by_target: dict[str, list[str]] = {}
    for run, path in reads:
        origin = origin_of(subject, stage, run, path)
        files = _files(subject, origin.path) if origin is not None and origin.is_exact else None
        if files is None:
            return None
        for file in files:
            into = posixpath.dirname(file)
            destination = copy.destination.rstrip("/") or "/"
            target = posixpath.join(destination, into) if into else destination
            found = by_target.setdefault(target, [])
            if file not in found:
                found.append(file)
    return [f"COPY {' '.join(files)} {_directory(target, len(files))}" for target, files in by_target.items()]


def _directory(target: str, count: int) -> str:
    """As a destination: several sources need a `/`; `.` alone is how people write it for one."""
    return "." if target == "." and count == 1 else target.rstrip("/") + "/"


def _files(subject: Subject, path: str) -> list[str] | None:
    """A requirement file, those it includes, and its constraints; None when one is not there, or it asks for the project."""
    context = subject.context
    read = read_requirements(context, path)
    reads_more = any(option.startswith(("-f", "--find-links")) for option in read.options)
    if context is None or not read.is_whole or reads_more or not all(line.name for line in read.lines):
        return None
    files = [*read.files, *read.constraints]
    if any(" " in file or file.startswith("..") or context.read(file) is None for file in files):
        return None
    return files
