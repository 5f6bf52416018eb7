"""`--format`: the part of Go's templates that people give to `docker inspect`.

Fields (`{{.Config.Env}}`), `{{json .}}`, `index`, `len`, `join`, `println`, `lower`, `upper`, pipes, `range`, `if`, `else`,
`end`, and `{{-`/`-}}`. Anything else is a UsageError that says so.
Source: Go text/template; Docker's reference "Format command and log output".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError
from slimstage.regex import pattern
from slimstage.values import dataclass

_ACTION = pattern(r"(\s*)\{\{(-?)((?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|[^\"`])*?)(-?)\}\}(\s*)")
_WORD = pattern(r"\s*(?:(\"(?:[^\"\\]|\\.)*\"|`[^`]*`)|(\||\(|\))|([^\s|()]+))")
_NUMBER = pattern(r"-?\d+\Z")
_PATH = pattern(r"\$?(?:\.[A-Za-z_][A-Za-z0-9_]*)+\Z")

_Scope: TypeAlias = tuple[Any, Any]
"""(the document, what `.` is)."""


@dataclass(frozen=True, slots=True)
class _Block:
    """kind: text, show, if or range. words: of the action, or the text itself."""

    kind: str
    words: tuple[str, ...]
    body: tuple[_Block, ...] = ()
    otherwise: tuple[_Block, ...] = ()


class Template:
    """One template, read. Raises UsageError for what it does not have."""

    def __init__(self, text: str) -> None:
        self._pieces = _pieces(text)
        self._at = 0
        blocks, ended_by = self._read()
        if ended_by:
            raise _fault(f'"{{{{{ended_by}}}}}" has no beginning')
        self._blocks = blocks

    def __call__(self, document: Any) -> str:
        """The document in the template's form. Raises UsageError: a field that is not there."""
        return _render(self._blocks, (document, document))

    def _read(self) -> tuple[tuple[_Block, ...], str]:
        """(blocks, the word that ended them: end, else or nothing)."""
        blocks: list[_Block] = []
        while self._at < len(self._pieces):
            is_action, text = self._pieces[self._at]
            self._at += 1
            if not is_action:
                blocks.append(_Block("text", (text,)))
                continue
            words = _words(text)
            if not words or words[0].startswith("/*"):
                continue
            if words[0] in ("end", "else"):
                return tuple(blocks), words[0]
            if words[0] in ("if", "range"):
                body, ended_by = self._read()
                otherwise: tuple[_Block, ...] = ()
                if ended_by == "else":
                    otherwise, ended_by = self._read()
                if ended_by != "end":
                    raise _fault(f'"{{{{{text.strip()}}}}}" has no {{{{end}}}}')
                blocks.append(_Block(words[0], words[1:], body, otherwise))
            else:
                blocks.append(_Block("show", words))
        return tuple(blocks), ""


def _pieces(text: str) -> list[tuple[bool, str]]:
    """(is an action, its text), with the blanks that `-` takes away taken away."""
    pieces: list[tuple[bool, str]] = []
    at = 0
    for found in _ACTION.finditer(text):
        before, trims_before, action, trims_after, after = found.groups()
        if found.start() < at:  # its blanks in front were behind the last one
            before = ""
        pieces.append((False, text[at : found.start()] + ("" if trims_before else before)))
        pieces.append((True, action))
        at = found.end() if trims_after else found.end() - len(after)
    rest = text[at:]
    if "{{" in rest:
        raise _fault('"{{" is not closed')
    pieces.append((False, rest))
    return [(is_action, piece) for is_action, piece in pieces if is_action or piece]


def _words(text: str) -> tuple[str, ...]:
    return tuple(found[1] or found[2] or found[3] for found in _WORD.finditer(text.strip()))


def _render(blocks: Sequence[_Block], scope: _Scope) -> str:
    parts: list[str] = []
    for block in blocks:
        if block.kind == "text":
            parts.append(block.words[0])
            continue
        value = _evaluate(list(block.words), scope)
        if block.kind == "show":
            parts.append(_shown(value))
        elif block.kind == "if":
            parts.append(_render(block.body if value else block.otherwise, scope))
        else:
            items = list(value.values()) if isinstance(value, Mapping) else list(value or ())
            parts += [_render(block.body, (scope[0], item)) for item in items]
            if not items:
                parts.append(_render(block.otherwise, scope))
    return "".join(parts)


def _evaluate(words: list[str], scope: _Scope) -> Any:
    """A pipeline: the value of each part is the last argument of the next."""
    value: Any = None
    has_value = False
    while True:
        arguments: list[Any] = []
        name = words[0] if words else ""
        function = _FUNCTIONS.get(name)
        if function is not None:
            words.pop(0)
        while words and words[0] not in ("|", ")"):
            arguments.append(_operand(words, scope))
        if has_value:
            arguments.append(value)
        if function is not None:
            try:
                value = function(*arguments)
            except (TypeError, IndexError, KeyError, ValueError) as cause:
                raise _fault(f'"{name}" cannot be used so: {cause}') from cause
        elif len(arguments) == 1:
            value = arguments[0]
        else:
            raise _fault(f'"{name}" is no function', did_you_mean(name, _FUNCTIONS))
        has_value = True
        if not words or words[0] == ")":
            return value
        words.pop(0)


def _operand(words: list[str], scope: _Scope) -> Any:
    word = words.pop(0)
    if word == "(":
        value = _evaluate(words, scope)
        if not words:
            raise _fault('"(" is not closed')
        words.pop(0)
        return value
    if word[0] == '"':
        return json.loads(word)
    if word[0] == "`":
        return word[1:-1]
    if word in ("true", "false"):
        return word == "true"
    if _NUMBER.match(word):
        return int(word)
    if word == ".":
        return scope[1]
    if word == "$":
        return scope[0]
    if not _PATH.match(word):
        raise _fault(f'"{word}" is not understood', did_you_mean(word, _FUNCTIONS))
    value = scope[0] if word[0] == "$" else scope[1]
    for field in word.lstrip("$")[1:].split("."):
        if not isinstance(value, Mapping) or field not in value:
            known = list(value) if isinstance(value, Mapping) else []
            raise _fault(f'there is no field "{field}" in "{word}"', did_you_mean(field, known))
        value = value[field]
    return value


def _shown(value: Any) -> str:
    """As Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_shown(item) for item in value) + "]"
    return str(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return value


def _join(items: Any, separator: str) -> str:
    return separator.join(_shown(item) for item in items or ())


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "index": _index,
    "len": lambda value: len(value or ()),
    "join": _join,
    "println": lambda *values: " ".join(_shown(value) for value in values) + "\n",
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
}


def _fault(message: str, hint: str | None = None) -> UsageError:
    return UsageError(f"--format: {message}", hint=hint)
