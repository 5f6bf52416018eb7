"""The stages as a drawing: cards, and ribbons as wide as the bytes that go along them. Pure.

Made twice, to the right and downwards; the page's style shows the one that fits. Screen readers get its title; the table
beside it says the same.
"""

from __future__ import annotations

from slimstage.report.figures import count_text, size_text
from slimstage.report.graph import Drawing, Measures, Ribbon, draw
from slimstage.report.markup import Markup, element
from slimstage.report.record import StageNode, Stages
from slimstage.values import replace

_WIDE = Measures(main=208, cross=84, gap_main=118, gap_cross=26, widest=34)
_ROOM = 1120
"""Pixels that a wide page has; a graph of more ranks has smaller cards, one of many goes downwards there too."""
_SMALLEST = 160
_LEAST_GAP = 66
_DOWN = Measures(main=84, cross=208, gap_main=66, gap_cross=30, widest=34)
_NARROW = Measures(main=84, cross=158, gap_main=62, gap_cross=14, widest=34)
_MARGIN = 6
_NAME_CHARACTER = 8.0
_CHARACTER = 6.9
"""Pixels of a character in the widest of the usual fonts: the name's, and the smaller one's of the other lines."""
MOST_CARDS = 60
"""A larger graph is told by its table alone."""


def graph(stages: Stages) -> Markup | None:
    """Both drawings, or None where there are too many cards to see anything, or fewer than two."""
    narrow = draw(stages, _NARROW)
    if not 1 < len(narrow.cards) <= MOST_CARDS:
        return None
    measures, is_wide = _measures(narrow.ranks)
    return Markup(
        _svg(stages, draw(stages, measures), measures, is_wide, "wide") + _svg(stages, narrow, _NARROW, False, "narrow")
    )


def _measures(ranks: int) -> tuple[Measures, bool]:
    """Of a graph on a wide page, and whether it goes to the right there."""
    main = min(_WIDE.main, max(_SMALLEST, (_ROOM - (ranks - 1) * _WIDE.gap_main) / ranks))
    gap = min(_WIDE.gap_main, (_ROOM - ranks * main) / max(1, ranks - 1))
    return (replace(_WIDE, main=main, gap_main=gap), True) if gap >= _LEAST_GAP else (_DOWN, False)


def _svg(stages: Stages, drawing: Drawing, measures: Measures, is_wide: bool, kind: str) -> Markup:
    width, height = (drawing.main, drawing.cross) if is_wide else (drawing.cross, drawing.main)
    size = width + 2 * _MARGIN, height + 2 * _MARGIN
    # The widest first, so that thin ones stay visible where two cross.
    ribbons = sorted(drawing.ribbons, key=lambda each: -each.width)
    return element(
        "svg",
        element("title", _summary(stages), id=f"graph-{kind}"),
        [_ribbon(stages, each, is_wide) for each in ribbons],
        [_card(stages, each.node, _xy(each.main, each.cross, is_wide), measures, is_wide) for each in drawing.cards],
        [_label(each, is_wide, _is_alone_at_target(each, ribbons)) for each in ribbons if each.size_bytes],
        class_=f"graph {kind}",
        role="img",
        aria_labelledby=f"graph-{kind}",
        viewBox=f"{-_MARGIN} {-_MARGIN} {size[0]:.6g} {size[1]:.6g}",
        width=size[0],
        height=size[1],
    )


def _summary(stages: Stages) -> str:
    copies = [edge for edge in stages.edges if edge.kind == "copy"]
    target = next((node.name for node in stages.nodes if node.is_target), "")
    built = sum(node.kind == "stage" and node.status != "skipped" for node in stages.nodes)
    total = sum(edge.size_bytes for edge in copies)
    return (
        f"{count_text(built, 'stage')}; {size_text(total)} in {count_text(len(copies), 'copy', 'copies')}; "
        f'the image is "{target}"'
    )


def _xy(main: float, cross: float, is_wide: bool) -> tuple[float, float]:
    return (main, cross) if is_wide else (cross, main)


