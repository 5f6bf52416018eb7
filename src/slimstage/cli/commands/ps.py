"""`slimstage ps`."""

from __future__ import annotations

import sys
import time

from slimstage.cli.program import Session
from slimstage.cli.show import print_json, print_table
from slimstage.cli.units import age_text
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.container.records import ContainerRecord, Containers, shown_command

_EXAMPLES = """\
slimstage ps                      what runs
slimstage ps -a                   also what has ended
slimstage ps -aq | xargs slimstage rm\
"""


@verb("ps", examples=_EXAMPLES)
@option("-a", "--all", "shows_all", is_flag=True, help="Also those that do not run.")
@option("-q", "--quiet", is_flag=True, help="Print IDs only.")
@option("--no-trunc", is_flag=True, help="Show whole IDs and commands.")
@json_option
@pass_session
def command(session: Session, shows_all: bool, quiet: bool, no_trunc: bool, as_json: bool) -> None:
    """List containers, newest first."""
    records = [r for r in Containers(session.root_path()).list() if shows_all or r.status in ("running", "created")]
    if as_json:
        print_json(records)
    elif quiet:
        for record in records:
            sys.stdout.write((record.id if no_trunc else record.id[:12]) + "\n")
    else:
        now = time.time()
        print_table(
            ("CONTAINER", "IMAGE", "COMMAND", "STATUS", "AGE", "PORTS", "NAME"),
            [
                (
                    record.id if no_trunc else record.id[:12],
                    record.image,
                    shown_command(record.command, 10_000 if no_trunc else 30),
                    status_text(record, now),
                    age_text(now - record.created_s),
                    ",".join(map(str, record.ports)) or "-",
                    record.name,
                )
                for record in records
            ],
        )


def status_text(record: ContainerRecord, now_s: float) -> str:
    """`up:5m`, `exited:0`, `exited:137`, `lost`; without blanks, so that columns stay columns."""
    if record.status == "running":
        return f"up:{age_text(now_s - (record.started_s or now_s))}"
    if record.status == "exited":
        return f"exited:{record.exit_status}" + (":oom" if record.is_out_of_memory else "")
    return record.status
