"""`--authfile PATH` of commands that talk to registries: the file whose logins count first, for this command alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from slimstage.cli.verb import option
from slimstage.errors import UsageError

VARIABLE = "REGISTRY_AUTH_FILE"


def _use(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    if not os.path.exists(value) or os.path.isdir(value):
        raise UsageError(f'--authfile: "{value}" is not a file', hint=f"slimstage login --authfile {value} makes one")
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = os.path.abspath(value)

    def restore() -> None:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before

    ctx.call_on_close(restore)


def authfile(group: str | None = None) -> Callable[[Any], Any]:
    """The option, as a decorator; nothing is handed to the command: what reads logins looks at the variable."""
    return option(
        "--authfile",
        metavar="PATH",
        expose_value=False,
        callback=_use,
        help="A file with logins, which counts before all others [env: REGISTRY_AUTH_FILE].",
        **({} if group is None else {"group": group}),
    )


authfile_option = authfile()
