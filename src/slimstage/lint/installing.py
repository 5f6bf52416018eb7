"""Which RUNs install packages: what makes a layer slow to build again, and large to pull again."""

from __future__ import annotations

from slimstage.dockerfile.instructions import Instruction, Run
from slimstage.lint.commands.command import Install
from slimstage.lint.subject import StageView, Subject

_BRINGS_NOTHING = frozenset(("download", "wheel", "run"))


def installs_packages(subject: Subject, stage: StageView, instruction: Instruction) -> bool:
    """True of a RUN that brings packages from somewhere else into the stage."""
    if not isinstance(instruction, Run):
        return False
    commands = subject.commands(stage, instruction)
    return any(isinstance(each, Install) and each.action not in _BRINGS_NOTHING for each in commands)


def late_install(subject: Subject, stage: StageView, position: int) -> Instruction | None:
    """The first RUN behind that position in the stage which installs packages."""
    for instruction in stage.instructions[position + 1 :]:
        if installs_packages(subject, stage, instruction):
            return instruction
    return None
