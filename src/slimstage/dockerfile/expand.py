"""Variables and quotes: `$NAME`, `${NAME:-word}` and the other forms, after BuildKit's shell lexer.

A pure function of a word and an environment. `plan/` calls it for the instructions that expand (dockerfile.md §1.6);
RUN text is never expanded here. Nesting and result size are bounded, so no text and no environment is a bomb.
Source: BuildKit frontend/dockerfile/shell/lex.go; dockerfile.md §1.6 and §4 (11, 16 to 26).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from slimstage.dockerfile.wildcards import ShellPattern, trim_prefix, trim_suffix
from slimstage.dockerfile.words import SPACE
from slimstage.errors import DockerfileError
from slimstage.regex import pattern
from slimstage.values import dataclass

LARGEST_EXPANSION = 1024 * 1024
"""Characters that one word may expand to. `ENV A=$A$A` forty times ends here, not in memory."""

_MOST_SEARCHED = 64 * LARGEST_EXPANSION
"""Characters that the patterns of one word may be compared with: thousands of `${A##*}` end here, not in hours."""

DEEPEST_NESTING = 50
"""Levels of `${…}` inside each other."""

_SPECIAL = frozenset("@*#?-$!0")
_ASCII_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*+")
_SPACES = frozenset(SPACE)
_HEREDOC_OPERATOR = pattern(r"<(?:<-?+[\t\r ]*+)?+")


@dataclass(frozen=True, slots=True)
class Expansion:
    """The expanded text, and the names that were looked up: set ones in `used`, the others in `unset`."""

    text: str
    used: frozenset[str] = frozenset()
    unset: frozenset[str] = frozenset()


def expand_word(text: str, env: Mapping[str, str], escape: str = "\\") -> Expansion:
    """The text with variables replaced, quotes and escapes removed; blanks stay, it is one word.

    Raises: DockerfileError without a place: a form that does not exist, a quote that does not end,
    `${NAME:?message}` of a missing value, too much nesting or too large a result.
    """
    lexer = Lexer(text, env, escape)
    return Expansion(lexer.run()[0], frozenset(lexer.used), frozenset(lexer.unset))


def expand_words(text: str, env: Mapping[str, str], escape: str = "\\") -> list[str]:
    """As `expand_word`, split at blanks that stand outside quotes, those of values included; empty words vanish."""
    return Lexer(text, env, escape).run()[1]


def expand_heredoc(text: str, env: Mapping[str, str], escape: str = "\\") -> Expansion:
    """The body of an unquoted heredoc: variables replaced and escapes removed, quotes stay as they are."""
    lexer = Lexer(text, env, escape, reads_quotes=False)
    return Expansion(lexer.run()[0], frozenset(lexer.used), frozenset(lexer.unset))


def variables(text: str, escape: str = "\\") -> frozenset[str]:
    """The names that expanding `text` would look up; empty when it cannot be expanded."""
    try:
        return frozenset(expand_word(text, {}, escape).unset)
    except DockerfileError:
        return frozenset()


@lru_cache(maxsize=8)
def _scanners(escape: str, reads_quotes: bool) -> tuple[dict[str, re.Pattern[str]], re.Pattern[str]]:
    """What finds the characters that mean nothing: outside quotes for each stop character, and in double quotes."""
    special = re.escape(escape) + "$<" + ("'\"" if reads_quotes else "")
    plain = {stop: re.compile(f"[^{special}{re.escape(stop)}]++") for stop in ("", "}", "/")}
    return plain, re.compile(f'[^{re.escape(escape)}$"]++')


class Lexer:
    """One run over one text. The keyword arguments are the modes that heredoc detection and bodies need."""

    def __init__(
        self,
        text: str,
        env: Mapping[str, str],
        escape: str = "\\",
        *,
        reads_quotes: bool = True,
        keeps_quotes: bool = False,
        keeps_escapes: bool = False,
        keeps_unset: bool = False,
        largest: int = LARGEST_EXPANSION,
    ) -> None:
        self._text, self._env, self._escape = text, env, escape
        self._reads_quotes, self._keeps_quotes = reads_quotes, keeps_quotes
        self._keeps_escapes, self._keeps_unset, self._largest = keeps_escapes, keeps_unset, largest
        self._position = self._depth = self._searched = 0
        self.used: set[str] = set()
        self.unset: set[str] = set()
        self._plain, self._quoted = _scanners(escape, reads_quotes)

    def run(self) -> tuple[str, list[str]]:
        """The text as one word, and as words. Raises: DockerfileError."""
        words = _Words()
        return self._until("", words, self._keeps_escapes), words.all()

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _next(self) -> str:
        character = self._text[self._position : self._position + 1]
        self._position += 1
        return character

    def _error(self, message: str, code: str = "bad-substitution", hint: str | None = None) -> DockerfileError:
        shown = self._text if len(self._text) <= 80 else self._text[:80] + "…"
        return DockerfileError(message, code=code, notes=(f'while expanding "{shown}"',), hint=hint)

    def _until(self, stop: str, words: _Words | None, keeps_escapes: bool) -> str:
        """Everything up to `stop` (consumed) or, with no stop, to the end of the text."""
        outer, self._keeps_escapes = self._keeps_escapes, keeps_escapes
        pieces: list[str] = []
        size = 0
        special: dict[str, Callable[[], str]] = {"$": self._dollar, "<": self._less}
        if self._reads_quotes:
            special |= {"'": self._single, '"': self._double}
        plain = self._plain[stop]
        while (character := self._peek()) and character != stop:
            if found := plain.match(self._text, self._position):
                piece, is_split = found.group(), True
                self._position = found.end()
            elif character in special:
                piece, is_split = special[character](), character == "$"
            else:
                piece, is_split = self._escaped(), False
            if words:
                words.add(piece, is_split)
            pieces.append(piece)
            size += len(piece)
            if size > self._largest:
                hint = "a variable that holds itself several times doubles with every line"
                raise self._error(
                    f"the expanded text is larger than {LARGEST_EXPANSION} characters", "expansion-too-large", hint
                )
        if stop:
            if not self._peek():
                raise self._error("missing '/' in \"${…/…/…}\"" if stop == "/" else 'missing "}"')
            self._position += 1
        self._keeps_escapes = outer
        return "".join(pieces)

    def _escaped(self) -> str:
        escape = self._next()
        character = self._next()  # an escape character at the very end vanishes
        return escape + character if self._keeps_escapes else character

    def _less(self) -> str:
        # `<< EOF` and `<<- EOF` are one word: the blanks behind the operator belong to it.
        found = _HEREDOC_OPERATOR.match(self._text, self._position)
        assert found is not None
        self._position = found.end()
        return found.group()

    def _single(self) -> str:
        end = self._text.find("'", self._position + 1)
        if end < 0:
            raise self._error("a single quote is not closed", "unclosed-quote")
        text = self._text[self._position : end + 1]
        self._position = end + 1
        return text if self._keeps_quotes else text[1:-1]

    def _double(self) -> str:
        self._position += 1
        pieces: list[str] = ['"'] if self._keeps_quotes else []
        while character := self._peek():
            if found := self._quoted.match(self._text, self._position):
                self._position = found.end()
                pieces.append(found.group())
            elif character == "$":
                pieces.append(self._dollar())
            elif character == '"':
                self._position += 1
                return "".join([*pieces, '"'] if self._keeps_quotes else pieces)
            else:
                self._position += 1
                if self._keeps_escapes:
                    pieces.append(character)
                if self._peek() and self._peek() in f'"${self._escape}':
                    character = self._next()
                elif not self._peek():
                    continue
                pieces.append(character)
        raise self._error("a double quote is not closed", "unclosed-quote")

    def _name(self) -> str:
        text, start = self._text, self._position
        found = _ASCII_NAME.match(text, start)
        end = found.end() if found else start
        if not found and text[start : start + 1].isdecimal():
            while text[end : end + 1].isdecimal():
                end += 1
        elif not found and text[start : start + 1] in _SPECIAL:
            end = start + 1
        else:
            while (c := text[end : end + 1]) and (c == "_" or c.isalpha() or c.isdecimal()):
                end += 1
        self._position = end
        return text[start:end]

    def _value(self, name: str) -> str | None:
        value = self._env.get(name)
        if name:
            (self.unset if value is None else self.used).add(name)
        return value

    def _dollar(self) -> str:
        self._position += 1
        if self._peek() != "{":
            name = self._name()
            value = self._value(name) if name else None
            if not name:
                return "$"
            return f"${name}" if value is None and self._keeps_unset else value or ""
        self._position += 1
        if self._peek() in ("{", "}", ":"):
            raise self._error(f'bad substitution "${{{self._peek()}"')
        self._depth += 1
        if self._depth > DEEPEST_NESTING:
            raise self._error(f'"${{…}}" is nested deeper than {DEEPEST_NESTING} levels', "nested-too-deep")
        text = self._braces(self._name())
        self._depth -= 1
        return text

    def _braces(self, name: str) -> str:
        """What stands behind `${NAME`."""
        operator = self._next()
        if operator == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._keeps_unset else value or ""
        if operator == "/":
            return self._replace(name)
        ignores_empty = operator == ":"
        kind = self._next() if ignores_empty else operator
        shown = ":" + kind if ignores_empty else kind
        if not kind:
            raise self._error('missing "}"')
        if kind not in ("-+?" if ignores_empty else "-+?#%"):
            hint = "the operators are :- - :+ + :? ? # ## % %% / //"
            raise self._error(f'unsupported operator "{shown}" in "${{{name}{shown}…}}"', hint=hint)
        word = self._until("}", None, kind in "#%")
        value = self._value(name)
        if value is None and self._keeps_unset:
            return f"${{{name}{shown}{word}}}"
        is_missing = value is None or (ignores_empty and value == "")
        if kind == "-":
            return word if is_missing else value or ""
        if kind == "+":
            return "" if is_missing else word
        if kind == "?":
            if is_missing:
                reason = word or ("is not allowed to be unset" if value is None else "is not allowed to be empty")
                raise self._error(f"{name}: {reason}", "variable-required")
            return value or ""
        return self._trim(kind, word, value or "")

    def _search(self, value: str) -> None:
        """Called for each value that a pattern is compared with."""
        self._searched += len(value)
        if self._searched > _MOST_SEARCHED:
            hint = "write fewer patterns, or a shorter value"
            raise self._error("the patterns have too much text to search", "expansion-too-large", hint)

    def _trim(self, kind: str, word: str, value: str) -> str:
        self._search(value)
        longest = word.startswith(kind)
        pattern = word[1:] if longest else word
        try:
            return (trim_prefix if kind == "#" else trim_suffix)(pattern, value, longest=longest)
        except ValueError as error:
            raise self._error(f'bad pattern "{pattern[:80]}": {error}') from None

    def _replace(self, name: str) -> str:
        everywhere = self._peek() == "/"
        if everywhere:
            self._position += 1
        pattern = self._until("/", None, True)
        replacement = self._until("}", None, True)
        value = self._value(name)
        if value is None and self._keeps_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        self._search(value or "")
        try:
            compiled = ShellPattern.parse(pattern)
        except ValueError as error:
            raise self._error(f'bad pattern "{pattern[:80]}": {error}') from None
        if everywhere and len(replacement) * (len(value or "") + 1) > LARGEST_EXPANSION:
            raise self._error(
                f"the expanded text may be larger than {LARGEST_EXPANSION} characters", "expansion-too-large"
            )
        return compiled.replaced(value or "", replacement, everywhere=everywhere)


class _Words:
    """Splits at blanks while text comes in piece by piece."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._pieces: list[str] = []

    def add(self, text: str, is_split: bool) -> None:
        if not is_split or _SPACES.isdisjoint(text):
            self._pieces.append(text)
            return
        for index, part in enumerate(_BETWEEN.split(text)):
            if index:
                self._close()
            self._pieces.append(part)

    def _close(self) -> None:
        if word := "".join(self._pieces):
            self._words.append(word)
        self._pieces = []

    def all(self) -> list[str]:
        self._close()
        return self._words


_BETWEEN = pattern(f"[{re.escape(SPACE)}]")
