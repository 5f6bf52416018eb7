"""The image in figures, and what its bytes are for. Pure."""

from __future__ import annotations

from slimstage.analyze.purposes import PURPOSES
from slimstage.report.colours import purpose_colours
from slimstage.report.figures import count_text, delta_text, duration_text, share_text, size_text
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import Report
from slimstage.report.sections.parts import facts, folded, frame


def section(report: Report) -> Markup:
    return frame("overview", "Overview", _figures(report), _purposes(report), _facts(report))


def _figures(report: Report) -> Markup:
    image = report.image
    found = [
        _figure("Image size", size_text(image.size_bytes), count_text(image.files, "file"), "main"),
        _figure(
            "To pull",
            "–" if image.compressed_bytes is None else size_text(image.compressed_bytes),
            "not compressed yet"
            if image.compressed_bytes is None
            else f"compressed, {count_text(len(report.layers), 'layer')}",
        ),
    ]
    if report.comparison:
        delta = image.size_bytes - report.comparison.old.size_bytes
        found.append(_figure("Change", delta_text(delta), f"since {report.comparison.old.name.rpartition('/')[2]}"))
    if report.stages and report.stages.stayed_behind_bytes:
        found.append(
            _figure("Stayed behind", size_text(report.stages.stayed_behind_bytes), "in stages the image does not keep")
        )
    if image.hidden_bytes:
        found.append(_figure("Hidden in layers", size_text(image.hidden_bytes), "overwritten or deleted by later ones"))
    savings = [each.saving_bytes for each in report.findings if each.saving_bytes]
    if report.findings:
        most = f"the largest saves {size_text(max(savings))}" if savings else "none with a known saving"
        found.append(_figure("Findings", f"{len(report.findings):,}", most))
    if report.timeline and report.timeline.duration_s:
        cached, total = report.timeline.cached, report.timeline.cached + report.timeline.ran
        about = f"{cached:,} of {count_text(total, 'step')} cached"
        found.append(_figure("Build", duration_text(report.timeline.duration_s), about))
    return element("div", found, class_="figures")


def _figure(name: str, value: str, about: str, class_: str = "") -> Markup:
    return element(
        "div",
        element("p", name, class_="name"),
        element("p", value, class_="value"),
        element("p", about, class_="about"),
        class_=f"figure {class_}".strip(),
    )


def _purposes(report: Report) -> Content:
    """One bar of all bytes, and its legend."""
    whole = sum(each.size_bytes for each in report.purposes)
    if not whole:
        return None
    at, parts = 0.0, []
    colours = purpose_colours([each.name for each in report.purposes])
    for position, each in enumerate(report.purposes):
        width = 100 * each.size_bytes / whole
        if width >= 0.1:
            title = element("title", f"{each.name}: {size_text(each.size_bytes)}")
            parts.append(
                element("rect", title, x=f"{at:.3f}%", width=f"{width:.3f}%", height="100%", class_=colours[position])
            )
        at += width
    legend = [
        element(
            "li",
            element("span", class_=f"swatch {colours[position]}", aria_hidden="true"),
            element("span", each.name, class_="name"),
            element("span", size_text(each.size_bytes), class_="num"),
            element("span", share_text(each.size_bytes, whole), class_="num share"),
        )
        for position, each in enumerate(report.purposes)
        if each.size_bytes
    ]
    return [
        element("h3", "What the bytes are for"),
        element("svg", parts, class_="stack", aria_hidden="true"),
        element("ul", legend, class_="legend"),
        _meanings(report),
    ]


def _meanings(report: Report) -> Content:
    meanings = {str(name): meaning for name, meaning in PURPOSES.items()}
    there = (each.name for each in report.purposes if each.size_bytes)
    pairs = [(name, meanings[name]) for name in there if name in meanings]
    return folded("What these words mean", facts(pairs)) if pairs else None


def _facts(report: Report) -> Markup:
    image = report.image
    pairs: list[tuple[str, Content]] = [
        ("Image ID", element("code", image.id)),
        ("Manifest", element("code", image.digest) if image.digest else "none"),
        ("Platform", image.platform),
        ("System", image.system or "not known"),
        ("Created", image.created or "not said"),
        ("User", image.user or "root"),
        ("Runs", element("code", " ".join(image.command)) if image.command else "nothing by itself"),
    ]
    pairs += [(f"Label {name}", value) for name, value in image.labels]
    faults: Content = None
    if report.faults:
        faults = [element("h4", "Could not be read"), element("ul", [element("li", each) for each in report.faults])]
    return folded("Image details", facts(pairs), faults, is_open=False)
