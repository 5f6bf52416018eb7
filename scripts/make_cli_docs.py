"""Makes docs/cli.md from the commands' own help: `python scripts/make_cli_docs.py [--check]`.

With --check nothing is written; status 1 says that the page is not what the commands say.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from slimstage.cli.catalogue import ENTRIES
from slimstage.cli.program import Program, make_program
from slimstage.cli.verb import Verb

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"

_HEAD = """\
# The commands

Made from the commands' own help by `scripts/make_cli_docs.py`; a test holds it fresh. Data goes to stdout, everything
else to stderr; every command has `--json`.

| exit status | what it says |
|---|---|
| 0 | done |
| 1 | the user's own command or check failed |
| 2 | the input is wrong: command line, Dockerfile, settings, context |
| 3 | this host, the store or a registry failed |
| 130 | interrupted; 143 by SIGTERM, 129 by SIGHUP |

`slimstage run` ends with the status of the command that it ran.
"""


def page() -> str:
    """The whole page, as it should be."""
    program = make_program()
    root = click.Context(program, info_name="slimstage")
    parts = [_HEAD, _contents(), _options("Global options", _own_options(program, root))]
    for entry in ENTRIES:
        command = program.get_command(root, entry.name)
        assert isinstance(command, Verb)
        parts.append(_command(entry.name, command, root))
    return "\n".join(parts)


def _contents() -> str:
    lines = []
    for section in dict.fromkeys(entry.section for entry in ENTRIES):
        names = ", ".join(f"[{e.name}](#slimstage-{e.name})" for e in ENTRIES if e.section == section)
        lines.append(f"- {section}: {names}")
    return "\n".join(lines) + "\n"


def _own_options(program: Program, context: click.Context) -> list[click.Option]:
    return [p for p in program.get_params(context) if isinstance(p, click.Option) and not p.hidden]


def _command(name: str, command: Verb, root: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=root)
    usage = " ".join(["slimstage", name, *command.collect_usage_pieces(context)])
    parts = [f"## slimstage {name}\n", f"```\n{usage}\n```\n"]
    parts += [" ".join(paragraph.split()) + "\n" for paragraph in (command.help or "").split("\n\n")]
    for group, options in command.groups(context).items():
        shown = [one for one in options if isinstance(one, click.Option) and one.name != "help"]
        if shown:
            parts.append(_options(group, shown))
    parts.append(f"```\n{command.examples}\n```\n")
    return "\n".join(parts)


def _options(title: str, options: list[click.Option]) -> str:
    lines = [f"{title}:\n", "| option | meaning |", "|---|---|"]
    for one in options:
        metavar = "" if one.is_flag or one.metavar is None else f" {one.metavar}"
        names = ", ".join([*one.opts, *one.secondary_opts]) + metavar
        lines.append(f"| `{_cell(names)}` | {_cell(one.help or '')} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    made = page()
    if arguments == ["--check"]:
        is_fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print("docs/cli.md is fresh" if is_fresh else "docs/cli.md is not fresh: run scripts/make_cli_docs.py")
        return 0 if is_fresh else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
