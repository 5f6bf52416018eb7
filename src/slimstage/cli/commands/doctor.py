"""`slimstage doctor`."""

from __future__ import annotations

from typing import Any

import click

from slimstage.cli.program import Session
from slimstage.cli.show import print_json, print_table
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.errors import SlimstageError

_EXAMPLES = """\
slimstage doctor               what this host allows, and whether the store is sound
slimstage doctor --repair      put right what can be
slimstage doctor --quick       without reading every blob\
"""


@verb("doctor", examples=_EXAMPLES)
@option("--repair", is_flag=True, help="Remove leftovers and what is damaged; it can be built or pulled again.")
@option("--quick", is_flag=True, help="Do not verify the digests of blobs.")
@json_option
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, repair: bool, quick: bool, as_json: bool) -> None:
    """Say what this host allows and what to do about what it does not; check the store.

    Exit status: 0 all is well, 3 something essential is missing or the store is damaged.
    """
    abilities = _abilities()
    findings, trouble = _store_findings(session, repair=repair, quick=quick)
    is_well = all(a["is_allowed"] or not a["is_essential"] for a in abilities) and trouble is None
    is_well = is_well and all(finding["is_repaired"] for finding in findings)
    if as_json:
        print_json(
            {
                "is_well": is_well,
                "host": abilities,
                "store": {"root": str(session.root_path()), "findings": findings, "error": trouble},
            }
        )
    else:
        _print(abilities, findings, trouble, str(session.root_path()), is_repairing=repair)
    ctx.exit(0 if is_well else 3)
