"""`build --summary FILE`: what was built, as Markdown, for the page of a CI job."""

from __future__ import annotations

from slimstage.build.request import BuildResult
from slimstage.cli.sections import markdown_cell, markdown_table
from slimstage.cli.summary import image_line
from slimstage.cli.units import duration_text, size_text
from slimstage.errors import UsageError
from slimstage.oci.reference import familiar

_SLOWEST = 5
_MOST_WARNINGS = 20


def markdown(result: BuildResult) -> str:
    """The image in a line, then stages, layers, the slowest steps and the warnings. Ends with a newline."""
    title = ", ".join(familiar(tag) for tag in result.tags) or result.image_id[:19]
    parts = [f"## {markdown_cell(title)}", markdown_cell(image_line(result))]
    if result.stages:
        parts.append(markdown_table(
            ("Stage", "Status", "Size", "Copied from other stages"),
            (
                (
                    stage.name, stage.status, "" if stage.status == "skipped" else size_text(stage.size_bytes, " "),
                    "; ".join(f"{copy.source}: {' '.join(copy.paths)} ({size_text(copy.size_bytes, ' ')})"
                              for copy in stage.copied_from),
                )
                for stage in result.stages
            ),
        ))  # fmt: skip
    if result.layers:
        parts.append(markdown_table(
            ("Layer", "Size"),
            ((layer.created_by, size_text(layer.size_bytes, " ")) for layer in result.layers),
        ))  # fmt: skip
    slow = sorted((step for step in result.steps if step.status == "run"), key=lambda step: -step.duration_s)[:_SLOWEST]
    cached = sum(step.status == "cached" for step in result.steps)
    ran = _count(len(result.steps) - cached, "step")
    parts.append(f"{ran} ran, {cached} cached.")
    if slow:
        parts.append(markdown_table(
            ("Slowest steps", "Stage", "Time"),
            ((f"line {step.line}: {step.instruction}", step.stage, duration_text(step.duration_s)) for step in slow),
        ))  # fmt: skip
    if result.warnings:
        shown_ = result.warnings[:_MOST_WARNINGS]
        lines = [f"- {markdown_cell(each.code)}: {markdown_cell(each.message)}" + (f" (line {each.line})" if each.line else "")
                 for each in shown_]  # fmt: skip
        if len(result.warnings) > len(shown_):
            lines.append(f"- and {len(result.warnings) - len(shown_)} more")
        parts.append("\n".join(["**Warnings**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def append_summary(path: str, result: BuildResult) -> None:
    """Adds it to the file: a job may build several images. Raises UsageError."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown(result) + "\n")
    except OSError as error:
        raise UsageError(f'cannot write "{path}": {(error.strerror or "").lower()}') from error


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
