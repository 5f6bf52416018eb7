"""Reports for commands: of any image that can be analyzed, with what the store remembers of its build."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from slimstage.cli.analyzed_image import analyzed_image
from slimstage.cli.program import Session
from slimstage.cli.show import note
from slimstage.cli.units import size_text
from slimstage.errors import SlimstageError
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.analyze.layers import ImageLayers
    from slimstage.build.request import BuildResult
    from slimstage.compare.pulling import PullCost
    from slimstage.report.of_build import BuildRecorder
    from slimstage.report.record import Report
    from slimstage.store.builds import StoredBuild


def image_report(
    session: Session,
    image: str,
    platform: str | None = None,
    entries: Sequence[str] = (),
    against: str | None = None,
    *,
    has_pull: bool = True,
) -> Report:
    """All that is known of the image. has_pull: layers are packed where that is needed to know what an update pulls.

    Raises as `analyze` and `compare` do.
    """
    from slimstage.analyze.analyse import analyse
    from slimstage.compare.differences import compared
    from slimstage.compare.files import Opened
    from slimstage.report.of_analysis import image_facts, report_of
    from slimstage.report.of_build import stages_of, timeline_of
    from slimstage.report.of_comparison import comparison_of

    # A store that is opened may start this process anew, so it is opened first.
    knows_builds = session.root_path().is_dir()
    if knows_builds:
        session.store()
    pull = _pull(session, against, image, platform) if against is not None and has_pull else None
    with ExitStack() as opened:
        layers = opened.enter_context(analyzed_image(session, image, platform, is_compared=against is not None))
        analysis = analyse(layers, entries).analysis
        report = report_of(analysis, layers.config)
        build = _remembered(session, layers) if knows_builds else None
        if build is not None:
            report = replace(report, stages=stages_of(build), timeline=timeline_of(build))
        if against is not None:
            older = opened.enter_context(analyzed_image(session, against, platform, is_compared=True))
            before = Opened(older, analyse(older).analysis)
            found = compared(before, Opened(layers, analysis), pull)
            report = replace(report, comparison=comparison_of(found, image_facts(before.analysis, older.config)))
    return report


def _pull(session: Session, old: str, new: str, platform: str | None) -> PullCost | None:
    from slimstage.cli.pulled_image import pulled_image
    from slimstage.compare.pulling import pull_cost

    there, wanted = pulled_image(session, old, platform), pulled_image(session, new, platform)
    return pull_cost(there, wanted) if there is not None and wanted is not None else None


def _remembered(session: Session, layers: ImageLayers) -> StoredBuild | None:
    return session.store().builds.of(layers.id)


def write_report(report: Report, path: str) -> None:
    """The page, to a file or (`-`) to stdout. Raises UsageError."""
    from slimstage.cli.build_files import write_text
    from slimstage.report.html import page

    text = page(report)
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    write_text(path, text)
    note(f"wrote {path} ({size_text(len(text.encode()), ' ')})")


def write_build_report(
    session: Session, result: BuildResult, recorder: BuildRecorder, path: str, context: str, flags: dict[str, Any]
) -> None:
    """The page of a build that has just ended; of several platforms that of the first image.

    What is found in the Dockerfile is told beside what is found in the image, where both are files here.
    """
    from slimstage.cli.report_findings import dockerfile_findings

    part = result.platforms[0] if result.platforms else result
    report = image_report(session, part.image_id)
    if result.tags:
        name = result.tags[0]
        report = replace(report, title=name, image=replace(report.image, name=name))
    try:
        findings = dockerfile_findings(context, flags)
    except SlimstageError as error:
        note(f"note: the report has no findings of the Dockerfile: {error.message}")
        findings = ()
    timeline = recorder.timeline(report.stages)
    write_report(replace(report, timeline=timeline, findings=(*report.findings, *findings)), path)
