"""What `docker build --check` prints: warnings with their source, or the JSON of BuildKit's lint request.

Source: BuildKit frontend/subrequests/lint/lint.go (LintResults, PrintTo), solver/errdefs/source.go (Print).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slimstage.diagnostics import Diagnostic, Span, shown
from slimstage.dockerfile.instructions import Dockerfile
from slimstage.lint.engine import Checked
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Rule

_RULE = "--------------------"
_UNDOCUMENTED = "InvalidBaseImagePlatform"


def text(checked: Checked, rules: Sequence[Rule]) -> str:
    """A block for each finding, in the order of the file."""
    by_name = {rule.name: rule for rule in rules}
    wholes = _instructions(checked.dockerfile)
    return "".join(_block(each, by_name[each.rule], _whole(wholes, each.span)) for each in checked.findings)


def count_line(count: int) -> str:
    if count == 0:
        return "Check complete, no warnings found."
    return f"Check complete, {count} {'warning has' if count == 1 else 'warnings have'} been found!"


def _instructions(dockerfile: Dockerfile) -> dict[int, Span]:
    """The places of all instructions by their first line."""
    found = {each.span.line: each.span for each in dockerfile.global_args}
    for stage in dockerfile.stages:
        found |= {each.span.line: each.span for each in (stage.from_, *stage.instructions)}
    return found


def _whole(instructions: Mapping[int, Span], span: Span) -> Span:
    """The place as BuildKit has it: of an instruction always all its lines."""
    return instructions.get(span.line, span)


def _block(finding: Finding, rule: Rule, span: Span) -> str:
    link = f" - {rule.url}" if rule.name != _UNDOCUMENTED else ""
    return f"\nWARNING: {finding.rule}{link}\n{shown(finding.message)}\n{excerpt(span)}"


def excerpt(span: Span) -> str:
    """The lines of a place with some around it."""
    lines = span.source.text.split("\n")
    start, end = span.line, min(span.end_line, len(lines))
    first, last, padding = start, end, 0
    while padding < (4 if start == end else 2):
        if first > 1:
            first, padding = first - 1, padding + 1
        if last < len(lines):
            last, padding = last + 1, padding + 1
        padding += 1
    rows = [
        f" {number:>3} | {'>>>' if start <= number <= end else '   '} {shown(lines[number - 1].rstrip(chr(13)), tabs=True)}"
        for number in range(first, last + 1)
    ]
    return "\n".join([f"{shown(span.file)}:{start}", _RULE, *rows, _RULE]) + "\n"


def document(checked: Checked, rules: Sequence[Rule]) -> dict[str, Any]:
    """The result of the lint request. Lines count from 1; the whole file is in `sources`, in base 64."""
    import base64  # only for this document

    by_name = {rule.name: rule for rule in rules}
    wholes = _instructions(checked.dockerfile)
    source = checked.dockerfile.source
    data = source.text.encode("utf-8", "surrogateescape")
    found: dict[str, Any] = {
        "warnings": [
            {
                "ruleName": each.rule,
                "description": _description(by_name[each.rule]),
                **({"url": by_name[each.rule].url} if each.rule != _UNDOCUMENTED else {}),
                "detail": _printable(each.message),
                "location": _location(_whole(wholes, each.span)),
            }
            for each in checked.findings
        ],
        "sources": [
            {"filename": source.name, "language": "Dockerfile", "data": base64.b64encode(data).decode("ascii")}
        ],
    }
    faults: tuple[Diagnostic, ...] = (*checked.faults, *checked.refusals)
    if faults:
        first = faults[0]
        found["buildError"] = {
            "message": _printable(first.message),
            "location": _location(first.span) if first.span else {},
        }
    return found


def _description(rule: Rule) -> str:
    return rule.summary[:1].upper() + rule.summary[1:]


def _location(span: Span) -> dict[str, Any]:
    return {"ranges": [{"start": {"line": span.line}, "end": {"line": span.end_line}}]}


def _printable(message: str) -> str:
    return message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
