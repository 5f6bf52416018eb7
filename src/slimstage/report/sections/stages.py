"""Stages and what goes from one to another. Pure."""

from __future__ import annotations

from slimstage.report.figures import count_text, size_text
from slimstage.report.graph_svg import graph
from slimstage.report.markup import Content, Markup, element
from slimstage.report.record import Report, StageEdge, Stages
from slimstage.report.sections.parts import bar, folded, frame, table

_UNKNOWN = "How this image was built is not known here: it was pulled or loaded, or its build is no longer remembered."

_COUNTED = "Sizes here are those of the layers that the build made, with what a tar adds for each file."


def section(report: Report) -> Markup:
    stages = report.stages
    if stages is None:
        return frame("stages", "Stages", lead=_UNKNOWN)
    drawn = graph(stages)
    rows = _table(stages)
    return frame(
        "stages",
        "Stages",
        element("div", drawn, class_="scroll graphs", tabindex="0", role="group", aria_label="Graph of the stages")
        if drawn
        else None,
        folded("Stages and copies as tables", rows, _copies(stages)) if drawn else [rows, _copies(stages)],
        _skipped(stages),
        element("p", _COUNTED, class_="hint"),
        lead=_lead(stages),
    )


def _lead(stages: Stages) -> str:
    target = next((position for position, node in enumerate(stages.nodes) if node.is_target), -1)
    taken = sum(edge.size_bytes for edge in stages.edges if edge.target == target and edge.kind == "copy")
    built = [node for node in stages.nodes if node.kind == "stage" and node.status != "skipped"]
    text = f"{count_text(len(built), 'stage')} of {stages.dockerfile or 'the Dockerfile'}"
    if taken:
        text += f"; the image takes {size_text(taken)} from others by COPY"
    if stages.stayed_behind_bytes:
        text += f", and {size_text(stages.stayed_behind_bytes)} stay behind"
    return text + "."


def _table(stages: Stages) -> Markup:
    most = max((node.size_bytes for node in stages.nodes), default=0)
    rows: list[tuple[Content, ...]] = []
    for position, node in enumerate(stages.nodes):
        if node.kind != "stage" or node.status == "skipped":
            continue
        base = next(
            (stages.nodes[e.source].name for e in stages.edges if e.target == position and e.kind == "base"), ""
        )
        name: Content = [node.name, " ", element("span", "image", class_="tag accent")] if node.is_target else node.name
        rows.append(
            (
                name,
                size_text(node.size_bytes),
                bar(node.size_bytes, most),
                node.status,
                str(node.line or ""),
                base or "scratch",
            )
        )
    return table("Stages", ("Stage", "Size", "", "Status", "Line", "From"), rows, right=(1, 4), text=(5,))


def _copies(stages: Stages) -> Content:
    copies = [edge for edge in stages.edges if edge.kind == "copy"]
    if not copies:
        return None
    most = max(edge.size_bytes for edge in copies)

    def row(edge: StageEdge) -> tuple[Content, ...]:
        source, target = stages.nodes[edge.source].name, stages.nodes[edge.target].name
        paths = [element("code", path) for path in edge.paths]
        spaced = [part for path in paths for part in (path, " ")]
        return (
            f"{source} → {target}",
            str(edge.line or ""),
            spaced,
            size_text(edge.size_bytes),
            bar(edge.size_bytes, most),
        )

    return table(
        "Copies between stages",
        ("From → to", "Bytes", "", "Line", "Paths"),
        [row(edge) for edge in sorted(copies, key=lambda each: -each.size_bytes)],
        right=(1, 3),
        text=(4,),
    )


def _skipped(stages: Stages) -> Content:
    skipped = [node for node in stages.nodes if node.status == "skipped"]
    if not skipped:
        return None
    rows = [
        element(
            "li", element("strong", node.name), f" (line {node.line}): {node.why or 'nothing that is built needs it'}"
        )
        for node in skipped
    ]
    return [element("h3", "Not built"), element("ul", rows, class_="plain")]
