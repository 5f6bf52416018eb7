"""The stages of a build beside each other, in words: what each holds, what went on, what stayed, and an honest verdict."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.cli.sections import Section
from slimstage.cli.units import size_text
from slimstage.compare.stages import StageComparison, StageView

_MOST_PURPOSES = 4
_LEAST_BYTES = 1_000_000
"""Of what stayed behind in a stage that is told of by purpose."""
_SIMPLER = (
    "One stage that does the same is easier to read and to debug.",
    "Keep the stages where a test or build stage is worth having by itself, or where they will come to save something.",
)


def stage_sections(comparison: StageComparison, name: str) -> Iterator[Section]:
    """The verdict first, then the stages."""
    yield Section(f"Stages of {name}", _verdict(comparison))
    rows = tuple(_row(stage) for stage in comparison.stages)
    header = ("stage", "line", "from", "size", "own", "handed on", "stayed behind")
    yield Section("", (), header, rows, (1, 3, 4, 5, 6))
    taken = [
        (stage.name, copy.source, " ".join(copy.paths), size_text(copy.size_bytes), str(copy.line))
        for stage in comparison.stages
        for copy in stage.taken
    ]
    if taken:
        yield Section("Copied from stage to stage", (), ("into", "from", "paths", "size", "line"), tuple(taken), (3, 4))
    for stage in comparison.stages:
        if stage.purposes and stage.behind_bytes >= _LEAST_BYTES:
            largest = sorted(stage.purposes.items(), key=lambda item: -item[1])[:_MOST_PURPOSES]
            held = ", ".join(f"{purpose} {size_text(size, ' ')}" for purpose, size in largest if size)
            yield Section("", (f'"{stage.name}" holds, by purpose: {held}.',))


def _verdict(comparison: StageComparison) -> tuple[str, ...]:
    image, saved = size_text(comparison.image_bytes, " "), size_text(comparison.saved_bytes, " ")
    if comparison.verdict == "single":
        return (f"The image has one stage and {image}. There is nothing to compare.",)
    whole = size_text(comparison.image_bytes + comparison.saved_bytes, " ")
    if comparison.verdict == "saves":
        share = f"{comparison.saved_share:.0%}"
        return (
            f"The image is {image}; with all in one stage it would be about {whole}: the stages save {saved} ({share}).",
        )
    if comparison.verdict == "little":
        return (f"The stages save {saved} of {whole} ({comparison.saved_share:.1%}), which is little.", *_SIMPLER)
    return (f"The stages save nothing: nearly all that they hold ({whole}) is in the image.", *_SIMPLER)


def _row(stage: StageView) -> tuple[str, ...]:
    if stage.is_skipped:
        return stage.name, str(stage.line), stage.base or "-", "skipped", "-", "-", stage.why
    behind = "in the image" if stage.is_in_image else size_text(stage.behind_bytes)
    return (
        stage.name,
        str(stage.line),
        stage.base or "scratch",
        size_text(stage.size_bytes),
        size_text(stage.own_bytes),
        size_text(stage.handed_on_bytes) if not stage.is_in_image else "-",
        behind,
    )
