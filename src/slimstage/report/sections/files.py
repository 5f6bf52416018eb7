"""The files of the image: where the script draws its map, and the largest directories for those without it. Pure."""

from __future__ import annotations

from slimstage.report.figures import count_text, share_text, size_text
from slimstage.report.markup import Markup, element
from slimstage.report.record import Report
from slimstage.report.sections.parts import bar, frame, table

_LARGEST = 25


def section(report: Report) -> Markup:
    root = report.tree.nodes[0]
    folded = sum(node.files for node in report.tree.nodes if node.kind == "rest")
    lead = f"{size_text(root.size_bytes)} in {count_text(root.files, 'file')}"
    if folded:
        lead += f", of which the {folded:,} smallest are told as sums of their directories"
    return frame(
        "files",
        "Files",
        element("div", id="map", hidden=True),
        element("div", _largest(report), id="largest"),
        lead=lead + ".",
    )


def _largest(report: Report) -> Markup:
    nodes = report.tree.nodes
    whole = nodes[0].size_bytes
    paths = [""]
    for node in nodes[1:]:
        paths.append(f"{paths[node.parent]}/{node.name}")
    named = [position for position in range(1, len(nodes)) if nodes[position].kind != "rest"]
    largest = sorted(named, key=lambda each: -nodes[each].size_bytes)[:_LARGEST]
    return table(
        "The largest directories and files",
        ("Path", "Size", "", "Share"),
        [
            (
                element("code", paths[each] + ("/" if nodes[each].kind == "dir" else "")),
                size_text(nodes[each].size_bytes),
                bar(nodes[each].size_bytes, whole),
                share_text(nodes[each].size_bytes, whole),
            )
            for each in largest
        ],
        right=(1, 3),
        text=(0,),
    )
