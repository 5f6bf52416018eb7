"""`slimstage report`."""

from __future__ import annotations

import click

from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb

_EXAMPLES = """\
slimstage report iris                          report.html: where its bytes are, and how it was built
slimstage report --against iris:1 iris:2       and what changed since
slimstage report -o - docker-archive:iris.tar  to stdout, of an image in a file
slimstage report --json iris                   the same as a document\
"""
_DEFAULT = "report.html"


@verb("report", examples=_EXAMPLES)
@click.argument("image", shell_complete=complete_images)
@option("-o", "--output", metavar="FILE", help=f"Where the page goes; - is stdout [default: {_DEFAULT}].")
@option("--against", metavar="IMAGE", help="An older image to compare with.")
@option("--no-pull-cost", is_flag=True, help="With --against: layers that have no blob yet stay unpacked.")
@option("--entry", "entries", multiple=True, metavar="MODULE|PATH", help="Another place that Python is started from.")
@option("--platform", metavar="OS/ARCH", help="Which image of an index [default: this host's].")
@json_option
@pass_session
def command(
    session: Session,
    image: str,
    output: str | None,
    against: str | None,
    no_pull_cost: bool,
    entries: tuple[str, ...],
    platform: str | None,
    as_json: bool,
) -> None:
    """Write a page about an image: stages and what was copied between them, files, packages, findings, the build's time.

    The page is one file that loads nothing from anywhere. IMAGE is one of the store, or a place as slimstage analyze takes
    it; how it was built is told of images that were built here. With --json the page is written only where -o says so.
    """
    from slimstage.cli.build_files import check_writable
    from slimstage.cli.reporting import image_report, write_report
    from slimstage.errors import UsageError

    if as_json and output == "-":
        raise UsageError("--json and --output=- both print to stdout", hint="give one of them")
    place = output or (None if as_json else _DEFAULT)
    if place not in (None, "-"):
        check_writable(place, "--output")
    report = image_report(session, image, platform, entries, against, has_pull=not no_pull_cost)
    if place is not None:
        write_report(report, place)
    if as_json:
        from slimstage.report.document import document

        print_json(document(report))
