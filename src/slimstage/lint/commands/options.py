"""Command lines of one program: options by its table, the values they take, and what is left.

A table is a text: one option a word, its names separated by commas, the last one being what it is asked for by;
`=` behind it: it takes a value, in the same word or the next; `=?`: only in the same word, behind `=`, or as a number right
behind the letter (`-q=2`, `-j4`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.diagnostics import Span
from slimstage.lint.shell.script import Word
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Option:
    """name: as the table names it; an unknown option has its own. word: the word it stands in."""

    name: str
    value: Word | None
    word: Word


@dataclass(frozen=True, slots=True)
class Parsed:
    """options: in order. rest: words that are no options, in order."""

    options: tuple[Option, ...]
    rest: tuple[Word, ...]

    def has(self, *names: str) -> bool:
        """One of the options is given."""
        return any(option.name in names for option in self.options)

    def values(self, *names: str) -> tuple[Word, ...]:
        """Values of the options of these names, in order."""
        return tuple(option.value for option in self.options if option.name in names and option.value is not None)

    def value(self, *names: str) -> str | None:
        """The last value, its shape."""
        found = self.values(*names)
        return found[-1].shape if found else None

    def shapes(self, *names: str) -> tuple[str, ...]:
        """The values' shapes."""
        return tuple(word.shape for word in self.values(*names))


class Table:
    """The options of a program, or of one of its commands.

    abbreviates: a beginning of a long option stands for it where it is the only one (optparse, getopt).
    stops: the first word that is no option ends them. is_go: Go's flags, where one dash does for long names.
    """

    def __init__(self, text: str, *, abbreviates: bool = False, stops: bool = False, is_go: bool = False) -> None:
        self._text = text
        self._abbreviates, self._stops, self._is_go = abbreviates, stops, is_go
        self._names: dict[str, str] = {}
        self._takes: dict[str, str] = {}

    def _load(self) -> None:
        for each in self._text.split():
            names, equals, mark = each.partition("=")
            *_, name = names.split(",")
            for one in names.split(","):
                self._names[one] = name
            if equals:
                self._takes[name] = "attached" if mark == "?" else "value"

    def parse(self, words: Sequence[Word]) -> Parsed:
        """Options and the rest. A word that begins with an unknown part is no option."""
        if not self._names:
            self._load()
        options: list[Option] = []
        rest: list[Word] = []
        index = 0
        while index < len(words):
            word = words[index]
            index += 1
            shape = word.shape
            if shape == "--":
                rest += words[index:]
                break
            if not shape.startswith("-") or shape == "-":
                rest.append(word)
                if self._stops:
                    rest += words[index:]
                    break
                continue
            following = words[index] if index < len(words) else None
            if self._is_go or shape.startswith("--"):
                made, used = self._long(word, following)
                options.append(made)
            else:
                cluster, used = self._cluster(word, following)
                options += cluster
            index += used
        return Parsed(tuple(options), tuple(rest))

    def _long(self, word: Word, following: Word | None) -> tuple[Option, bool]:
        written, equals, _ = word.shape.partition("=")
        if self._is_go:
            written = "-" + written.lstrip("-")
        name = self._named(written)
        if equals:
            return Option(name, part(word, word.shape.index("=") + 1), word), False
        if self._takes.get(name) == "value" and following is not None:
            return Option(name, following, word), True
        return Option(name, None, word), False

    def _named(self, written: str) -> str:
        found = self._names.get(written)
        if found is None and self._abbreviates and len(written) > 2:
            candidates = {name for known, name in self._names.items() if known.startswith(written)}
            found = candidates.pop() if len(candidates) == 1 else None
        return found or written

    def _cluster(self, word: Word, following: Word | None) -> tuple[list[Option], bool]:
        """`-yq`, `-ofile`, `-o file`, `-q=2`."""
        made: list[Option] = []
        shape = word.shape
        if shape in self._names and len(shape) > 2:  # a long option with one dash, as gcc and find have them
            name = self._names[shape]
            has_value = self._takes.get(name) == "value" and following is not None
            return [Option(name, following if has_value else None, word)], has_value
        for at in range(1, len(shape)):
            name = self._names.get(f"-{shape[at]}", f"-{shape[at]}")
            takes = self._takes.get(name)
            if (takes == "value" and at + 1 < len(shape)) or (takes and shape[at + 1 : at + 2].isdecimal()):
                behind = at + 2 if shape[at + 1] == "=" else at + 1
                made.append(Option(name, part(word, behind), word))
                return made, False
            if takes == "value" and following is not None:
                made.append(Option(name, following, word))
                return made, True
            if shape[at + 1 : at + 2] == "=":
                made.append(Option(name, part(word, at + 2), word))
                return made, False
            made.append(Option(name, None, word))
        return made, False


def part(word: Word, start: int) -> Word:
    """A word from its character `start` on, with its place where that can be told."""
    span = word.span
    if word.is_exact and span.line == span.end_line:
        span = Span(span.source, span.line, span.column + start, span.end_line, span.end_column)
        return replace(word, shape=word.shape[start:], raw=word.raw[start:], span=span)
    return replace(word, shape=word.shape[start:], raw=word.shape[start:], is_exact=False)


def without(words: Iterable[Word], *texts: str) -> tuple[Word, ...]:
    """The words but those texts."""
    return tuple(word for word in words if word.shape not in texts)
