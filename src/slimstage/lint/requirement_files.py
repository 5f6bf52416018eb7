"""Requirement files of the build context: which distributions they name, those of included files too.

What a line says, `listings.py` reads; this follows `-r` and `-c` within the context.
"""

from __future__ import annotations

import posixpath

from slimstage.diagnostics import Source, Span
from slimstage.lint.commands.command import FileArgument, Requested
from slimstage.lint.listings import read_requirements as read_lines
from slimstage.lint.subject import ContextView
from slimstage.regex import pattern
from slimstage.values import dataclass

MOST_FILES = 20
"""Files that one includes another of: more are not read."""
_AT = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*(@.*?)\s*(?:;.*)?", 16)


@dataclass(frozen=True, slots=True)
class Required:
    """One line: the distribution's name in its normal form, what follows it (`==1.2`, `@ https://…`), and its place.

    name: "" for a line that names a path, an address or a project in a repository.
    """

    name: str
    rest: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Requirements:
    """All lines of a file and of those it includes. is_whole: every file was there and could be read.

    options: lines that set something (`--index-url …`, `--extra-index-url …`). files: paths in the context, the first first.
    constraints: files that are named with `-c`; what they pin is not among the lines.
    """

    lines: tuple[Required, ...]
    options: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    is_whole: bool = True


def read_requirements(context: ContextView | None, path: str) -> Requirements:
    """The lines of a requirement file of the context. path: from the context's root."""
    reading = _Reading(context)
    reading.file(posixpath.normpath(path))
    return Requirements(
        tuple(reading.lines),
        tuple(reading.options),
        tuple(reading.files),
        tuple(reading.constraints),
        reading.is_whole,
    )


class _Reading:
    def __init__(self, context: ContextView | None) -> None:
        self._context = context
        self.lines: list[Required] = []
        self.options: list[str] = []
        self.files: list[str] = []
        self.constraints: list[str] = []
        self.is_whole = True

    def file(self, path: str) -> None:
        if path in self.files:
            return
        text = self._context.read(path) if self._context and len(self.files) < MOST_FILES else None
        if text is None:
            self.is_whole = False
            return
        self.files.append(path)
        found = read_lines(Source(path, text))
        self.options += found.options
        inside: list[Requested | FileArgument] = [*found.packages, *found.files]
        for each in sorted(inside, key=lambda each: each.span.line):
            if isinstance(each, Requested):
                self.lines.append(_required(each))
            else:
                self._include(each, path)

    def _include(self, file: FileArgument, path: str) -> None:
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), file.path or ""))
        if file.kind == "constraints":
            self.constraints.append(there)
        else:
            self.file(there)


def _required(package: Requested) -> Required:
    at = _AT.fullmatch(package.raw)
    if at is not None:
        return Required(package.name, at.group(1), package.raw, package.span)
    is_named = package.kind == "name"
    return Required(
        package.name if is_named else "", package.constraint if is_named else package.raw, package.raw, package.span
    )
