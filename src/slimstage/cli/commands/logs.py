"""`slimstage logs`."""

from __future__ import annotations

import json
import os
import sys
import time

import click

from slimstage.cli.program import Session
from slimstage.cli.units import time_text
from slimstage.cli.values import parse_duration
from slimstage.cli.verb import complete_containers, json_option, option, pass_session, verb
from slimstage.container.logs import LogEntry, follow_log, read_log
from slimstage.container.records import LOG, Containers
from slimstage.errors import UsageError

_EXAMPLES = """\
slimstage logs web               all it printed
slimstage logs -f --tail 20 web  the last 20 lines, and then what comes
slimstage logs --since 10m web   of the last ten minutes\
"""


@verb("logs", examples=_EXAMPLES)
@click.argument("container", shell_complete=complete_containers)
@option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@option("-n", "--tail", metavar="N", help="Only the last N lines [default: all].")
@option("--since", metavar="AGE", help="Only what is not older than AGE (10m, 2h).")
@option("-t", "--timestamps", is_flag=True, help="Show when each line was printed.")
@json_option
@pass_session
def command(
    session: Session,
    container: str,
    follow: bool,
    tail: str | None,
    since: str | None,
    timestamps: bool,
    as_json: bool,
) -> None:
    """Show what a container printed; its stderr goes to stderr. With --json, one object a line."""
    containers = Containers(session.root_path())
    record = containers.get(container)
    path = os.path.join(containers.directory(record.id), LOG)
    last = _tail(tail)
    since_s = None if since is None else time.time() - parse_duration(since, "--since")
    if not follow:
        for entry in read_log(path, tail=last, since_s=since_s):
            _show(entry, timestamps, as_json)
        return

    def is_over() -> bool:
        now = containers.find(record.id)
        return now is None or now.status not in ("running", "created")

    for entry in follow_log(path, is_over, tail=last, since_s=since_s):
        _show(entry, timestamps, as_json)


def _tail(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not text.isdigit():
        raise UsageError(f'--tail: "{text}" is not a number of lines')
    return int(text)


def _show(entry: LogEntry, timestamps: bool, as_json: bool) -> None:
    if as_json:
        text = entry.data.decode("utf-8", "surrogateescape")
        document = {"time": time_text(entry.at_s), "stream": "stdout" if entry.stream == 1 else "stderr", "text": text}
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()
        return
    stream = sys.stdout.buffer if entry.stream == 1 else sys.stderr.buffer
    stream.write((f"{time_text(entry.at_s)} ".encode() if timestamps else b"") + entry.data)
    stream.flush()
