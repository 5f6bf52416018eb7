"""Nodes of a shell's syntax tree → words: quotes removed, known variables replaced, split where the shell splits.

Source: POSIX.1-2024, Shell Command Language 2.2 (quoting), 2.6 (word expansions).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from slimstage.lint.scopes import known
from slimstage.lint.shell.script import UNKNOWN, Word
from slimstage.lint.shell.text import ShellText
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    from tree_sitter import Node

WORDS = frozenset(
    (
        "word", "number", "raw_string", "string", "ansi_c_string", "translated_string", "concatenation", "expansion",
        "simple_expansion", "command_substitution", "process_substitution", "arithmetic_expansion", "brace_expression",
        "regex", "extglob_pattern", "test_operator", "variable_name", "special_variable_name", "command_name", "array",
    )
)  # fmt: skip
"""Types of nodes that are a word, or a part of one."""

SUBSTITUTIONS = frozenset(("command_substitution", "process_substitution"))

_IN_DOUBLE_QUOTES = '$`"\\\n'
_GLOB = frozenset("*?[")
_NAME = pattern(r"\$\{[#!]?([A-Za-z_][A-Za-z0-9_]*)|\$([A-Za-z_][A-Za-z0-9_]*)")
_BARE = {"{": "\ue000", ",": "\ue001", "}": "\ue002"}
"""What stands for these outside of quotes until braces are expanded; private characters, which no word has."""
_RESTORED = str.maketrans({mark: character for character, mark in _BARE.items()})
_BRACES = pattern("\ue000([^\ue000\ue002]*\ue001[^\ue000\ue002]*)\ue002")
_BLANKS = " \t\n"
_LARGEST = 64 * 1024
_MOST_EXPANDED = 256 * 1024
"""Characters that the variables of one RUN give, all together; those behind count as not known."""


@dataclass(frozen=True, slots=True)
class Field:
    """A word before it is given its place. origins: the offset in the text of each character of `shape`.

    is_literal: the text has `shape` letter by letter at start:end.
    """

    shape: str
    origins: tuple[int, ...]
    start: int
    end: int
    is_pattern: bool = False
    is_literal: bool = True

    def word(self, text: ShellText) -> Word:
        raw = text.text[self.start : self.end]
        is_exact = self.is_literal and text.is_exact
        return Word(self.shape, raw, text.span(self.start, self.end), self.is_pattern, is_exact)

    @property
    def text(self) -> str | None:
        return None if UNKNOWN in self.shape else self.shape


class Variables:
    """Those the shell text sees. A name that is set to None has a value that nobody knows before it runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = environment
        self._set: dict[str, str | None] = {}
        self._left = [_MOST_EXPANDED]

    def copy(self) -> Variables:
        made = Variables(self._given)
        made._set, made._left = dict(self._set), self._left
        return made

    def put(self, name: str, value: str | None) -> None:
        self._set[name] = value if value is None or len(value) <= _LARGEST else None

    def expanded(self, raw: str) -> str | None:
        """The value of `$NAME` or of one of the forms of `${…}`; None when it is not known."""
        named = [one or other for one, other in _NAME.findall(raw)]
        if not named or any(name in self._set and self._set[name] is None for name in named):
            return None
        if raw.startswith(("${!", "${#")) or "[" in raw:
            return None
        if self._left[0] <= 0:
            return None
        found = known(raw, self._values(), "\\")
        self._left[0] -= len(found or "") + 1
        return found

    def _values(self) -> Mapping[str, str]:
        if not self._set:
            return self._given
        return {**self._given, **{name: value for name, value in self._set.items() if value is not None}}


