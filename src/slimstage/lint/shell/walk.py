"""Walks the syntax tree of a shell text in the order in which it runs.

What may not run (branches, loops, functions, behind `||` or a test) is noted as not certain. Subshells keep their directory
and variables to themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from slimstage.lint.shell.noting import DEEPEST, Noting
from slimstage.lint.shell.script import Assignment, Operator, Redirect
from slimstage.lint.shell.words import SUBSTITUTIONS, WORDS, Field, Variables, WordReader

if TYPE_CHECKING:
    from tree_sitter import Node

_OPERATORS: dict[str, Operator] = {";": ";", "&": "&", "&&": "&&", "||": "||", "|": "|", "|&": "|", ";;": ";"}
_REDIRECTS = frozenset(("file_redirect", "herestring_redirect", "heredoc_redirect"))
_ASKS = frozenset(
    ("test", "[", "which", "type", "hash", "grep", "egrep", "fgrep", "command", "cmp", "diff", "false", "id")
)
"""Programs whose exit status is an answer: what stands behind their `&&` may not run."""


class Walk(Noting):
    """The statements of one text."""

    def whole(self) -> None:
        """Walk the text."""
        self._statement(self._parse(self._text.text))

    # Statements ---------------------------------------------------------------------------------------------------

    def _statement(self, node: Node) -> None:
        if self._depth > DEEPEST:
            self._fault(node)
            return
        self._depth += 1
        walk = _STATEMENTS.get(node.type)
        if node.is_missing:
            self._fault(node)
        elif walk is not None:
            walk(self, node)
        elif node.type not in ("comment", "heredoc_body", "heredoc_end", "heredoc_start", "test_command"):
            self._parts(node)
        self._depth -= 1

    def _sequence(self, node: Node) -> None:
        """Statements behind each other, with what stands between them."""
        operator: Operator | None = self._operator
        is_first = True
        for child in node.children:
            if child.type in _OPERATORS:
                operator = _OPERATORS[child.type]
            elif child.type == "comment" or (not child.is_named and not child.is_missing):
                continue
            else:
                self._operator = operator if is_first or operator else "newline"
                self._statement(child)
                operator, is_first = None, False

    def _list(self, node: Node) -> None:
        """`a && b || c`: read from the left, without a call for each operator."""
        parts: list[tuple[Operator | None, Node]] = []
        while node.type == "list" and len(node.children) >= 2:
            named = [child for child in node.children if child.type != "comment"]
            if len(named) != 3:
                break
            parts.append((_OPERATORS.get(named[1].type, ";"), named[2]))
            node = named[0]
        parts.append((None, node))
        was_certain = self._certain
        previous: tuple[Operator | None, Node] | None = None
        for operator, part in reversed(parts):
            if previous is not None:
                self._operator = operator
                is_question = self._is_question(previous[1])
                if operator == "||" or is_question:
                    self._certain = False
                elif previous[0] == "||":
                    self._certain = was_certain  # of `a || b && c`, c runs whichever of a and b succeeds
            if part.type == "list":
                self._sequence(part)
            else:
                self._statement(part)
            previous = operator, part
        self._certain = was_certain

    def _is_question(self, node: Node) -> bool:
        if node.type in ("test_command", "negated_command"):
            return True
        if node.type == "redirected_statement" and node.children:
            return self._is_question(node.children[0])
        if node.type == "pipeline":
            return self._is_question(node.children[-1])
        name = next((child for child in node.children if child.type == "command_name"), None)
        return name is not None and self._raw(name) in _ASKS

    def _pipeline(self, node: Node) -> None:
        was, self._in_pipe = self._in_pipe, True
        directory = self._directory
        self._sequence(node)
        self._directory, self._in_pipe = directory, was

    def _subshell(self, node: Node) -> None:
        directory, variables, options = self._directory, self._variables, set(self._options)
        self._use(variables.copy())
        self._sequence(node)
        self._use(variables)
        self._directory, self._options = directory, options

    def _use(self, variables: Variables) -> None:
        self._variables = variables
        self._words = WordReader(self._text.text, variables, has_braces=self._has_braces)

    def _branches(self, node: Node) -> None:
        """if, while, for, case: the first condition runs, the rest may."""
        was_certain = self._certain
        directory = self._directory
        is_condition = node.type in ("if_statement", "while_statement")
        self._certain = was_certain and is_condition
        for child in node.children:
            if child.type in ("then", "do"):
                self._certain = False
            elif child.type == "do_group":
                self._certain = False
                self._sequence(child)
                self._operator = self._operator or ";"
            elif child.type == "variable_name" and node.type == "for_statement":
                self._variables.put(self._raw(child), None)
            elif child.type in WORDS:
                self._substitutions(child)
            elif child.type in _OPERATORS:
                self._operator = _OPERATORS[child.type]
            elif child.is_named:
                self._statement(child)
                self._operator = self._operator or ";"
        self._certain = was_certain
        if self._directory != directory:
            self._directory = None

    def _negated(self, node: Node) -> None:
        self._sequence(node)

    def _function(self, node: Node) -> None:
        was_certain, directory = self._certain, self._directory
        self._certain = False
        self._parts(node)
        self._certain, self._directory = was_certain, directory

    def _error(self, node: Node) -> None:
        self._fault(node)
        was_certain, self._certain = self._certain, False
        self._parts(node)
        self._certain = was_certain

    def _parts(self, node: Node) -> None:
        """Children of what has no meaning of its own here."""
        for child in node.children:
            if child.type in WORDS:
                self._substitutions(child)
            elif child.is_named:
                self._statement(child)

    # Commands -----------------------------------------------------------------------------------------------------

    def _redirected(self, node: Node) -> None:
        """A statement with redirects, which are those of its last command, as are words behind a redirect's target."""
        redirects = [child for child in node.children if child.type in _REDIRECTS]
        body = [child for child in node.children if child.type not in _REDIRECTS]
        last = body[0] if body else None
        while last is not None and last.type in ("list", "pipeline") and last.children:
            last = last.children[-1]
        if last is not None and last.type == "command":
            self._redirects_of[last.id] = redirects
        for child in body:
            self._statement(child)
        for child in redirects:
            self._behind_heredoc(child)

    def _behind_heredoc(self, node: Node) -> None:
        """`cat <<EOF | sh`: what stands behind a heredoc's operator on its line is a child of it."""
        for child in node.children:
            if child.type in _OPERATORS:
                self._operator = _OPERATORS[child.type]
            elif child.type in SUBSTITUTIONS:
                self._substitutions(child)
            elif child.is_named and child.type in _STATEMENTS and child.type not in _REDIRECTS:
                self._statement(child)

    def _command(self, node: Node) -> None:
        redirects = [child for child in node.children if child.type in _REDIRECTS]
        redirects += self._redirects_of.pop(node.id, ())
        assignments: list[Assignment] = []
        fields: list[Field] = []
        more: list[Field] = []
        noted: list[Redirect] = []
        start, end = node.start_byte, node.end_byte
        for child in node.children:
            if child.type == "variable_assignment":
                assignments.append(self._assignment(child))
            elif child.type in WORDS:
                self._substitutions(child)
                fields += self._words.fields(child)
        fields += self._left_out(end, redirects)
        for each in redirects:
            found, words = self._redirect(each)
            noted += found
            more += words
            start = min(start, each.start_byte)
            end = max(end, self._end_of(each))
        if fields:
            self._emit([*fields, *more], start, end, tuple(noted), tuple(assignments), redirects)

    def _left_out(self, end: int, redirects: list[Node]) -> list[Field]:
        """A `-` in front of a redirect, for which the grammar has no node."""
        behind = min((each.start_byte for each in redirects if each.start_byte >= end), default=end)
        gap = self._text.text[end:behind]
        start = end + len(gap) - len(gap.lstrip())
        return [Field("-", (start,), start, start + 1)] if gap.strip() == "-" else []

    def _redirect(self, node: Node) -> tuple[list[Redirect], list[Field]]:
        """The redirects of a node, and words that stand behind its target."""
        span = self._text.span(node.start_byte, self._end_of(node))
        made: list[Redirect] = []
        words: list[Field] = []
        operator, fd = "", ""
        has_target = False
        for child in node.children:
            if child.type == "file_descriptor":
                fd = self._raw(child)
            elif child.type in _REDIRECTS:
                found, further = self._redirect(child)
                made += found
                words += further
            elif child.type in WORDS:
                self._substitutions(child)
                fields = self._words.fields(child)
                if operator and not has_target:
                    has_target = True
                    made.append(Redirect(operator, fields[0].word(self._text) if fields else None, span, fd))
                else:
                    words += fields
            elif not child.is_named and not operator:
                operator = child.type
        if node.type == "heredoc_redirect":
            made.insert(0, Redirect(operator, None, span, fd))
        return made, words

    def _end_of(self, node: Node) -> int:
        """Where a redirect ends, without what stands behind a heredoc's operator."""
        if node.type != "heredoc_redirect":
            return node.end_byte
        ends = [child.end_byte for child in node.children if child.type in ("heredoc_start", "file_redirect")]
        return max(ends, default=node.start_byte + 2)

    def _assignments(self, node: Node) -> None:
        """`NAME=value` on its own, `export NAME=value`, `unset NAME`."""
        if node.type == "variable_assignment":
            self._keep(self._assignment(node))
            return
        made: list[Assignment] = []
        fields: list[Field] = []
        for child in node.children:
            if child.type == "variable_assignment":
                made.append(self._assignment(child))
                self._keep(made[-1])
                fields.append(self._verbatim(child))
            elif child.is_named and child.type in WORDS:
                self._substitutions(child)
                if node.type == "unset_command":
                    self._variables.put(self._raw(child), None)
                fields += self._words.fields(child)
            elif not child.is_named:
                fields.append(self._verbatim(child))
        if node.type != "variable_assignments" and fields:
            self._emit(fields, node.start_byte, node.end_byte, (), tuple(made))

    def _verbatim(self, node: Node) -> Field:
        start, end = node.start_byte, node.end_byte
        return Field(self._raw(node), tuple(range(start, end)), start, end)

    def _keep(self, made: Assignment) -> None:
        self._variables.put(made.name, made.value if self._certain and not self._in_pipe else None)

    def _assignment(self, node: Node) -> Assignment:
        name = self._raw(node.children[0]) if node.children else ""
        value = node.children[2] if len(node.children) > 2 else None
        if value is not None:
            self._substitutions(value)
        known = self._words.value(value)
        if self._raw(node).startswith(name + "+="):
            before = self._variables.expanded(f"${{{name}}}")
            known = None if before is None or known is None else before + known
        return Assignment(name, known, self._text.span(node.start_byte, node.end_byte))

    def _substitutions(self, node: Node) -> None:
        """Commands inside of a word: they run in front of the command that has the word."""
        todo = [node]
        while todo:
            each = todo.pop()
            if each.type in SUBSTITUTIONS:
                last, operator, was = self._last, self._operator, self._is_substituted
                in_pipe, self._in_pipe = self._in_pipe, False
                self._last, self._operator, self._is_substituted = None, None, True
                if self._depth <= DEEPEST:
                    self._depth += 1
                    self._subshell(each)
                    self._depth -= 1
                self._last, self._operator, self._is_substituted, self._in_pipe = last, operator, was, in_pipe
            else:
                todo += reversed(each.children)


_STATEMENTS: dict[str, Callable[[Walk, Node], None]] = {
    "program": Walk._sequence,
    "compound_statement": Walk._sequence,
    "do_group": Walk._sequence,
    "list": Walk._list,
    "pipeline": Walk._pipeline,
    "subshell": Walk._subshell,
    "if_statement": Walk._branches,
    "elif_clause": Walk._branches,
    "else_clause": Walk._branches,
    "while_statement": Walk._branches,
    "for_statement": Walk._branches,
    "c_style_for_statement": Walk._branches,
    "case_statement": Walk._branches,
    "case_item": Walk._branches,
    "negated_command": Walk._negated,
    "function_definition": Walk._function,
    "redirected_statement": Walk._redirected,
    "command": Walk._command,
    "variable_assignment": Walk._assignments,
    "variable_assignments": Walk._assignments,
    "declaration_command": Walk._assignments,
    "unset_command": Walk._assignments,
    "ERROR": Walk._error,
}
