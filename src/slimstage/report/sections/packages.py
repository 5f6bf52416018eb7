"""Packages by size; the script adds the rest of them, sorting and a filter. Pure."""

from __future__ import annotations

from slimstage.report.figures import count_text, size_text
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import PackageRow, Report
from slimstage.report.sections.parts import bar, frame, table

FIRST = 40
"""So many are on the page without the script."""


def section(report: Report) -> Markup | None:
    if not report.packages:
        return None
    ordered = sorted(report.packages, key=lambda each: -each.size_bytes)
    most = ordered[0].size_bytes
    kinds: dict[str, int] = {}
    for each in report.packages:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))
    return frame(
        "packages",
        "Packages",
        element("div", id="package-tools", hidden=True),
        table(
            "Packages",
            ("Package", "Size", "", "Version", "Kind", "Files", "Needed by"),
            [_row(each, most) for each in ordered[:FIRST]],
            right=(1, 5),
            text=(0, 3, 6),
            name="package-table",
            is_titled=True,
        ),
        element("p", f"The {FIRST} largest of {len(ordered):,}.", id="package-more") if len(ordered) > FIRST else None,
        lead=f"{count_text(len(ordered), 'package')}: {told}.",
    )


def _row(package: PackageRow, most: int) -> tuple[Content, ...]:
    return (
        package.name,
        size_text(package.size_bytes),
        bar(package.size_bytes, most),
        package.version,
        package.kind,
        f"{package.files:,}",
        _needed_by(package),
    )


def _needed_by(package: PackageRow) -> str:
    shown = ", ".join(package.needed_by[:3])
    more = len(package.needed_by) - 3
    return f"{shown} and {more} more" if more > 0 else shown
