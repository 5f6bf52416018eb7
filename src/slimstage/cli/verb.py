"""How every command is declared: options in groups, examples at the end of the help, global options anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from slimstage.cli.option import HELP_NAMES, UNGROUPED, HasHelp, Option
from slimstage.cli.program import Session, global_options, write_examples

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Verb(HasHelp):
    """A command whose help shows options group by group, then examples."""

    def __init__(self, *positional: Any, examples: str = "", **settings: Any) -> None:
        settings.setdefault("context_settings", {})
        settings["context_settings"] = {
            "help_option_names": list(HELP_NAMES),
            "max_content_width": 100,
            **settings["context_settings"],
        }
        super().__init__(*positional, **settings)
        self.examples = examples
        # Also behind the command's name, where people write them; shown in the help of `slimstage` itself.
        self.params += global_options(hidden=True)

    def make_parser(self, ctx: click.Context) -> Any:
        """click's, which knows short options at once: it took `-t` for a long one first, and sought near names for 4 ms."""
        parser = super().make_parser(ctx)
        long, short = getattr(parser, "_long_opt", {}), getattr(parser, "_short_opt", {})
        for name, option in short.items():
            long.setdefault(name, option)
        return parser

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """An option whose value may be left out takes none but by `=`: in `build --rm .` the dot is the context."""
        alone = {
            name: str(each.flag_value)
            for each in self.params
            if isinstance(each, click.Option) and not each.is_flag and isinstance(each.flag_value, str)
            for name in each.opts
        }
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [f"{a}={alone[a]}" if a in alone else a for a in args[:end]] + args[end:])

    def groups(self, ctx: click.Context) -> dict[str, list[click.Parameter]]:
        """The shown options by group, in the order of declaration, the ungrouped ones last."""
        found: dict[str, list[click.Parameter]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and not parameter.hidden:
                found.setdefault(getattr(parameter, "group", UNGROUPED), []).append(parameter)
        if UNGROUPED in found:
            found[UNGROUPED] = found.pop(UNGROUPED)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, parameters in self.groups(ctx).items():
            records = [record for record in (p.get_help_record(ctx) for p in parameters) if record is not None]
            with formatter.section(group):
                formatter.write_dl(records, col_max=34)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            write_examples(formatter, self.examples)


def verb(name: str, *, examples: str, **settings: Any) -> Callable[[Callable[..., Any]], Verb]:
    """Declares a command; its help is the function's docstring."""

    def decorate(function: Callable[..., Any]) -> Verb:
        command = click.command(name, cls=Verb, examples=examples, **settings)(function)
        assert isinstance(command, Verb)
        return command

    return decorate


def option(*declarations: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    return click.option(*declarations, cls=Option, **settings)


json_option: Callable[[Any], Any] = option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
pass_session = click.make_pass_decorator(Session)


def complete_images(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Image names in the store, for shell completion; nothing where there is no store."""
    from slimstage.oci.reference import familiar

    try:
        store = (ctx.find_object(Session) or Session()).store()
        names = {familiar(name) for name in store.images.names()}
    except Exception:
        return []  # a shell that completes must never show a trace
    return sorted(name for name in names if name.startswith(incomplete))


def complete_containers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Container names in the store, for shell completion."""
    from slimstage.container.records import Containers

    try:
        names = [c.name for c in Containers((ctx.find_object(Session) or Session()).root_path()).list()]
    except Exception:
        return []  # as above
    return sorted(name for name in names if name.startswith(incomplete))
