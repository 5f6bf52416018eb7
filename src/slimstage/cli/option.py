"""An option of the command line: click's, with the group that help shows it in."""

from __future__ import annotations

from typing import Any

import click

UNGROUPED = "Options"
HELP_NAMES = ("-h", "--help")


class Option(click.Option):
    """An option with the name of the group that it is shown in."""

    def __init__(self, *declarations: Any, group: str = UNGROUPED, help: str | None = None, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.group = group
        # Set here, as it is: click would clean the text of an indentation that none of ours has, by all of `inspect`.
        self.help = help


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


class HasHelp(click.Command):
    """A command with the option `--help`: one of ours, for the same reason."""

    _own_help: Option | None = None

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        names = sorted(self.get_help_option_names(ctx), key=len)  # less those that another option has
        if self._own_help is None and names:
            self._own_help = Option(
                names,
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_help,
                help="Show this message and exit.",
            )
        return self._own_help