def _card(stages: Stages, position: int, at: tuple[float, float], measures: Measures, is_wide: bool) -> Markup:
    node = stages.nodes[position]
    width, height = (measures.main, measures.cross) if is_wide else (measures.cross, measures.main)
    x, y = at
    base = _base(stages, position)
    most = max((each.size_bytes for each in stages.nodes), default=0)
    size = size_text(node.size_bytes) if node.kind == "stage" else ""
    lines = [
        element("text", _cut(node.name, int((width - 26) / _NAME_CHARACTER)), class_="name", x=x + 13, y=y + 24),
        element("text", size, class_="size", x=x + 13, y=y + 43) if size else None,
        element(
            "text",
            _state(node),
            class_="state",
            x=x + width - 13 if size else x + 13,
            y=y + 43,
            text_anchor="end" if size else None,
        ),
        element("text", _cut(base, int((width - 26) / _CHARACTER)), class_="from", x=x + 13, y=y + 61)
        if base
        else None,
    ]
    bar = None
    if most and node.size_bytes:
        bar = [
            element("rect", class_="track", x=x + 13, y=y + height - 13, width=width - 26, height=4, rx=2),
            element(
                "rect",
                class_="fill",
                x=x + 13,
                y=y + height - 13,
                width=max(2.0, (width - 26) * node.size_bytes / most),
                height=4,
                rx=2,
            ),
        ]
    return element(
        "g",
        element("title", f"{node.name}: {size or 'image'}{f', {base}' if base else ''}"),
        element("rect", class_="box", x=x, y=y, width=width, height=height, rx=8),
        lines,
        bar,
        class_=f"card {node.kind}{' target' if node.is_target else ''}",
    )


def _state(node: StageNode) -> str:
    if node.kind == "image":
        return "image"
    return "the image" if node.is_target else node.status


def _base(stages: Stages, position: int) -> str:
    for edge in stages.edges:
        if edge.target == position and edge.kind == "base":
            return f"FROM {stages.nodes[edge.source].name}"
    return ""


def _ribbon(stages: Stages, ribbon: Ribbon, is_wide: bool) -> Markup:
    points = [_xy(*point, is_wide) for point in ribbon.points]
    path = f"M{_pair(points[0])}"
    for number in range(1, len(points)):
        (x0, y0), (x1, y1) = points[number - 1], points[number]
        if number % 2 == 0:  # along a lane
            path += f"L{_pair((x1, y1))}"
        elif is_wide:
            path += f"C{_pair(((x0 + x1) / 2, y0))} {_pair(((x0 + x1) / 2, y1))} {_pair((x1, y1))}"
        else:
            path += f"C{_pair((x0, (y0 + y1) / 2))} {_pair((x1, (y0 + y1) / 2))} {_pair((x1, y1))}"
    source, target = stages.nodes[ribbon.source].name, stages.nodes[ribbon.target].name
    if ribbon.width:
        told = f"{size_text(ribbon.size_bytes)} from {source} to {target}: {', '.join(ribbon.paths)}"
    else:
        told = f"{target} stands on {source}"
    return element(
        "g",
        element("title", told),
        element("path", class_="wide" if ribbon.width else "base", d=path, stroke_width=ribbon.width or 1.5),
        element("path", class_="head", d=_head(points[-1], ribbon.width, is_wide)),
        class_="ribbon",
    )


def _head(tip: tuple[float, float], width: float, is_wide: bool) -> str:
    """A triangle whose tip is at the card."""
    x, y = tip
    half, long = max(4.0, width / 2 + 2), 7
    if is_wide:
        corners = [(x, y), (x - long, y - half), (x - long, y + half)]
    else:
        corners = [(x, y), (x - half, y - long), (x + half, y - long)]
    return f"M{_pair(corners[0])}L{_pair(corners[1])}L{_pair(corners[2])}Z"


def _is_alone_at_target(ribbon: Ribbon, ribbons: list[Ribbon]) -> bool:
    """Whether fewer copies arrive where it does than leave where it does: there its label is in nobody's way."""
    copies = [each for each in ribbons if each.size_bytes]
    arriving = sum(each.target == ribbon.target for each in copies)
    return arriving < sum(each.source == ribbon.source for each in copies)


def _label(ribbon: Ribbon, is_wide: bool, is_at_target: bool) -> Markup:
    """The bytes, in the middle of the ribbon's first or last part."""
    part = ribbon.points[-2:] if is_at_target else ribbon.points[:2]
    (x0, y0), (x1, y1) = (_xy(*point, is_wide) for point in part)
    return element(
        "text", size_text(ribbon.size_bytes), class_="label", x=(x0 + x1) / 2, y=(y0 + y1) / 2 + 4, text_anchor="middle"
    )


def _pair(point: tuple[float, float]) -> str:
    return f"{point[0]:.5g} {point[1]:.5g}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
