"""What a RUN's shell text says: invocations in the order they stand, their words, and where each stands in the file.

Run ──read.py──▶ Script(Invocation(Word …) …) ──lint/commands/──▶ installs, removals, downloads
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.diagnostics import Span
from slimstage.values import dataclass

UNKNOWN = "\ufffc"
"""Stands in `Word.shape` for a part that is only known when the command runs."""

Operator: TypeAlias = Literal["&&", "||", ";", "|", "&", "newline"]
"""What stands between two invocations."""


@dataclass(frozen=True, slots=True)
class Word:
    """One argument as the program gets it: variables replaced as far as known, quotes removed.

    shape: the text with `UNKNOWN` for each part that is not known: `torch==$VERSION` is `torch==` and one such character.
    raw: as the shell is given it, quotes and variables kept. span: its place; several words that one variable gave have the
    same. is_pattern: the shell matches it against file names (`*`, `?`, `[` outside of quotes, a brace expansion).
    is_exact: the file has `shape` letter by letter at `span`, continuations aside, so that an edit may replace a part of it.
    """

    shape: str
    raw: str
    span: Span
    is_pattern: bool = False
    is_exact: bool = True

    @property
    def text(self) -> str | None:
        """The whole word; None when a part of it is not known."""
        return None if UNKNOWN in self.shape else self.shape


@dataclass(frozen=True, slots=True)
class Assignment:
    """`NAME=value` in front of a command, or on its own. value: None when it is not known."""

    name: str
    value: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Redirect:
    """operator: `>`, `>>`, `<`, `&>`, `<<<`, `<<` … target: None for a heredoc and for what is not known. fd: as written."""

    operator: str
    target: Word | None
    span: Span
    fd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One program or builtin that is started, wrappers such as `sudo`, `env` or `sh -c` looked through.

    name: the program without its directory (`pip` of `/opt/venv/bin/pip`); "" when a variable names it.
    program: the word that names it. words: its arguments. wrappers: what was looked through, outermost first (`sudo`).
    span: from the program to its last argument. statement: the whole simple command as written, with assignments, wrappers
    and redirects, without bodies of heredocs: behind it `&& …` can be added where `can_be_followed`.
    is_certain: it runs whenever the RUN succeeds: it is in no branch, loop or function, and not behind `||` or a test.
    joined_by: the operator in front of it, None for the first; followed_by: the one behind it, None for the last.
    takes_more: further arguments are added when it runs (xargs, find -exec).
    directory: where it runs: "." is the RUN's own working directory; None: not known (`cd $X`).
    """

    name: str
    program: Word
    words: tuple[Word, ...]
    span: Span
    statement: Span
    assignments: tuple[Assignment, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    wrappers: tuple[str, ...] = ()
    is_certain: bool = True
    joined_by: Operator | None = None
    followed_by: Operator | None = None
    takes_more: bool = False
    directory: str | None = "."
    is_substituted: bool = False
    """Its output becomes words of the command behind it (`$(…)`)."""
    can_be_followed: bool = True
    """`&& …` directly behind `statement` runs after it and only then: it stands in the file's own text, outside of quotes, and
    neither `|`, `||` nor `&` is behind it."""

    @property
    def is_piped(self) -> bool:
        """It reads from a pipe or writes into one."""
        return "|" in (self.joined_by, self.followed_by)

    def texts(self) -> tuple[str, ...]:
        """The words' shapes."""
        return tuple(word.shape for word in self.words)


@dataclass(frozen=True, slots=True)
class Script:
    """A RUN's whole shell text. commands: in the order in which they stand. options: what `set` turns on: `errexit`, …

    faults: places that could not be understood; commands in them are not certain. is_exact: places are those of characters
    (not so of what ONBUILD adds, all of which stands at the FROM).
    """

    text: str = ""
    commands: tuple[Invocation, ...] = ()
    faults: tuple[Span, ...] = ()
    options: frozenset[str] = frozenset()
    is_exact: bool = True


EMPTY = Script()
