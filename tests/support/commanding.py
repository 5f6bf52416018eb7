"""Commands of the text of one RUN."""

from __future__ import annotations

from typing import TypeVar

from slimstage.dockerfile.instructions import Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.commands.command import Command
from slimstage.lint.examples import PLATFORM
from slimstage.lint.reading import Reading
from slimstage.plan.request import PlanRequest

Kind = TypeVar("Kind")


def commands_in(run: str, before: str = "") -> list[Command]:
    subject = Reading(parse(f"FROM base\n{before}\nRUN {run}\n"), PlanRequest(PLATFORM))
    stage = subject.final
    return [
        command for each in stage.instructions if isinstance(each, Run) for command in subject.commands(stage, each)
    ]


def only(kind: type[Kind], run: str) -> Kind:
    found = [each for each in commands_in(run) if isinstance(each, kind)]
    assert len(found) == 1, found
    return found[0]
