"""The document of `slimstage check --json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from slimstage.lint.finding import Fix
from slimstage.lint.formats.told import Told


def document(remarks: Iterable[Told], url_of: Callable[[str], str | None]) -> dict[str, Any]:
    """One object for each remark; of a remark without a place, lines and columns are null."""
    return {"diagnostics": [_remark(each, url_of(each.rule)) for each in remarks]}


def _remark(each: Told, url: str | None) -> dict[str, Any]:
    span = each.span
    return {
        "rule": each.rule,
        "severity": each.severity,
        "file": each.file,
        "line": span.line if span else None,
        "column": span.column if span else None,
        "end_line": span.end_line if span else None,
        "end_column": span.end_column if span else None,
        "message": each.message,
        "notes": list(each.notes),
        "hint": each.hint,
        "url": url,
        "saving_bytes": each.saving_bytes,
        "fix": _fix(each.fix) if each.fix else None,
    }


def _fix(fix: Fix) -> dict[str, Any]:
    return {
        "title": fix.title,
        "edits": [
            {
                "line": edit.span.line,
                "column": edit.span.column,
                "end_line": edit.span.end_line,
                "end_column": edit.span.end_column,
                "text": edit.text,
            }
            for edit in fix.edits
        ],
        "files": [{"path": file.path, "text": file.text} for file in fix.files],
    }
