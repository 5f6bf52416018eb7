"""`slimstage compare`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.values import one_of
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.errors import UsageError

if TYPE_CHECKING:
    from slimstage.cli.sections import Section
    from slimstage.compare.comparison import Comparison
    from slimstage.compare.stages import StageComparison

FORMATS = ("text", "markdown", "json")

_EXAMPLES = """\
slimstage compare iris:1 iris:2                       what grew, and what a pull of iris:2 costs who has iris:1
slimstage compare docker://registry/app:main app:new  what is deployed beside what was built
slimstage compare --format markdown app:main app:pr   for a comment on a pull request
slimstage compare --stages iris                       what each stage of its build holds, and what it saved\
"""


@verb("compare", examples=_EXAMPLES)
@click.argument("images", nargs=-1, metavar="OLD NEW", shell_complete=complete_images)
@option("--stages", "of_stages", is_flag=True, help="Compare the stages of the build of one image.")
@option("--format", "format_", metavar="FORMAT", help=f"One of {', '.join(FORMATS)} [default: text].")
@option("--top", type=click.IntRange(1, 10_000), default=15, help="How many lines of each table to show [default: 15].")
@option("--platform", metavar="OS/ARCH", help="Which image of an index [default: this host's].")
@option("--no-pull-cost", is_flag=True, help="Leave out what a pull costs: layers that have no blob yet stay unpacked.")
@json_option
@pass_session
def command(
    session: Session,
    images: tuple[str, ...],
    of_stages: bool,
    format_: str | None,
    top: int,
    platform: str | None,
    no_pull_cost: bool,
    as_json: bool,
) -> None:
    """Show what became of an image: bytes by purpose, package, layer and file, the config, and what an update costs to pull.

    OLD and NEW are images as for slimstage analyze. With --stages one image that was built here: what each stage holds, what
    was copied on, what stayed behind, and whether the stages were worth having.
    """
    chosen = one_of(format_ or ("json" if as_json else "text"), FORMATS, "--format")
    if as_json and chosen != "json":
        raise UsageError(f"--json and --format={chosen} ask for different things", hint="give one of them")
    if of_stages:
        if len(images) != 1:
            raise UsageError("--stages takes one image", hint="slimstage compare --stages IMAGE")
        stages = _stages(session, images[0], platform)
        if chosen == "json":
            from slimstage.compare.document import stages_document

            print_json(stages_document(stages))
            return
        from slimstage.cli.stage_sections import stage_sections

        _print(session, stage_sections(stages, images[0]), chosen)
        return
    if len(images) != 2:
        raise UsageError("compare takes two images, OLD and NEW", hint="to compare stages: compare --stages IMAGE")
    comparison = _comparison(session, images[0], images[1], platform, has_pull=not no_pull_cost)
    if chosen == "json":
        from slimstage.compare.document import comparison_document

        print_json(comparison_document(comparison))
        return
    from slimstage.cli.compare_sections import comparison_sections

    _print(session, comparison_sections(comparison, top), chosen)


def _print(session: Session, sections: Iterable[Section], chosen: str) -> None:
    from slimstage.cli.sections import as_markdown, as_text
    from slimstage.cli.terminal import Paint, has_colour

    if chosen == "markdown":
        sys.stdout.write(as_markdown(sections))
        return
    sys.stdout.write(as_text(sections, Paint(has_colour(sys.stdout, session.colour))) + "\n")


def _comparison(session: Session, old: str, new: str, platform: str | None, *, has_pull: bool) -> Comparison:
    from slimstage.analyze.analyse import analyse
    from slimstage.cli.analyzed_image import analyzed_image
    from slimstage.cli.pulled_image import pulled_image
    from slimstage.compare.differences import compared
    from slimstage.compare.files import Opened
    from slimstage.compare.pulling import pull_cost

    pull = None
    if has_pull:
        there, wanted = pulled_image(session, old, platform), pulled_image(session, new, platform)
        if there is not None and wanted is not None:
            pull = pull_cost(there, wanted)
    with (
        analyzed_image(session, old, platform, is_compared=True) as before,
        analyzed_image(session, new, platform, is_compared=True) as after,
    ):
        return compared(Opened(before, analyse(before).analysis), Opened(after, analyse(after).analysis), pull)


def _stages(session: Session, name: str, platform: str | None) -> StageComparison:
    from slimstage.cli.stage_contents import stage_purposes
    from slimstage.compare.stages import compared_stages
    from slimstage.container.images import get_image, wanted_platform

    store = session.store()
    image = get_image(store, name, wanted_platform(platform))
    build = store.builds.of(image.id)
    if build is None:
        raise UsageError(
            f'how "{name}" was built is not known here',
            code="no-build",
            notes=("only images that were built into this store have stages; an image itself does not say them",),
            hint="build it here with slimstage build -t NAME, then compare its stages",
        )
    return compared_stages(build, store.snapshots.size_bytes, lambda layers: stage_purposes(store, layers))
