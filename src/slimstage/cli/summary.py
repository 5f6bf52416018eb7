"""What is said at the end of a build: a table of its stages, and one line about the image."""

from __future__ import annotations

from slimstage.build.request import BuildResult, StageCopy
from slimstage.cli.show import table
from slimstage.cli.terminal import Paint
from slimstage.cli.units import duration_text, short_digest, size_text
from slimstage.diagnostics import shown
from slimstage.oci.reference import familiar

_MOST_PATHS = 3
_MOST_NAMES = 4


def summary_text(result: BuildResult, paint: Paint) -> str:
    """The stages, the image, the outputs; for people, on stderr."""
    parts = []
    if len(result.stages) > 1:
        parts.append(stage_table(result))
    parts.append(paint(image_line(result), "bold"))
    if len(result.platforms) > 1:
        parts.append(platform_table(result))
    parts += [f"wrote {output_text}" for output_text in _outputs(result)]
    parts += [f"pushed {shown(each.name)} ({each.digest})" for output in result.outputs for each in output.pushed]
    return "\n".join(parts)


def stage_table(result: BuildResult) -> str:
    """A line for each stage: built, cached or skipped, its size, what it took from which other stage."""
    rows = [
        (
            stage.name,
            stage.status,
            "-" if stage.status == "skipped" else size_text(stage.size_bytes),
            "; ".join(_copy_text(copy) for copy in stage.copied_from)
            or (stage.why if stage.status == "skipped" else ""),
        )
        for stage in result.stages
    ]
    return table(("STAGE", "STATUS", "SIZE", "COPIED FROM OTHER STAGES"), rows, right=(2,))


def platform_table(result: BuildResult) -> str:
    """A line for each image of an index."""
    rows = [
        (
            part.platform,
            short_digest(part.image_id),
            size_text(part.size_bytes),
            size_text(part.stayed_behind.size_bytes) if part.stayed_behind.stages else "-",
        )
        for part in result.platforms
    ]
    return table(("PLATFORM", "IMAGE ID", "SIZE", "STAYED BEHIND"), rows, right=(2, 3))


def _copy_text(copy: StageCopy) -> str:
    paths = " ".join(copy.paths[:_MOST_PATHS]) + (" …" if len(copy.paths) > _MOST_PATHS else "")
    return f"{copy.source}: {paths} ({size_text(copy.size_bytes)})"


def image_line(result: BuildResult) -> str:
    """`iris:latest is 182 MB in 4 layers (sha256:…); 1.2 GB stayed behind in train and test; 12.3s`."""
    names = ", ".join(familiar(tag) for tag in result.tags)
    image = short_digest(result.image_id)
    head = f"{shown(names)} ({image})" if names else f"image {image}"
    if len(result.platforms) > 1:
        total = f"is {size_text(result.size_bytes, ' ')} for {len(result.platforms)} platforms"
        return f"{head} {total}; {duration_text(result.duration_s)}"
    count = len(result.layers)
    sizes = f"{size_text(result.size_bytes, ' ')} in {count} {'layer' if count == 1 else 'layers'}"
    if result.compressed_bytes is not None:
        sizes += f", {size_text(result.compressed_bytes, ' ')} compressed"
    behind = result.stayed_behind
    left = (
        f"; {size_text(behind.size_bytes, ' ')} stayed behind in {_stages_text(behind.stages)}" if behind.stages else ""
    )
    return f"{head} is {sizes}{left}; {duration_text(result.duration_s)}"


def _stages_text(names: tuple[str, ...]) -> str:
    if len(names) > _MOST_NAMES:
        return f"{len(names)} earlier stages"
    return shown(" and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names))


def _outputs(result: BuildResult) -> list[str]:
    return [
        f"{output.type} {shown(output.destination)}" + (f" ({short_digest(output.digest)})" if output.digest else "")
        for output in result.outputs
        if output.destination not in (None, "-") and output.destination is not None
    ]


def explain_text(result: BuildResult) -> str:
    """`--explain`: each step that ran and what changed since the last time; then how many were cached."""
    ran = [step for step in result.steps if step.status == "run"]
    lines = []
    for step in ran:
        lines.append(f"{shown(step.stage)}, line {step.line}: {shown(step.instruction)}")
        lines.append(f"  {duration_text(step.duration_s)}, because {shown(step.why) or 'it had not run before'}")
    cached = len(result.steps) - len(ran)
    lines.append(f"{len(ran)} {'step' if len(ran) == 1 else 'steps'} ran, {cached} cached")
    return "\n".join(lines)
