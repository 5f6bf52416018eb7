"""What a rule about build tools offers: the split as a fix where it is certain, else a hint and what stands in its way."""

from __future__ import annotations

import posixpath

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install
from slimstage.lint.finding import Fix
from slimstage.lint.requirement_files import read_requirements
from slimstage.lint.split.decide import VENV, NotSplit, Split, split_of
from slimstage.lint.split.write import fix_of
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.tools_left import full_base
from slimstage.lint.workplace import COMPILES_AT_RUN_TIME
from slimstage.regex import pattern
from slimstage.values import dataclass

_NEEDS_LIBRARIES = frozenset(
    (
        *(
            "psycopg2",
            "mysqlclient",
            "python-ldap",
            "pycairo",
            "pygobject",
            "pygraphviz",
            "python-magic",
            "wand",
            "cairosvg",
        ),
        *(
            "cairocffi",
            "pyaudio",
            "gdal",
            "pycurl",
            "uwsgi",
            "m2crypto",
            "python-snappy",
            "xmlsec",
            "opencv-python",
            "dlib",
        ),
        *(
            "opencv-contrib-python",
            "lightgbm",
            "hnswlib",
            "implicit",
            "mpi4py",
            "pyodbc",
            "weasyprint",
            "mlflow",
            "pygit2",
        ),
        *("torch-geometric", "pyg-lib", "fasttext", "annoy", "nmslib", "pystan", "prophet", "llama-cpp-python"),
    )
)
"""Distributions that use libraries or programs of the system which the full image has and the slim one may not."""
_PROGRAMS = pattern(
    r"\b(?:curl|wget|git|ssh|unzip|hg|svn|convert|mogrify|file|ps|top|procps|envsubst|patch|xz|bzip2)\b"
)
"""Programs that the full image has and the slim one has not."""


@dataclass(frozen=True, slots=True)
class Offer:
    """hint: what to do. notes: why no fix is written. fix: the split."""

    hint: str
    notes: tuple[str, ...] = ()
    fix: Fix | None = None


def offer(subject: Subject, stage: StageView) -> Offer:
    """What can be offered for a stage with build tools."""
    full = full_base(subject, stage)
    final_base = full[1] if full and full[1] else stage.stage.from_.image
    hint = (
        f"build in a first stage, into a virtual environment (python3 -m venv {VENV}), end on {final_base}, and copy it: "
        f"COPY --from=builder {VENV} {VENV}"
    )
    if full is not None and full[1] is None:
        return Offer(
            "build in this stage, end on a base that has what running takes, and copy the program: COPY --from=builder …"
        )
    decided = split_of(subject, stage, final_base=final_base)
    if isinstance(decided, Split) and full is not None:
        decided = _against_slim(subject, decided) or decided
    if isinstance(decided, NotSplit):
        note = f"the split is not written for you, because of line {decided.at.span.line}: {decided.reason}"
        return Offer(hint, (note,))
    return Offer(hint, (), fix_of(decided, subject))


def _against_slim(subject: Subject, split: Split) -> NotSplit | None:
    """What is against ending on the slim image of the same name: something that only the full one has."""
    for placed in split.placed:
        instruction = placed.instruction
        if placed.in_final and (found := _PROGRAMS.search(instruction.text)):
            return NotSplit(instruction, f'"{found.group()}" is not in "{split.final_base}"')
        if not isinstance(instruction, Run):
            continue
        for command in subject.commands(split.stage, instruction):
            if isinstance(command, Install) and command.family == "python" and (reason := _reason(subject, command)):
                return NotSplit(instruction, reason)
    return None


def _reason(subject: Subject, command: Install) -> str | None:
    """What the packages of an installation could want of the full image; None: nothing is known to."""
    names = [each.name if each.kind == "name" else "" for each in command.packages]
    for file in command.files:
        if file.kind != "requirements" or file.path is None:
            continue
        read = read_requirements(subject.context, posixpath.basename(file.path))
        if not read.is_whole:
            return f'what "{file.path}" asks for is not known'
        names += [line.name for line in read.lines]
    for name in names:
        if not name:
            return "it installs what has no name, and may need libraries of the base"
        if name in _NEEDS_LIBRARIES or name in COMPILES_AT_RUN_TIME:
            return f'"{name}" needs what the slim base has not'
    return None
