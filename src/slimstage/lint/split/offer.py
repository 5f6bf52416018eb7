"""What a rule about build tools offers: the split as a fix where it is certain, else a hint and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install
from slimstage.lint.finding import Fix
from slimstage.lint.origins import origin_of
from slimstage.lint.requirement_files import Requirements, read_requirements
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
    hint = _hint(subject, stage, final_base)
    if full is not None and full[1] is None:
        return Offer(
            "build in this stage, end on a base that has what running takes, and copy the program: COPY --from=builder …"
        )
    decided = split_of(subject, stage, final_base=final_base)
    if isinstance(decided, Split):
        decided = _against_leaving_git(subject, decided) or decided
    if isinstance(decided, Split) and full is not None:
        decided = _against_slim(subject, decided) or decided
    if isinstance(decided, NotSplit):
        note = f"the split is not written for you, because of line {decided.at.span.line}: {decided.reason}"
        return Offer(hint, (note,))
    return Offer(hint, (), fix_of(decided, subject))


def _hint(subject: Subject, stage: StageView, final_base: str) -> str:
    """What to copy out of a first stage: by what is installed in this one."""
    installs = [each for _, _, each in subject.all_commands(stage) if isinstance(each, Install)]
    families = {each.family for each in installs}
    if "python" in families:
        return (
            f"build in a first stage, into a virtual environment (python3 -m venv {VENV}), end on {final_base}, and copy it: "
            f"COPY --from=builder {VENV} {VENV}"
        )
    if "node" in families:
        return f"install and build in a first stage, end on {final_base}, and copy the result: COPY --from=builder …"
    return f"build in a first stage, end on {final_base}, and copy the program alone: COPY --from=builder …"


def _against_leaving_git(subject: Subject, split: Split) -> NotSplit | None:
    """Git is a program like others: it stays behind only where the installation itself asks for a repository."""
    brings = [placed for placed in split.placed if placed.role and "git" in placed.role.tools]
    if not brings:
        return None
    for _, run, command in subject.all_commands(split.stage):
        if not isinstance(command, Install):
            continue
        if any(each.kind == "vcs" or "git+" in each.raw for each in command.packages):
            return None
        for _, read in _requirements(subject, split.stage, run, command):
            if read is not None and any("git+" in line.text for line in read.lines):
                return None
    return NotSplit(brings[0].instruction, "whether the program uses git is not known")


def _against_slim(subject: Subject, split: Split) -> NotSplit | None:
    """What is against ending on the slim image of the same name: something that only the full one has."""
    for placed in split.placed:
        instruction = placed.instruction
        if placed.in_final and (found := _PROGRAMS.search(instruction.text)):
            return NotSplit(instruction, f'"{found.group()}" is not in "{split.final_base}"')
        if not isinstance(instruction, Run):
            continue
        for command in subject.commands(split.stage, instruction):
            if (
                isinstance(command, Install)
                and command.family == "python"
                and (reason := _reason(subject, split.stage, instruction, command))
            ):
                return NotSplit(instruction, reason)
    return None


def _reason(subject: Subject, stage: StageView, run: Run, command: Install) -> str | None:
    """What the packages of an installation could want of the full image; None: nothing is known to."""
    names = [each.name if each.kind == "name" else "" for each in command.packages]
    for path, read in _requirements(subject, stage, run, command):
        if read is None or not read.is_whole:
            return f'what "{path}" asks for is not known'
        names += [line.name for line in read.lines]
    for name in names:
        if not name:
            return "it installs what has no name, and may need libraries of the base"
        if name in _NEEDS_LIBRARIES or name in COMPILES_AT_RUN_TIME:
            return f'"{name}" needs what the slim base has not'
    return None


def _requirements(
    subject: Subject, stage: StageView, run: Run, command: Install
) -> Iterator[tuple[str | None, Requirements | None]]:
    """The requirement files of an installation with what they ask for; None: which file of the context it is is not known."""
    for file in command.files:
        if file.kind != "requirements":
            continue
        origin = origin_of(subject, stage, run, file.path) if file.path is not None else None
        yield file.path, read_requirements(subject.context, origin.path) if origin is not None else None
