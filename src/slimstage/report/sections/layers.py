"""Layers, base first. Pure."""

from __future__ import annotations

from slimstage.report.figures import size_text
from slimstage.report.markup import Markup, element
from slimstage.report.record import Report
from slimstage.report.sections.parts import bar, frame, table


def section(report: Report) -> Markup:
    most = max((layer.size_bytes for layer in report.layers), default=0)
    return frame(
        "layers",
        "Layers, base first",
        table(
            "Layers, base first",
            ("Layer", "Size", "", "Compressed", "Hidden", "Files", "Made by"),
            [
                (
                    str(layer.number),
                    size_text(layer.size_bytes),
                    bar(layer.size_bytes, most),
                    "–" if layer.compressed_bytes is None else size_text(layer.compressed_bytes),
                    size_text(layer.hidden_bytes) if layer.hidden_bytes else "",
                    f"{layer.files:,}",
                    element("code", layer.created_by or "not said"),
                )
                for layer in report.layers
            ],
            right=(1, 3, 4, 5),
            text=(6,),
            is_titled=True,
        ),
    )
