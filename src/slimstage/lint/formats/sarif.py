"""SARIF 2.1.0: what code scanning of GitHub, GitLab and Azure DevOps reads.

Source: OASIS SARIF 2.1.0, sections 3.14 (run), 3.27 (result), 3.55 (fix).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slimstage.lint.finding import Fix
from slimstage.lint.formats.told import Told
from slimstage.lint.rule import Rule
from slimstage.version import __version__

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(remarks: Sequence[Told], rule_of: Callable[[str], Rule | None]) -> dict[str, Any]:
    """A log of one run. Files are named by relative URIs from the directory that the check ran in."""
    names = sorted({each.rule for each in remarks})
    index = {name: number for number, name in enumerate(names)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "slimstage check",
                        "version": __version__,
                        "rules": [_rule(name, rule_of(name)) for name in names],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_result(each, index[each.rule]) for each in remarks],
            }
        ],
    }


def _rule(name: str, rule: Rule | None) -> dict[str, Any]:
    if rule is None:
        return {"id": name, "defaultConfiguration": {"level": "error"}}
    found: dict[str, Any] = {
        "id": name,
        "name": name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": rule.why, "markdown": rule.why},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.group]},
    }
    if "://" in rule.url:
        found["helpUri"] = rule.url
    return found


def _result(each: Told, index: int) -> dict[str, Any]:
    words = [each.message, *each.notes, *([f"hint: {each.hint}"] if each.hint else [])]
    result: dict[str, Any] = {
        "ruleId": each.rule,
        "ruleIndex": index,
        "level": _LEVELS[each.severity],
        "message": {"text": _clean("\n".join(words))},
        "locations": [{"physicalLocation": _place(each)}],
    }
    if each.saving_bytes is not None:
        result["properties"] = {"savingBytes": each.saving_bytes}
    if each.fix and each.fix.edits:
        result["fixes"] = [_fix(each.fix, each.file)]
    return result


def _place(each: Told) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(each.file)}}
    if each.span:
        place["region"] = {
            "startLine": each.span.line,
            "startColumn": each.span.column,
            "endLine": each.span.end_line,
            "endColumn": each.span.end_column,
        }
    return place


def _fix(fix: Fix, file: str) -> dict[str, Any]:
    replacements = [
        {
            "deletedRegion": {
                "startLine": edit.span.line,
                "startColumn": edit.span.column,
                "endLine": edit.span.end_line,
                "endColumn": edit.span.end_column,
            },
            "insertedContent": {"text": _clean(edit.text)},
        }
        for edit in fix.edits
    ]
    return {
        "description": {"text": fix.title},
        "artifactChanges": [{"artifactLocation": {"uri": _uri(file)}, "replacements": replacements}],
    }


def _uri(file: str) -> str:
    from urllib.parse import quote  # only for a document of this kind

    return quote(file.encode("utf-8", "surrogateescape"))


def _clean(text: str) -> str:
    """Bytes that are no UTF-8 are shown as such: a document of this kind is Unicode."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
