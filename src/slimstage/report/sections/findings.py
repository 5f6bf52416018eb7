"""What could be smaller or better, with how to mend it. Pure."""

from __future__ import annotations

from slimstage.report.figures import count_text, size_text
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import FindingRow, Report
from slimstage.report.sections.parts import folded, frame, lines, prose


def section(report: Report) -> Markup:
    if not report.findings:
        return frame("findings", "Findings", lead="Nothing was found that should be mended.")
    ordered = sorted(report.findings, key=lambda each: (-(each.saving_bytes or 0), each.code, each.line))
    return frame(
        "findings",
        "Findings",
        element("ol", [element("li", _finding(each)) for each in ordered], class_="findings"),
        lead=f"{count_text(len(ordered), 'finding')}, those that save most first; what two of them save may be the same bytes.",
    )


def _finding(finding: FindingRow) -> Markup:
    saving: Content = (
        [element("span", size_text(finding.saving_bytes), class_="value"), element("span", "to save", class_="about")]
        if finding.saving_bytes
        else element("span", finding.severity, class_="about")
    )
    where = [f"line {finding.line}"] if finding.line else []
    if finding.layer >= 0:
        where.append(f"layer {finding.layer}")
    return element(
        "article",
        element("div", saving, class_="saving"),
        element(
            "div",
            element("h3", prose(finding.message[:1].upper() + finding.message[1:])),
            element(
                "p",
                element("code", finding.code),
                f" · {finding.about}",
                f" · {', '.join(where)}" if where else "",
                class_="meta",
            ),
            element("p", element("span", "Fix: ", class_="fix"), prose(finding.hint)) if finding.hint else None,
            element("pre", lines(finding.fix), tabindex="0", role="group", aria_label="The change")
            if finding.fix
            else None,
            _paths(finding),
        ),
        class_=f"finding {finding.severity}",
    )


def _paths(finding: FindingRow) -> Content:
    if not finding.paths:
        return None
    count = max(finding.path_count, len(finding.paths))
    more = count - len(finding.paths)
    rows = [element("li", element("code", path)) for path in finding.paths]
    if more:
        rows.append(element("li", f"… and {more:,} more"))
    return folded(count_text(count, "path"), element("ul", rows, class_="plain paths"))
