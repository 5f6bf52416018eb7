"""What `slimstage check` prints: remarks as text with excerpts, as annotations, or as one of the documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

from slimstage.cli.failures import error_text
from slimstage.cli.show import print_json, table
from slimstage.cli.terminal import Paint
from slimstage.cli.units import size_text
from slimstage.diagnostics import Diagnostic
from slimstage.lint import catalogue
from slimstage.lint.formats.told import Told
from slimstage.lint.rule import Rule

FORMATS = ("text", "json", "sarif", "github", "junit")


def print_remarks(kind: str, files: Sequence[str], remarks: Sequence[Told], paint: Paint) -> None:
    """All of them on stdout. kind: one of `FORMATS`."""
    if kind == "json":
        from slimstage.lint.formats.document import document

        print_json(document(remarks, _url))
    elif kind == "sarif":
        from slimstage.lint.formats.sarif import sarif

        sys.stdout.write(json.dumps(sarif(remarks, known_rule), indent=2, ensure_ascii=True) + "\n")
    elif kind == "junit":
        from slimstage.lint.formats.junit import junit

        sys.stdout.write(junit(files, remarks))
    elif kind == "github":
        from slimstage.cli.github import annotation

        for each in remarks:
            sys.stdout.write(annotation(_noted(each), each.file) + "\n")
    else:
        for each in remarks:
            sys.stdout.write(error_text(_noted(each), paint) + "\n")


def known_rule(name: str) -> Rule | None:
    return catalogue.rule(name) if name in catalogue.names() else None


def _url(name: str) -> str | None:
    rule = known_rule(name)
    return rule.url if rule else None


def _noted(each: Told) -> Diagnostic:
    notes = each.notes
    if each.saving_bytes is not None:
        notes = (*notes, f"mending it saves {size_text(each.saving_bytes)}")
    if each.fix is not None:
        notes = (*notes, f"--fix would {each.fix.title}")
    return Diagnostic(each.rule, each.message, each.span, notes, each.hint, each.severity)


def summary(files: Sequence[str], remarks: Sequence[Told], hidden: int) -> str:
    """One line for people."""
    counts = [(sum(each.severity == kind for each in remarks), kind) for kind in ("error", "warning", "info")]
    listed = ", ".join(f"{count} info" if kind == "info" else _count(count, kind) for count, kind in counts if count)
    where = f"{len(files)} files" if len(files) > 1 else files[0]
    fixes = sum(each.fix is not None for each in remarks)
    parts = [f"{where}: {listed or 'nothing found'}"]
    if fixes:
        parts.append(f"--fix mends {fixes}")
    if hidden:
        parts.append(f"{hidden} below --severity not shown")
    return "; ".join(parts)


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count > 1 else ''}"


def rules_table(rules: Iterable[Rule]) -> str:
    """Every rule on a line."""
    return table(
        ("RULE", "GROUP", "SEVERITY", "FIX", "WHAT IS WRONG"),
        [
            (
                each.name,
                each.group,
                each.severity if each.is_default else "(off)",
                "yes" if each.has_fix else "",
                each.summary,
            )
            for each in rules
        ],
    )


def rules_document(rules: Iterable[Rule]) -> list[dict[str, object]]:
    return [
        {
            "name": each.name,
            "group": each.group,
            "severity": each.severity,
            "is_default": each.is_default,
            "has_fix": each.has_fix,
            "summary": each.summary,
            "url": each.url,
        }
        for each in rules
    ]
