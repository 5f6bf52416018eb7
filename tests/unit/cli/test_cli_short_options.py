"""Short options are known at once: nothing looks for a near name of one that is right."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from slimstage.cli.commands.build import command


def parsed(*arguments: str) -> dict[str, object]:
    return command.make_context("build", list(arguments)).params


@pytest.mark.parametrize("arguments", [("-t", "app"), ("-tapp",), ("--tag", "app"), ("--tag=app",)])
def test_every_spelling_of_an_option_means_the_same(arguments: tuple[str, ...]) -> None:
    assert parsed(*arguments, ".") == parsed("--tag", "app", ".")


def test_an_unknown_short_option_is_still_refused() -> None:
    with pytest.raises(click.NoSuchOption):
        parsed("-Z", ".")


def test_a_short_option_does_not_load_the_search_for_near_names() -> None:
    code = (
        "import sys; from slimstage.cli.commands.build import command\n"
        "command.make_context('build', ['-t', 'app', '-f', 'x', '.'])\n"
        "assert 'difflib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
