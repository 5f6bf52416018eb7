"""`slimstage history`."""

from __future__ import annotations

from typing import Any

import click

from slimstage.cli.image_documents import history_rows
from slimstage.cli.program import Session
from slimstage.cli.show import print_json, print_table
from slimstage.cli.units import size_text
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.container.images import get_image, wanted_platform

_EXAMPLES = """\
slimstage history iris               newest layer first
slimstage history --no-trunc iris    with whole commands\
"""
_WIDEST = 60


@verb("history", examples=_EXAMPLES)
@click.argument("image", shell_complete=complete_images)
@option("--no-trunc", is_flag=True, help="Show commands whole.")
@option("--platform", metavar="OS/ARCH", help="Which image of an index [default: this host's].")
@json_option
@pass_session
def command(session: Session, image: str, no_trunc: bool, platform: str | None, as_json: bool) -> None:
    """Show an image's layers, newest first: when each was made, by what, and how large it is."""
    store = session.store()
    rows = history_rows(store, get_image(store, image, wanted_platform(platform)))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("CREATED", "SIZE", "CREATED BY"),
        [(row["created"] or "-", size_text(row["size_bytes"]), _cut(_text(row), no_trunc)) for row in rows],
        right=(1,),
    )


def _text(row: dict[str, Any]) -> str:
    """What made the layer; of one layer of several, first what is in it."""
    holds = row["comment"].removeprefix("slimstage: ")
    return row["created_by"] if holds == row["comment"] else f"[{holds}] {row['created_by']}"


def _cut(text: str, no_trunc: bool) -> str:
    line = " ".join(text.split())
    return line if no_trunc or len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
