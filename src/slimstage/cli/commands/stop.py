"""`slimstage stop`."""

from __future__ import annotations

import sys

import click

from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.values import parse_duration
from slimstage.cli.verb import complete_containers, json_option, option, pass_session, verb
from slimstage.container.processes import signal_number
from slimstage.container.records import Containers
from slimstage.container.stopping import stop_container

_EXAMPLES = """\
slimstage stop web             ask it to end, kill it after its own time (10 seconds)
slimstage stop -t 0 web        kill it at once\
"""


@verb("stop", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@option("-t", "--time", "--timeout", "timeout", metavar="SECONDS", help="When to kill what has not ended.")
@option("-s", "--signal", "signal_name", metavar="SIGNAL", help="What to send first.")
@json_option
@pass_session
def command(
    session: Session, names: tuple[str, ...], timeout: str | None, signal_name: str | None, as_json: bool
) -> None:
    """Stop running containers: their stop signal first, SIGKILL after a while. Prints the name of each."""
    containers = Containers(session.root_path())
    records = [containers.get(name) for name in names]  # all of them known before the first one ends
    seconds = None if timeout is None else float(timeout) if timeout.isdigit() else parse_duration(timeout, "--time")
    number = signal_number(signal_name) if signal_name else None
    stopped = []
    for record in records:
        after = stop_container(containers, record, timeout_s=seconds, signal_number=number)
        stopped.append({"id": record.id, "name": record.name, "exit_status": after.exit_status if after else None})
        if not as_json:
            sys.stdout.write(record.name + "\n")
    if as_json:
        print_json(stopped)
