"""Here-documents: which words of a line start one, and what their delimiters mean.

Source: BuildKit frontend/dockerfile/parser (heredocFromMatch, heredocsFromLine); dockerfile.md §4 (10 to 15).
"""

from __future__ import annotations

import re
import sys

from slimstage.dockerfile.expand import Lexer
from slimstage.dockerfile.instructions import Heredoc
from slimstage.errors import DockerfileError
from slimstage.regex import pattern
from slimstage.values import dataclass

_OPERATOR = pattern(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")
_LEADING_TABS = pattern(r"^\t+", re.MULTILINE)
_LARGEST_FD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Operator:
    """`N<<-WORD` as a line has it: everything of a heredoc but its body. `word` is the operator as written."""

    name: str
    expands: bool
    strips_tabs: bool
    fd: int
    word: str

    def with_body(self, body: str) -> Heredoc:
        """The heredoc with the lines of `body`, each with its end."""
        content = without_leading_tabs(body) if self.strips_tabs else body
        as_written = body if content != body else None
        return Heredoc(self.name, content, self.expands, self.strips_tabs, self.fd, as_written)


def parse_operator(word: str) -> Operator | None:
    """The heredoc operator that all of `word` is; None when it is none.

    Any quoting in the delimiter turns expansion of the body off.
    Raises: DockerfileError without a place when the delimiter's quotes are not closed.
    """
    found = _OPERATOR.fullmatch(word) if "<<" in word else None
    if not found or not found.group(3):
        return None
    digits, dash, delimiter = found.groups()
    plain = Lexer(delimiter, {}, keeps_unset=True).run()[1]
    if len(plain) != 1:
        return None
    raw = Lexer(delimiter, {}, keeps_unset=True, keeps_quotes=True).run()[1]
    # Escaped quotes are in both; only quotes that quote are in one alone.
    expands = len(raw) == 1 and _quotes(plain[0]) == _quotes(raw[0])
    fd = min(int(digits[:10] or "0"), _LARGEST_FD)
    return Operator(plain[0], expands, dash == "-", fd, word)


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def operators_of(line: str) -> list[Operator]:
    """The heredocs that a line opens, in order; none when the line's quotes or variables make no sense."""
    if "<<" not in line:
        return []
    try:
        # No environment, so nothing grows: a line of any length may open heredocs.
        lexer = Lexer(line, {}, keeps_quotes=True, keeps_escapes=True, keeps_unset=True, largest=sys.maxsize)
        words = lexer.run()[1]
    except DockerfileError:
        return []
    return [operator for word in words if (operator := parse_operator(word))]


def without_leading_tabs(body: str) -> str:
    """The body with the tabs at the start of each line removed, as `<<-` asks; blanks stay."""
    return _LEADING_TABS.sub("", body)
