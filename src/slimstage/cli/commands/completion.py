"""`slimstage completion`."""

from __future__ import annotations

import sys

import click

from slimstage.cli.program import COMPLETION, make_program
from slimstage.cli.show import print_json
from slimstage.cli.values import one_of
from slimstage.cli.verb import json_option, verb

_EXAMPLES = """\
slimstage completion bash > /etc/bash_completion.d/slimstage
slimstage completion zsh > ~/.zfunc/_slimstage
slimstage completion fish > ~/.config/fish/completions/slimstage.fish\
"""
SHELLS = ("bash", "zsh", "fish")


@verb("completion", examples=_EXAMPLES)
@click.argument("shell", metavar="bash|zsh|fish")
@json_option
def command(shell: str, as_json: bool) -> None:
    """Print the script by which a shell completes slimstage's commands, options, images and containers."""
    from click.shell_completion import get_completion_class

    one_of(shell, SHELLS, "the shell")
    kind = get_completion_class(shell)
    assert kind is not None
    completer = kind(make_program(), {}, "slimstage", COMPLETION)
    # Not `source()`: for bash that starts a shell, only to warn about old versions.
    script = completer.source_template % completer.source_vars()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        sys.stdout.write(script.strip("\n") + "\n")
