"""Notes the invocations of a shell text: wrappers looked through, text that another shell is given walked in place.

`walk.py` says what stands where; this keeps what holds at that point: directory, variables, whether it is certain to run.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slimstage.diagnostics import Span
from slimstage.lint.shell.script import UNKNOWN, Assignment, Invocation, Operator, Redirect, Script
from slimstage.lint.shell.text import ShellText, joined
from slimstage.lint.shell.words import Field, Variables, WordReader
from slimstage.lint.shell.wrappers import Unwrapped, base_name, executed, found_by, unwrap
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    from tree_sitter import Node

DEEPEST = 60
"""Levels of nesting, of statements and of texts in each other, that are followed."""
_OPTIONS = {"e": "errexit", "u": "nounset", "x": "xtrace", "f": "noglob", "n": "noexec"}


@dataclass(slots=True, eq=False)
class _Draft:
    """An invocation while what follows it is not known. start, end: the statement in `text`."""

    text: ShellText
    found: Unwrapped
    start: int
    end: int
    redirects: tuple[Redirect, ...]
    assignments: tuple[Assignment, ...]
    is_certain: bool
    is_substituted: bool
    is_nested: bool
    joined_by: Operator | None
    directory: str | None
    followed_by: Operator | None = None

    def invocation(self) -> Invocation:
        fields = self.found.fields
        own = [field for field in fields if field.shape.find("/**/") < 0 or field.is_literal]
        last = max(field.end for field in own) if own else fields[0].end
        return Invocation(
            name=base_name(fields[0]),
            program=fields[0].word(self.text),
            words=tuple(field.word(self.text) for field in fields[1:]),
            span=self.text.span(fields[0].start, max(last, fields[0].end)),
            statement=self.text.span(self.start, self.end),
            assignments=self.assignments,
            redirects=self.redirects,
            wrappers=self.found.wrappers,
            is_certain=self.is_certain,
            joined_by=self.joined_by,
            followed_by=self.followed_by,
            takes_more=self.found.takes_more,
            directory=self.directory,
            is_substituted=self.is_substituted,
            can_be_followed=self._can_be_followed(),
        )

    def _can_be_followed(self) -> bool:
        is_plain = self.text.is_exact and not self.is_nested and not self.is_substituted
        return is_plain and self.followed_by not in ("|", "||", "&") and self.joined_by != "||"


class Noting:
    """One text and what was found in it so far."""

    def __init__(
        self, text: ShellText, variables: Variables, parse: Callable[[str], Node], *, has_braces: bool, depth: int = 0
    ) -> None:
        self._text, self._variables, self._parse, self._has_braces = text, variables, parse, has_braces
        self._words = WordReader(text.text, variables, has_braces=has_braces)
        self._drafts: list[_Draft] = []
        self._faults: list[Span] = []
        self._options: set[str] = set()
        self._depth = depth
        self._directory: str | None = "."
        self._certain = True
        self._operator: Operator | None = None
        self._last: _Draft | None = None
        self._is_substituted = False
        self._is_nested = depth > 0
        self._in_pipe = False
        self._redirects_of: dict[int, list[Node]] = {}

    def script(self) -> Script:
        """All that was found."""
        made = tuple(draft.invocation() for draft in self._drafts)
        return Script(self._text.text, made, tuple(self._faults), frozenset(self._options), self._text.is_exact)

    def whole(self) -> None:
        """Walk the text."""
        raise NotImplementedError

    def exec_form(self, fields: Sequence[Field]) -> None:
        """One command, whose words no shell has touched."""
        if fields:
            self._is_nested = True
            self._emit(fields, fields[0].start, fields[-1].end, (), ())

    def _emit(
        self,
        fields: Sequence[Field],
        start: int,
        end: int,
        redirects: tuple[Redirect, ...],
        assignments: tuple[Assignment, ...],
        nodes: Sequence[Node] = (),
    ) -> None:
        found = unwrap(fields)
        more = tuple(self._said(field) for field in found.assignments)
        if found.script is not None and self._nested(found.script, found):
            return
        if found.reads_script and self._from_heredoc(nodes, found):
            return
        if found.script is not None or found.reads_script:
            found = replace(found, fields=tuple(fields), wrappers=(), script=None)
        if "xargs" in found.wrappers and self._last is not None and self._last.found.fields[0].shape.endswith("find"):
            found = replace(found, fields=(*found.fields, *found_by(self._last.found.fields, found.fields[0])))
        self._add(found, start, end, redirects, (*assignments, *more))
        name = base_name(found.fields[0])
        if name == "cd" and not self._in_pipe:
            self._change_directory(found.fields)
        elif name in ("pushd", "popd"):
            self._directory = None
        elif name == "set":
            self._set(found.fields[1:])
        elif name in ("read", "getopts", "mapfile"):
            for field in found.fields[1:]:
                self._variables.put(field.shape, None)
        elif name == "find":
            for each in executed(found.fields):
                self._add(each, start, end, (), ())

    def _add(
        self,
        found: Unwrapped,
        start: int,
        end: int,
        redirects: tuple[Redirect, ...],
        assignments: tuple[Assignment, ...],
    ) -> None:
        directory = self._directory
        if found.directory is not None:
            directory = _moved(directory, found.directory.text)
        draft = _Draft(
            self._text, found, start, end, redirects, assignments, self._certain, self._is_substituted,
            self._is_nested, self._operator, directory,
        )  # fmt: skip
        if self._last is not None:
            self._last.followed_by = self._operator
        self._drafts.append(draft)
        self._last, self._operator = draft, None

    def _said(self, field: Field) -> Assignment:
        name, _, value = field.shape.partition("=")
        return Assignment(name, None if UNKNOWN in value else value, self._text.span(field.start, field.end))

    def _nested(self, script: Field, found: Unwrapped) -> bool:
        """Walks the text that another shell is given; False when it is not known."""
        if not script.shape.strip(UNKNOWN) or self._depth > DEEPEST:
            return False
        is_exact = script.is_literal or script.shape == self._text.text[script.start + 1 : script.end - 1]
        self._within(self._text.derived(script.shape, script.origins, is_exact=is_exact), found)
        return True

    def _from_heredoc(self, nodes: Sequence[Node], found: Unwrapped) -> bool:
        """`bash <<EOF`: its body is the script."""
        bodies = [
            child for node in nodes if node.type == "heredoc_redirect" for child in node.children
            if child.type == "heredoc_body"
        ]  # fmt: skip
        if not bodies or self._depth > DEEPEST:
            return False
        start, end = bodies[0].start_byte, bodies[0].end_byte
        body = self._text.derived(self._text.text[start:end], range(start, end), is_exact=True)
        self._within(body, found)
        return True

    def _within(self, text: ShellText, found: Unwrapped) -> None:
        whole = joined(text.text)
        if whole.text != text.text:
            text = text.derived(whole.text, whole.origins, is_exact=True)
        has_braces = base_name(found.fields[0]) in ("bash", "zsh", "ksh")
        inner = type(self)(text, self._variables.copy(), self._parse, has_braces=has_braces, depth=self._depth + 1)
        inner._certain, inner._directory = self._certain, self._directory
        inner._operator, inner._is_substituted = self._operator, self._is_substituted
        inner._last = self._last
        inner.whole()
        for draft in inner._drafts:
            draft.found = replace(draft.found, wrappers=(*found.wrappers, *draft.found.wrappers))
        self._drafts += inner._drafts
        self._faults += inner._faults
        if inner._drafts:
            self._last, self._operator = inner._last, None

    def _change_directory(self, fields: Sequence[Field]) -> None:
        places = [field for field in fields[1:] if not field.shape.startswith("-") or field.shape == "-"]
        moved = _moved(self._directory, places[0].text) if len(places) == 1 and places[0].shape != "-" else None
        self._directory = moved if self._certain else None

    def _set(self, fields: Sequence[Field]) -> None:
        shapes = [field.shape for field in fields]
        for index, shape in enumerate(shapes):
            if not shape.startswith(("-", "+")) or shape.startswith("--"):
                continue
            names = {_OPTIONS[letter] for letter in shape[1:] if letter in _OPTIONS}
            if shape.endswith("o") and index + 1 < len(shapes):
                names.add(shapes[index + 1])
            if shape[0] == "-":
                self._options |= names
            else:
                self._options -= names

    def _raw(self, node: Node) -> str:
        return self._text.text[node.start_byte : node.end_byte]

    def _fault(self, node: Node) -> None:
        self._faults.append(self._text.span(node.start_byte, node.end_byte))


def _moved(directory: str | None, to: str | None) -> str | None:
    """Where `cd` leads. Relative places stay relative to the RUN's working directory."""
    if to is None or to.startswith("~") or not to:
        return None
    if to.startswith("/"):
        return posixpath.normpath(to)
    return None if directory is None else posixpath.normpath(posixpath.join(directory, to))
