"""Logical line → syntax node: keyword, flags, arguments. What the words mean is `interpret.py`'s matter.

This is the level at which BuildKit prints its syntax trees: an unknown instruction or flag is no fault yet.
Source: BuildKit frontend/dockerfile/parser (split_command.go, line_parsers.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.faults import Faults, quoted
from slimstage.dockerfile.heredocs import operators_of
from slimstage.dockerfile.instructions import Heredoc
from slimstage.dockerfile.reader import LineReader, LogicalLine
from slimstage.dockerfile.words import (
    SPACE,
    NotStrings,
    Word,
    cut_at_blanks,
    json_strings,
    split_blanks,
    split_words,
)
from slimstage.errors import DockerfileError
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

_SPACE_CLASS = re.escape(SPACE)
_FLAG = pattern(
    rf"""(?: [^{_SPACE_CLASS}'"\\]++ | '(?:[^'\\]++|\\.)*+'?+ | "(?:[^"\\]++|\\.)*+"?+ | \\.?+ )++""",
    re.VERBOSE | re.DOTALL,
)
_FLAG_PART = pattern(
    r"""'((?:[^'\\]++|\\.)*+)'?+ | "((?:[^"\\]++|\\.)*+)"?+ | \\(.?+) | ([^'"\\]++)""", re.VERBOSE | re.DOTALL
)
_ESCAPED = pattern(r"\\(.)", re.DOTALL)
_SPACES = pattern(f"[{_SPACE_CLASS}]*+")


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction, split but not understood. Positions are offsets in `line.text`.

    args: for ENV and LABEL three words for each pair: name, value, and `=` or nothing (the legacy form).
    rest: all arguments as one text. child: what ONBUILD holds.
    """

    line: LogicalLine
    keyword: Word
    flags: tuple[Word, ...]
    args: tuple[Word, ...]
    rest: Word
    is_json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    child: Node | None = None

    @property
    def name(self) -> str:
        """The keyword in lower case."""
        return self.keyword.text.lower()

    def span_of(self, word: Word) -> Span:
        """Where `word` stands in the file."""
        return self.line.span(word.start, word.end)


def read_nodes(source: Source, reader: LineReader, faults: Faults) -> Iterator[Node]:
    """The nodes of a file in order, heredoc bodies attached; a line with a fault gives no node.

    Stops early when `faults` is full.
    """
    while not faults.is_full and (line := reader.next()):
        node = node_of(line, 0, len(line.text), reader.escape, faults)
        heredocs: tuple[Heredoc, ...] | None = ()
        # The bodies of a faulty line are still bodies: reading them as instructions would only add noise.
        if _may_have_heredocs(node) if node else _HEREDOC_KEYWORD.match(line.text):
            heredocs = _heredocs(line, reader, faults)
        if node is not None and heredocs is not None:
            child = replace(node.child, heredocs=heredocs) if node.child else None
            yield replace(node, heredocs=heredocs, child=child) if heredocs else node


_HEREDOC_KEYWORD = pattern(r"(?:onbuild[\t\v\f\r ]+)?(?:run|copy|add)[\t\v\f\r ]", re.IGNORECASE)


def _may_have_heredocs(node: Node) -> bool:
    inner = node.child if node.name == "onbuild" and node.child else node
    return inner.name in ("run", "copy", "add") and not inner.is_json


def _heredocs(line: LogicalLine, reader: LineReader, faults: Faults) -> tuple[Heredoc, ...] | None:
    try:
        operators = operators_of(line.text)
    except DockerfileError as error:
        faults.take(error, line.whole())
        return None
    found: list[Heredoc] = []
    for operator in operators:
        body = reader.body(operator.name, strips_tabs=operator.strips_tabs)
        line.end_line = reader.last_line
        if not body.is_closed:
            start = max(0, line.text.find(operator.word))
            message = f"the heredoc {quoted(operator.name)} is not closed"
            note = "everything behind it was read as its text"
            hint = f"end it with a line that is exactly {quoted(operator.name)}"
            if body.near_miss:
                hint = f"line {body.near_miss} has blanks around {quoted(operator.name)}: remove them"
            faults.add("unterminated-heredoc", message, line.span(start, start + len(operator.word)), note, hint=hint)
            return None
        found.append(operator.with_body(body.text))
    return tuple(found)


def node_of(line: LogicalLine, start: int, end: int, escape: str, faults: Faults) -> Node | None:
    """The node that line.text[start:end] is; None, and a fault is added, when its arguments cannot be split."""
    text = line.text[start:end]
    start += len(text) - len(text.lstrip(SPACE))
    text = text.strip(SPACE)
    keyword, behind = cut_at_blanks(text)
    word = Word(keyword, start, start + len(keyword))
    flags: list[Word] = []
    rest = Word("", start + len(text), start + len(text))
    if behind >= 0:
        position, flags = _flags(text, behind, start)
        stripped = text[position:].lstrip(SPACE)
        rest = Word(stripped, start + len(text) - len(stripped), start + len(text))
    node = Node(line, word, tuple(flags), (), rest)
    splitter = _SPLITTERS.get(keyword.lower())
    # BuildKit's tree has one empty argument for an instruction that it does not know.
    return splitter(node, escape, faults) if splitter else replace(node, args=(Word("", rest.end, rest.end),))


def _flags(text: str, position: int, offset: int) -> tuple[int, list[Word]]:
    """The words that start with `--`, unquoted, and where the arguments start; `--` alone ends them.

    The backslash escapes here whatever the escape directive says.
    Source: extractBuilderFlags in split_command.go.
    """
    flags: list[Word] = []
    while True:
        blank = _SPACES.match(text, position)
        position = blank.end() if blank else position
        if not text.startswith("--", position):
            return position, flags
        found = _FLAG.match(text, position)
        assert found is not None  # it starts with "--"
        position = found.end()
        word = "".join(map(_unquoted, _FLAG_PART.finditer(found.group())))
        if word == "--":
            return position, flags
        flags.append(Word(word, found.start() + offset, found.end() + offset))


def _unquoted(part: re.Match[str]) -> str:
    single, double, escaped, plain = part.groups()
    if plain is not None:
        return plain
    if escaped is not None:
        return escaped
    return _ESCAPED.sub(r"\1", single if single is not None else double)


# How each instruction's arguments are split ----------------------------------------------------------------------


def _whole(node: Node, _escape: str, _faults: Faults) -> Node:
    return replace(node, args=(node.rest,) if node.rest.text else ())


def _blanks(node: Node, _escape: str, _faults: Faults) -> Node:
    return replace(node, args=tuple(split_blanks(node.rest.text, node.rest.start)))


def _words(node: Node, escape: str, _faults: Faults) -> Node:
    return replace(node, args=tuple(split_words(node.rest.text, escape, node.rest.start)))


def _json(node: Node, rest: Word, faults: Faults) -> tuple[Word, ...] | None:
    """The array's strings; None when it is no array. Raises: _Faulty when it holds something else."""
    try:
        values = json_strings(rest.text)
    except NotStrings as error:
        start = rest.start + error.position
        hint = "put each element in double quotes"
        faults.add("json-not-strings", str(error), node.line.span(start, start + 1), hint=hint)
        raise _Faulty from None
    return None if values is None else tuple(Word(value, rest.start, rest.end) for value in values)


class _Faulty(Exception):
    """The fault is already reported; the node is given up."""


def _json_or_whole(node: Node, escape: str, faults: Faults) -> Node | None:
    return _json_or(_whole, node, escape, faults)


def _json_or_blanks(node: Node, escape: str, faults: Faults) -> Node | None:
    return _json_or(_blanks, node, escape, faults)


def _json_or(other: Callable[[Node, str, Faults], Node], node: Node, escape: str, faults: Faults) -> Node | None:
    try:
        strings = _json(node, node.rest, faults)
    except _Faulty:
        return None
    return other(node, escape, faults) if strings is None else replace(node, args=strings, is_json=True)


def _healthcheck(node: Node, _escape: str, faults: Faults) -> Node | None:
    text = node.rest.text
    kind, behind = _cut_at_space(text)
    if not kind:
        return node
    word = Word(kind, node.rest.start, node.rest.start + len(kind))
    command = Word(text[behind:], node.rest.start + behind, node.rest.end)
    try:
        strings = _json(node, command, faults) if command.text else ()
    except _Faulty:
        return None
    if strings is None:
        return replace(node, args=(word, command))
    return replace(node, args=(word, *strings), is_json=bool(command.text))


def _cut_at_space(text: str) -> tuple[str, int]:
    found = re.search(f"[{_SPACE_CLASS}]++", text)
    return (text[: found.start()], found.end()) if found else (text, len(text))


def _pairs(node: Node, escape: str, faults: Faults) -> Node | None:
    """`name=value …`, or `name value` when the first word has no `=`.

    Source: parseNameVal in line_parsers.go.
    """
    words = split_words(node.rest.text, escape, node.rest.start)
    if not words:
        return node
    what = node.keyword.text.upper()
    if "=" not in words[0].text:
        text, start = node.rest.text, node.rest.start
        name, behind = cut_at_blanks(text)
        if behind < 0:
            hint = f"write {what} {name[:80]}=VALUE"
            faults.add("missing-value", f"{what} {quoted(name)} has no value", node.span_of(words[0]), hint=hint)
            return None
        first = Word(name, start, start + len(name))
        return replace(node, args=(first, Word(text[behind:], start + behind, node.rest.end), Word("", 0, 0)))
    args: list[Word] = []
    for word in words:
        name, equals, value = word.text.partition("=")
        if not equals:
            note = f"the first word has an equals sign, so all of {what} are NAME=VALUE pairs"
            hint = "quote a value that holds blanks"
            message = f'{quoted(word.text)} has no "="'
            faults.add("missing-equals", message, node.span_of(word), note, hint=hint)
            return None
        middle = word.start + len(name)
        args += [Word(name, word.start, middle), Word(value, middle + 1, word.end), Word("=", middle, middle + 1)]
    return replace(node, args=tuple(args))


def _onbuild(node: Node, escape: str, faults: Faults) -> Node | None:
    if not node.rest.text:
        return node
    if node.rest.text[:7].lower() == "onbuild" and not node.rest.text[7:8].strip(SPACE):
        # Chains are refused later; not followed here, so that no chain can be deep.
        return replace(
            node,
            child=Node(node.line, Word(node.rest.text[:7], node.rest.start, node.rest.start + 7), (), (), node.rest),
        )
    child = node_of(node.line, node.rest.start, node.rest.end, escape, faults)
    return None if child is None else replace(node, child=child)


_SPLITTERS: dict[str, Callable[[Node, str, Faults], Node | None]] = {
    "add": _json_or_blanks,
    "arg": _words,
    "cmd": _json_or_whole,
    "copy": _json_or_blanks,
    "entrypoint": _json_or_whole,
    "env": _pairs,
    "expose": _blanks,
    "from": _blanks,
    "healthcheck": _healthcheck,
    "label": _pairs,
    "maintainer": _whole,
    "onbuild": _onbuild,
    "run": _json_or_whole,
    "shell": _json_or_whole,
    "stopsignal": _whole,
    "user": _whole,
    "volume": _json_or_blanks,
    "workdir": _whole,
}

KEYWORDS: frozenset[str] = frozenset(_SPLITTERS)
"""The instructions, in lower case."""


def node_at(text: str, span: Span, escape: str, faults: Faults) -> Node | None:
    """The one node of `text`, every position in it being `span`: for text that is not the user's file.

    A fault is added when there is none, or more than one.
    """
    source = Source(span.source.name, text)
    reader = LineReader(source, faults, fixed=span)
    reader.escape = escape
    nodes = list(read_nodes(source, reader, faults))
    if len(nodes) == 1 or faults.found:
        return nodes[0] if nodes else None
    faults.add("bad-trigger", f"the ONBUILD trigger {quoted(text)} is not one instruction", span)
    return None
