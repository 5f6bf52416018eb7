"""Applies the edits of fixes to a file's text: several at once, those that touch each other in rounds.

All that no edit touches stays byte for byte: comments, layout, line ends, a byte order mark. Pure; `cli/` writes the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from slimstage.diagnostics import Source, Span
from slimstage.lint.engine import Checked
from slimstage.lint.finding import Edit, Finding, Fix, NewFile
from slimstage.values import dataclass

MOST_ROUNDS = 20
"""A file whose fixes bring forth new ones for longer than this is left as it then is."""
_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Fixed:
    """text: the whole file. applied: the findings that were mended, in order. files: those that fixes write."""

    text: str
    applied: tuple[Finding, ...] = ()
    files: tuple[NewFile, ...] = ()


def fix_all(text: str, check: Callable[[str], Checked]) -> Fixed:
    """The text with every fix applied that the findings have, until none is left.

    check: checks a text. A text with faults is not touched, and no fix is kept that would lead to one, or that mends nothing.
    Raises what `check` raises.
    """
    applied: list[Finding] = []
    files: dict[str, NewFile] = {}
    refused: set[tuple[str, str]] = set()
    checked = check(text)
    for _ in range(MOST_ROUNDS):
        if checked.faults:
            break
        fixable = [each for each in checked.findings if each.fix and (each.rule, each.message) not in refused]
        taken = _apart(fixable)
        if not taken:
            break
        after, next_checked = _tried(text, checked, taken, check)
        if _is_worse(next_checked, checked) and len(taken) > 1:
            taken = taken[:1]
            after, next_checked = _tried(text, checked, taken, check)
        if _is_worse(next_checked, checked) or (after == text and not _new_files(taken, files)):
            refused.update((each.rule, each.message) for each in taken)
            continue
        if hopeless := _not_mended(text, checked, taken, next_checked, check):
            refused |= hopeless
            continue
        files |= _new_files(taken, files)
        applied += taken
        # A fix whose file is written once is done, though the check of the text alone still asks for it.
        refused.update((each.rule, each.message) for each in taken if each.fix and each.fix.files)
        text, checked = after, next_checked
    return Fixed(text, tuple(applied), tuple(files.values()))


def _is_worse(after: Checked, before: Checked) -> bool:
    return bool(after.faults) or len(after.refusals) > len(before.refusals)


def _not_mended(
    text: str, checked: Checked, taken: Sequence[Finding], after: Checked, check: Callable[[str], Checked]
) -> set[tuple[str, str]]:
    """The kinds of finding that would be mended again and again: also alone, their edits leave as many, at the same places."""
    before, left = _counted(checked), _counted(after)
    found: set[tuple[str, str]] = set()
    for kind in dict.fromkeys((each.rule, each.message) for each in taken if each.fix and not each.fix.files):
        if left[kind] < before[kind]:
            continue
        chosen = [each for each in taken if (each.rule, each.message) == kind]
        _, alone = _tried(text, checked, chosen, check)
        places = {(each.span.line, each.span.column) for each in alone.findings if (each.rule, each.message) == kind}
        if _counted(alone)[kind] >= before[kind] and places & {(each.span.line, each.span.column) for each in chosen}:
            found.add(kind)
    return found


def _counted(checked: Checked) -> Counter[tuple[str, str]]:
    return Counter((each.rule, each.message) for each in checked.findings)


def _tried(
    text: str, checked: Checked, taken: Sequence[Finding], check: Callable[[str], Checked]
) -> tuple[str, Checked]:
    edits = [edit for each in taken if each.fix for edit in each.fix.edits]
    after = apply(text, checked.dockerfile.source, edits)
    return after, check(after)


def _new_files(taken: Iterable[Finding], files: dict[str, NewFile]) -> dict[str, NewFile]:
    found: dict[str, NewFile] = {}
    for each in taken:
        for file in each.fix.files if each.fix else ():
            if file.path not in files:
                found.setdefault(file.path, file)
    return found


def _apart(findings: Sequence[Finding]) -> list[Finding]:
    """Those that can be applied together, first come first; the others wait for the next round."""
    taken: list[Finding] = []
    used: list[Span] = []
    for each in findings:
        spans = [edit.span for edit in _edits(each.fix)]
        if not any(_touch(one, other) for one in spans for other in used):
            taken.append(each)
            used += spans
    return taken


def _edits(fix: Fix | None) -> tuple[Edit, ...]:
    return fix.edits if fix else ()


def _touch(one: Span, other: Span) -> bool:
    """True when they share a character, or an insertion of one is at the other's edge."""
    return (one.line, one.column) <= (other.end_line, other.end_column) and (other.line, other.column) <= (
        one.end_line,
        one.end_column,
    )


def apply(text: str, source: Source, edits: Iterable[Edit]) -> str:
    """The text with the edits, which do not overlap. source: what their places count in, the text without its mark."""
    mark = _MARK if text.startswith(_MARK) else ""
    body = text.removeprefix(_MARK)
    assert body == source.text
    places = _Places(body)
    pieces: list[str] = []
    done = 0
    for start, end, new in sorted((*places.of(edit.span), edit.text) for edit in edits):
        pieces += (body[done:start], new.replace("\n", places.line_end(start)))
        done = max(done, end)
    return mark + "".join(pieces) + body[done:]


class _Places:
    """Lines and columns → offsets of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0]
        position = text.find("\n")
        while position >= 0:
            self._starts.append(position + 1)
            position = text.find("\n", position + 1)

    def of(self, span: Span) -> tuple[int, int]:
        return self._offset(span.line, span.column), self._offset(span.end_line, span.end_column)

    def _offset(self, line: int, column: int) -> int:
        if line > len(self._starts):
            return len(self._text)
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self._text)
        return min(start + column - 1, end)

    def line_end(self, offset: int) -> str:
        """How the line at the offset ends, or the first one of the file where it has no end."""
        end = self._text.find("\n", offset)
        if end < 0:
            end = self._text.find("\n")
        return "\r\n" if end > 0 and self._text[end - 1] == "\r" else "\n"
