"""The image beside an older one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.report.figures import count_text, delta_text, size_text
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import Change, Comparison, Report
from slimstage.report.sections.parts import facts, folded, frame, table

_FIRST = 10
"""Rows that are shown at once."""


def section(report: Report) -> Markup | None:
    compared = report.comparison
    if compared is None:
        return None
    purposes = [each for each in compared.purposes if each.delta_bytes]
    delta = report.image.size_bytes - compared.old.size_bytes
    change = "as large as" if not delta else f"{size_text(abs(delta))} {'larger' if delta > 0 else 'smaller'} than"
    return frame(
        "comparison",
        "Comparison",
        facts(_facts(report, compared)),
        _changes("By purpose", "Purpose", purposes, len(purposes)),
        _changes("Packages", "Package", compared.packages, compared.package_count, "package"),
        _folded_files(compared),
        lead=f"{report.image.name} is {change} {compared.old.name}.",
    )


def _facts(report: Report, compared: Comparison) -> list[tuple[str, Content]]:
    kind = "compressed" if compared.pull_is_compressed else "uncompressed"
    return [
        ("Before", f"{size_text(compared.old.size_bytes)}, {count_text(compared.old.files, 'file')}"),
        ("Now", f"{size_text(report.image.size_bytes)}, {count_text(report.image.files, 'file')}"),
        ("An update pulls", f"{size_text(compared.pull_bytes)} ({kind})"),
        ("Layers", f"{compared.shared_layers} shared, {compared.new_layers} new"),
        ("Older image", element("code", compared.old.id)),
    ]


def _changes(title: str, what: str, changes: Sequence[Change], count: int, noun: str = "") -> Content:
    if not changes:
        return None
    lead = f"{count_text(count, noun)} changed" if noun else ""
    if count > len(changes):
        lead += f"; the {len(changes)} that change most"
    most = max(abs(each.delta_bytes) for each in changes)
    rest = changes[_FIRST:]
    return [
        element("h3", title),
        element("p", f"{lead}.") if lead else None,
        _table(title, what, changes[:_FIRST], most),
        folded(f"{len(rest)} more", _table(f"{title}: the rest", what, rest, most)) if rest else None,
    ]


def _folded_files(compared: Comparison) -> Content:
    if not compared.files:
        return None
    title = f"{count_text(compared.file_count, 'file')} changed"
    if compared.file_count > len(compared.files):
        title += f": the {len(compared.files)} that change most"
    return folded(title, _table("Files that change most", "File", compared.files, 0))


def _table(caption: str, what: str, changes: Sequence[Change], most: int) -> Markup:
    """most: the change of the longest bar, 0: the largest of these."""
    most = most or max(abs(each.delta_bytes) for each in changes)
    is_detailed = any(each.detail for each in changes)

    def row(each: Change) -> tuple[Content, ...]:
        kind = [" ", element("span", each.kind, class_="tag")] if each.kind else None
        cells: tuple[Content, ...] = (
            [each.name, kind],
            element("span", delta_text(each.delta_bytes), class_="more" if each.delta_bytes > 0 else "less"),
            _signed(each.delta_bytes, most),
            "–" if each.old_bytes is None else size_text(each.old_bytes),
            "–" if each.new_bytes is None else size_text(each.new_bytes),
        )
        return (*cells, each.detail) if is_detailed else cells

    return table(
        caption,
        (what, "Change", "", "Before", "Now", *(("Versions",) if is_detailed else ())),
        [row(each) for each in changes],
        right=(1, 3, 4),
        text=(0, 5),
        is_titled=True,
    )


def _signed(delta: int, most: int) -> Markup:
    """A bar to the right of the middle for more, to the left for less."""
    width = 50 * abs(delta) / most if most else 0
    x = 50.0 if delta > 0 else 50 - width
    return element(
        "svg",
        element("rect", class_="middle", x="50%", width=1, height="100%"),
        element(
            "rect", class_="more" if delta > 0 else "less", x=f"{x:.3g}%", width=f"{width:.3g}%", height="100%", rx=2
        ),
        class_="bar signed",
        aria_hidden="true",
    )
