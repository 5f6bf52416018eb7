"""`slimstage logout`."""

from __future__ import annotations

import os
import sys

import click

from slimstage.cli.logging_in import registry_of
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.registry.helpers import server_of
from slimstage.registry.logins import Logins, other_files

_EXAMPLES = """\
slimstage logout                     Docker Hub
slimstage logout registry.lan:5000   another registry\
"""


@verb("logout", examples=_EXAMPLES)
@click.argument("server", required=False, metavar="[SERVER]")
@option("--authfile", metavar="PATH", help="The file that it is kept in [env: REGISTRY_AUTH_FILE; default: Docker's].")
@json_option
@pass_session
def command(session: Session, server: str | None, authfile: str | None, as_json: bool) -> None:
    """Log out from a registry, Docker Hub unless SERVER says another: its login is removed from where it is kept."""
    registry = registry_of(server)
    logins = Logins(os.environ, authfile)
    was_there = logins.forget(registry)
    for other in other_files(os.environ, logins.path, registry):
        note(f"note: {other} still has a login for {registry}: slimstage logout --authfile {other} {registry}")
    if as_json:
        print_json({"registry": registry, "was_logged_in": was_there})
    elif was_there:
        sys.stdout.write(f"Removing login credentials for {server_of(registry)}\n")
    else:
        sys.stdout.write(f"Not logged in to {server_of(registry)}\n")