class _Builder:
    """Collects the characters of one node's fields."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self._fields: list[Field] = []
        self._letters: list[str] = []
        self._origins: list[int] = []
        self._has_quotes = False
        self._is_pattern = False
        self._is_split = False

    def add(self, letters: str, origin: int, *, is_pattern: bool = False) -> None:
        self._letters.append(letters)
        self._origins += [origin] * len(letters)
        self._is_pattern = self._is_pattern or is_pattern

    def quote(self) -> None:
        """There is an empty word even where nothing is in the quotes."""
        self._has_quotes = True

    def split_at(self) -> None:
        """A blank of an unquoted variable."""
        self._is_split = True
        self.close()

    def close(self) -> None:
        shape = "".join(self._letters)
        if shape or self._has_quotes:
            self._fields.append(Field(shape, tuple(self._origins), self._start, self._end, self._is_pattern, False))
        self._letters, self._origins, self._has_quotes, self._is_pattern = [], [], False, False

    def done(self, raw: str) -> list[Field]:
        self.close()
        if len(self._fields) == 1 and self._fields[0].shape == raw:
            only = self._fields[0]
            return [Field(only.shape, only.origins, only.start, only.end, only.is_pattern, True)]
        return self._fields


class WordReader:
    """Reads the words of one text. The text was parsed with one byte for each character, so offsets are the same."""

    def __init__(self, text: str, variables: Variables, *, has_braces: bool) -> None:
        """has_braces: the shell expands `{a,b}`, as bash does and dash does not."""
        self._text, self._variables, self._has_braces = text, variables, has_braces

    def fields(self, node: Node) -> list[Field]:
        """The words that a node gives: mostly one; none or several where an unquoted variable has them."""
        start, end = node.start_byte, node.end_byte
        built = _Builder(start, end)
        self._take(node, built)
        raw = self._text[start:end]
        if not self._has_braces:
            return built.done(raw)
        found = [part for each in built.done("") for part in _braces(each)]
        if len(found) == 1 and found[0].shape == raw:
            return [replace(found[0], is_literal=True)]
        return found

    def value(self, node: Node | None) -> str | None:
        """What a variable is set to by a word; None when it is not known."""
        if node is None:
            return ""
        built = _Builder(node.start_byte, node.end_byte)
        self._take(node, built, is_quoted=True)
        built.quote()
        shape = "".join(each.shape for each in built.done(""))
        return None if UNKNOWN in shape else shape.translate(_RESTORED)

    def _take(self, node: Node, built: _Builder, *, is_quoted: bool = False) -> None:
        kind = node.type
        start, end = node.start_byte, node.end_byte
        if kind == "raw_string":
            built.quote()
            for offset in range(start + 1, end - 1):
                built.add(self._text[offset], offset)
        elif kind in ("string", "translated_string"):
            built.quote()
            at = self._text.find('"', start) + 1
            self._between(node.children, at, end - 1, built, in_string=True)
        elif kind == "ansi_c_string":
            built.quote()
            body = self._text[start + 2 : end - 1]
            if "\\" in body:
                built.add(UNKNOWN, start)
            else:
                for offset in range(start + 2, end - 1):
                    built.add(self._text[offset], offset)
        elif kind in ("concatenation", "command_name"):
            self._between(node.children, start, end, built, in_string=False, is_quoted=is_quoted)
        elif kind in ("simple_expansion", "expansion"):
            self._expansion(node, built, is_quoted=is_quoted)
        elif kind in (*SUBSTITUTIONS, "arithmetic_expansion", "brace_expression", "array"):
            built.add(UNKNOWN, start, is_pattern=False)
        else:
            self._plain(start, end, built)

    def _between(
        self,
        children: Iterable[Node],
        start: int,
        end: int,
        built: _Builder,
        *,
        in_string: bool,
        is_quoted: bool = False,
    ) -> None:
        """Children, and the text between them, which the grammar leaves out where it is blank."""
        at = start
        for child in children:
            if child.end_byte <= at or child.start_byte >= end:
                continue
            if in_string and (not child.is_named or child.type == "string_content"):
                continue
            if not in_string and not child.is_named and child.type == "$":
                at = child.end_byte
                continue
            self._literal(at, child.start_byte, built, in_string=in_string)
            self._take(child, built, is_quoted=in_string or is_quoted)
            at = child.end_byte
        self._literal(at, end, built, in_string=in_string)

    def _literal(self, start: int, end: int, built: _Builder, *, in_string: bool) -> None:
        if not in_string:
            self._plain(start, end, built)
            return
        offset = start
        while offset < end:
            if self._text[offset] == "\\" and offset + 1 < end and self._text[offset + 1] in _IN_DOUBLE_QUOTES:
                offset += 1
            built.add(self._text[offset], offset)
            offset += 1

    def _plain(self, start: int, end: int, built: _Builder) -> None:
        offset = start
        while offset < end:
            character = self._text[offset]
            if character == "\\" and offset + 1 < end:
                offset += 1
                built.add(self._text[offset], offset)
            else:
                mark = _BARE.get(character, character) if self._has_braces else character
                built.add(mark, offset, is_pattern=character in _GLOB)
            offset += 1

    def _expansion(self, node: Node, built: _Builder, *, is_quoted: bool) -> None:
        start = node.start_byte
        value = self._variables.expanded(self._text[start : node.end_byte])
        if value is None:
            built.add(UNKNOWN, start)
            return
        if is_quoted:
            built.add(value, start)
            return
        for character in value:
            if character in _BLANKS:
                built.split_at()
            else:
                built.add(character, start, is_pattern=character in _GLOB)


_MOST_BRACES = 4
"""Of a word with more, nothing is known: each doubles the words."""


def _braces(field: Field) -> Iterator[Field]:
    """`{a,b}` outside of quotes as bash expands it, not one in another; marks of what is none become characters again."""
    found = _BRACES.search(field.shape)
    if found is None:
        yield replace(field, shape=field.shape.translate(_RESTORED))
        return
    if field.shape.count(_BARE["{"]) > _MOST_BRACES:
        yield Field(UNKNOWN, field.origins[:1], field.start, field.end, True, False)
        return
    at = found.start(1)
    for part in found.group(1).split(_BARE[","]):
        shape = field.shape[: found.start()] + part + field.shape[found.end() :]
        origins = (*field.origins[: found.start()], *field.origins[at : at + len(part)], *field.origins[found.end() :])
        if shape:
            yield from _braces(Field(shape, origins, field.start, field.end, field.is_pattern, False))
        at += len(part) + 1
