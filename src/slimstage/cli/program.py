"""The command `slimstage` itself: its global options and its commands, each imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slimstage.cli.catalogue import BY_NAME, ENTRIES
from slimstage.cli.option import HELP_NAMES, HasHelp, Option
from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError
from slimstage.values import dataclass
from slimstage.version import __version__

if TYPE_CHECKING:
    from slimstage.store.store import Store

COMPLETION = "_SLIMSTAGE_COMPLETE"
"""Set by the shell functions that `slimstage completion` prints; `main.py` knows it too."""

_EXAMPLES = """\
slimstage build -t iris .           build the Dockerfile here
slimstage run --rm iris             run what came out
slimstage build --help              all about one command\
"""


@dataclass(slots=True)
class Session:
    """What the global options say; the store is opened when a command first asks for it."""

    root: str | None = None
    is_debug: bool = False
    colour: bool | None = None
    """None: as the terminal is; False: never."""
    own_arguments: Sequence[str] | None = None
    """The command line, when this process is the command's own and may become another one; None in tests."""
    _store: Store | None = None

    def root_path(self) -> Path:
        """Where the store is: `--root`, else `SLIMSTAGE_ROOT`, else the default of this user."""
        from slimstage.store.store import default_root

        return Path(os.path.abspath(self.root)) if self.root else default_root()

    def store(self) -> Store:
        """The open store. Without the rights of root this process first gets them in a user namespace.

        Raises StoreError, SandboxError.
        """
        from slimstage.store.store import Store

        if self._store is None:
            self._become_root()
            self._store = Store.open(self.root_path())
        return self._store

    def _become_root(self) -> None:
        if self.own_arguments is None:
            return
        from slimstage.sandbox.rootless import ensure_namespace

        # Inside, this user looks like root, whose default place is another one.
        os.environ["SLIMSTAGE_ROOT"] = str(self.root_path())
        sys.stdout.flush()
        sys.stderr.flush()
        ensure_namespace([sys.executable, "-P", "-m", "slimstage", *self.own_arguments])

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


class Program(HasHelp, click.Group):
    """Finds commands in the catalogue, lists them without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in ENTRIES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = BY_NAME.get(cmd_name)
        if entry is None:
            return None
        import importlib

        module = importlib.import_module(f"slimstage.cli.commands.{entry.module}")
        found: click.Command = getattr(module, entry.attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in BY_NAME:
            raise UsageError(
                f'no such command "{args[0]}"',
                code="unknown-command",
                hint=did_you_mean(args[0], BY_NAME) or "see: slimstage --help",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(entry.section for entry in ENTRIES):
            with formatter.section(section):
                formatter.write_dl([(entry.name, entry.summary) for entry in ENTRIES if entry.section == section])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(formatter, _EXAMPLES)


def write_examples(formatter: click.HelpFormatter, examples: str) -> None:
    """The examples as they are: no wrapping."""
    formatter.write_paragraph()
    formatter.write("Examples:\n" + "".join(f"  {line}\n" for line in examples.splitlines()))


def _keep(name: str) -> Any:
    """A callback that notes a global option in the session, wherever on the line it was given."""

    def note(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if ctx.obj is not None and value not in (None, False):
            setattr(ctx.obj, name, value)

    return note


def _no_colour(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if ctx.obj is not None and value:
        ctx.obj.colour = False


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"slimstage {__version__}")
        ctx.exit()


def global_options(*, hidden: bool = False) -> list[Option]:
    """The options every command takes, before or behind its name."""
    return [
        Option(
            ["--root"],
            metavar="DIR",
            help="Where images, layers and cache are kept [env: SLIMSTAGE_ROOT].",
            expose_value=False,
            callback=_keep("root"),
            hidden=hidden,
        ),
        Option(
            ["--debug"],
            is_flag=True,
            help="Show where in slimstage an error came from.",
            expose_value=False,
            callback=_keep("is_debug"),
            hidden=hidden,
        ),
        Option(
            ["--no-color", "--no-colour"],
            is_flag=True,
            help="Never colour [env: NO_COLOR].",
            expose_value=False,
            callback=_no_colour,
            hidden=hidden,
        ),
    ]


def make_program() -> Program:
    """The whole command line, as a click group."""
    return Program(
        name="slimstage",
        help="Builds small container images from multi-stage Dockerfiles, without a daemon.",
        params=[
            *global_options(),
            Option(["-V", "--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version,
                         help="Print the version."),
        ],
        context_settings={"help_option_names": list(HELP_NAMES), "max_content_width": 100},
        no_args_is_help=False,
        invoke_without_command=True,
        callback=_without_command,
    )  # fmt: skip


@click.pass_context
def _without_command(ctx: click.Context) -> None:
    """`slimstage` alone shows its help; that is a wrong command line for a script, so the status is 2."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def run(arguments: Sequence[str], session: Session) -> int:
    """Runs one command line. Raises whatever the command raises; returns its exit status.

    Not by click's own `main`, which answers a broken pipe with status 1 and prints in its own words.
    """
    program = make_program()
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, "slimstage", COMPLETION, instruction)
    try:
        with program.make_context("slimstage", list(arguments), obj=session) as context:
            result = program.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    finally:
        session.close()
    return result if isinstance(result, int) else 0
