"""A RUN → its script: the syntax tree that tree-sitter's grammar of bash gives, walked once, in order.

Bash's grammar holds that of sh. tree-sitter is imported when the first RUN is looked at; it never fails: what it cannot
read is a fault of the script, with the rest around it still read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from slimstage.dockerfile.faults import Faults
from slimstage.dockerfile.heredocs import parse_operator
from slimstage.dockerfile.instructions import Run
from slimstage.dockerfile.reader import LogicalLine
from slimstage.dockerfile.syntax import Node, node_of
from slimstage.errors import DockerfileError
from slimstage.lint.shell.script import EMPTY, Script
from slimstage.lint.shell.text import ShellText, Written, joined
from slimstage.lint.shell.walk import Walk
from slimstage.lint.shell.words import Field, Variables
from slimstage.lint.shell.wrappers import POSIX_SHELLS
from slimstage.regex import pattern

if TYPE_CHECKING:
    from tree_sitter import Node as SyntaxNode
    from tree_sitter import Parser

DEFAULT_SHELL = ("/bin/sh", "-c")
_LEADING_OPERATOR = pattern(r"\s*<<-?\s*[^\s<>|&;]+\s")
_ESCAPED = pattern(r"\\.", 16)
_SHEBANG = pattern(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S+)")


def read_script(
    run: Run,
    node: Node | None,
    environment: Mapping[str, str],
    *,
    shell: Sequence[str] = DEFAULT_SHELL,
    escape: str = "\\",
) -> Script:
    """What a RUN does, as far as its text says.

    node: the RUN as it was split (`Subject.node`), which has the places; None: text that is not the file's own, all of
    whose places are `run.span`. environment: ARG and ENV that the RUN sees, those with a known value. shell: what SHELL
    says at that place; one that is no POSIX shell gives an empty script, as does a heredoc for another program.
    Raises: nothing.
    """
    fixed = None
    if node is None:
        fixed = run.span
        line = LogicalLine(run.span.source, run.text, 1, 1, fixed=fixed)
        node = node_of(line, 0, len(run.text), escape, Faults())
        if node is None:
            return EMPTY
    written = Written(node, run.heredocs, run.span.source, fixed)
    if run.command.form == "exec" and not run.heredocs:
        return _exec(written, environment)
    dialect = posix_shell(shell)
    if dialect is None:
        return EMPTY
    if not run.heredocs:
        return _parsed(written.line(), environment, has_braces=dialect != "sh")
    if len(run.heredocs) > 1 or not _is_one_heredoc(run.command.words[0]):
        whole = _turned(written.whole(), run.command.words[0])
        return _parsed(whole, environment, has_braces=dialect != "sh")
    body = written.body(0)
    if found := _SHEBANG.match(body.text):
        name = found.group(1).rpartition("/")[2]
        if name not in POSIX_SHELLS:
            return EMPTY
        dialect = name
    return _parsed(body, environment, has_braces=dialect in ("bash", "zsh", "ksh"))


def posix_shell(words: Sequence[str]) -> str | None:
    """The name of the POSIX shell that runs a RUN under this SHELL, also behind `conda run`; None: it is another one."""
    names = [word.rpartition("/")[2] for word in words]
    found = [index for index, name in enumerate(names) if name in POSIX_SHELLS]
    if not found or not any(word.startswith("-") and word.endswith("c") for word in words[found[-1] + 1 :]):
        return None
    return names[found[-1]]


def _is_one_heredoc(text: str) -> bool:
    try:
        return parse_operator(text) is not None
    except DockerfileError:
        return False


def _turned(whole: ShellText, line: str) -> ShellText:
    """`<<EOF bash` as `bash <<EOF`, which the grammar knows; every character keeps its place."""
    found = _LEADING_OPERATOR.match(line)
    if found is None or found.end() >= len(line):
        return whole
    order = [
        *range(found.end(), len(line)),
        found.end() - 1,
        *range(found.end() - 1),
        *range(len(line), len(whole.text)),
    ]
    return whole.derived("".join(whole.text[each] for each in order), order, is_exact=True)


def _exec(written: Written, environment: Mapping[str, str]) -> Script:
    line = written.line()
    fields = []
    for value, origins, start, end in written.strings():
        is_literal = line.text[start:end] == value
        fields.append(Field(value, tuple(origins), start, end, False, is_literal))
    walk = Walk(line, Variables(environment), _parse, has_braces=False)
    walk.exec_form(fields)
    return walk.script()


def _parsed(text: ShellText, environment: Mapping[str, str], *, has_braces: bool) -> Script:
    whole = joined(text.text)
    if whole.text != text.text:
        text = text.derived(whole.text, whole.origins, is_exact=True)
    walk = Walk(text, Variables(environment), _parse, has_braces=has_braces)
    walk.whole()
    return walk.script()


def _parse(text: str) -> SyntaxNode:
    """The syntax tree. Each character is one byte of what is parsed, so its offsets are those of the text.

    The grammar takes an escaped blank for no part of a word: it is shown letters in its place.
    """
    if "\\ " in text or "\\\t" in text:
        text = _ESCAPED.sub(lambda found: "%%" if found.group()[1] in " \t" else found.group(), text)
    plain = text if text.isascii() else "".join(c if c < "\x80" else "%" for c in text)
    return _parser().parse(plain.encode()).root_node


@cache
def _parser() -> Parser:
    import tree_sitter_bash  # costs 15 ms
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


__all__ = ["DEFAULT_SHELL", "posix_shell", "read_script"]
