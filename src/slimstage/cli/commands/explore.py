"""`slimstage explore`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from slimstage.cli.program import Session
from slimstage.cli.terminal import is_terminal
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.errors import UsageError

if TYPE_CHECKING:
    from slimstage.analyze.analysis import Analysis

_EXAMPLES = """\
slimstage explore iris                        layers, files, packages and findings of an image of the store
slimstage explore docker://python:3.11-slim   of a registry, without pulling it\
"""


@verb("explore", examples=_EXAMPLES)
@click.argument("image", shell_complete=complete_images)
@option("--entry", "entries", multiple=True, metavar="MODULE|PATH", help="Another place that Python is started from.")
@option("--platform", metavar="OS/ARCH", help="Which image of an index [default: this host's].")
@json_option
@pass_session
def command(session: Session, image: str, entries: tuple[str, ...], platform: str | None, as_json: bool) -> None:
    """Look through an image in the terminal: layers, files by size, purposes, packages, findings.

    IMAGE as for slimstage analyze. Keys: arrows and Enter open, / searches, p and k choose a purpose or a package, l shows
    the layer at the cursor alone, h shows files that later layers hide, s sorts by name, x shows everything, q ends.
    With --json nothing is shown: the document is that of slimstage analyze.
    """
    if as_json:
        from slimstage.analyze.document import document
        from slimstage.cli.show import print_json

        print_json(document(_analysis(session, image, entries, platform)))
        return
    try:
        from slimstage.explore.app import Explorer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        raise UsageError(
            "explore needs the package textual",
            code="extra-missing",
            hint='pip install "slimstage[explore]"; slimstage analyze shows the same as text',
        ) from error
    if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError(
            "explore needs a terminal", code="no-terminal", hint="slimstage analyze shows the same as text"
        )
    Explorer(_analysis(session, image, entries, platform)).run()


def _analysis(session: Session, image: str, entries: tuple[str, ...], platform: str | None) -> Analysis:
    from slimstage.analyze.analyse import analyse
    from slimstage.cli.analyzed_image import analyzed_image

    with analyzed_image(session, image, platform) as layers:
        return analyse(layers, entries).analysis
