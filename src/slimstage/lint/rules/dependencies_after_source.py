"""Packages are installed behind a copy of the sources, so every change of a source installs them again."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from slimstage.dockerfile.instructions import Add, Arg, Copy, Env, Expose, Instruction, Label, Run
from slimstage.lint.commands.command import Install
from slimstage.lint.contents import context_copies, picked, source_paths, takes_whole_context
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.places import as_written, whole_lines
from slimstage.lint.requirement_copies import requirement_copies
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject

_LOCKS = {
    "npm": ("package.json", "package-lock.json"),
    "yarn": ("package.json", "yarn.lock"),
    "pnpm": ("package.json", "pnpm-lock.yaml"),
    "poetry": ("pyproject.toml", "poetry.lock"),
    "pipenv": ("Pipfile", "Pipfile.lock"),
    "uv": ("pyproject.toml", "uv.lock"),
    "pdm": ("pyproject.toml", "pdm.lock"),
}
"""What the installation reads where no file is named."""


def check(subject: Subject) -> Iterator[Finding]:
    for stage in subject.stages:
        if not stage.is_needed:
            continue
        reading = {id(each) for each in context_copies(stage)}
        copies: list[Copy | Add] = []
        for run in stage.instructions:
            if isinstance(run, Copy | Add) and id(run) in reading:
                copies.append(run)
            if not isinstance(run, Run):
                continue
            for command in subject.commands(stage, run):
                if isinstance(command, Install) and (found := _late(subject, stage, copies, run, command)):
                    yield found
                    break


def _late(
    subject: Subject, stage: StageView, copies: Sequence[Copy | Add], run: Run, command: Install
) -> Finding | None:
    """The finding where all that the installation reads came with the sources, and with nothing in front of them."""
    named = _read_by(command)
    if not named or any(each.kind in ("path",) for each in command.packages) or command.options.is_editable:
        return None
    wide = [copy for copy in copies if _is_wide(subject, stage, copy)]
    if not wide or any(_names_one(subject, stage, copy, named) for copy in copies):
        return None
    if any("type=bind" in mount.value or "type=" not in mount.value for mount in run.mounts):
        return None  # it reads its files from a mount
    first = wide[0]
    files = " ".join(named)
    return Finding(
        RULE.name,
        f"packages are installed behind line {first.span.line}, which copies the sources: "
        "each change of one installs all again",
        command.invocation.span,
        hint=f"copy {' and '.join(named)} first, install, and then copy the rest: COPY {files} ./",
        fix=_fix(subject, stage, first, run, command) if len(wide) == 1 else None,
        cause=first.span,
    )


def _read_by(command: Install) -> tuple[str, ...]:
    """The files that say what is installed, as the command is given them."""
    if command.family == "python" and command.manager in ("pip", "uv"):
        found = tuple(each.path for each in command.files if each.kind in ("requirements", "constraints") and each.path)
        if found:
            return found
    if command.action not in ("install", "sync") or command.packages:
        return ()
    return _LOCKS.get(command.manager, ())


def _is_wide(subject: Subject, stage: StageView, copy: Copy | Add) -> bool:
    """It brings sources: everything of the context, or a directory with code in it."""
    return subject.once((_is_wide, id(copy)), lambda: _looks_wide(subject, stage, copy))


def _looks_wide(subject: Subject, stage: StageView, copy: Copy | Add) -> bool:
    if takes_whole_context(subject, stage, copy):
        return True
    if subject.context is None:
        return False
    files = [file.path for file in picked(subject, stage, copy) or ()]
    named = {path for _, path in source_paths(subject, stage, copy) or ()}
    return any(path.endswith((".py", ".js", ".ts", ".tsx", ".go", ".rs")) for path in files if path not in named)


def _names_one(subject: Subject, stage: StageView, copy: Copy | Add, named: Sequence[str]) -> bool:
    """It names one of the files itself, so somebody has thought of this."""
    names = {posixpath.basename(each) for each in named}
    sources = source_paths(subject, stage, copy) or []
    return any(
        posixpath.basename(path) in names or ("*" in path and not takes_whole_context(subject, stage, copy))
        for _, path in sources
    )


def _fix(subject: Subject, stage: StageView, copy: Copy | Add, run: Run, command: Install) -> Fix | None:
    """The requirement files are copied first, and the sources behind the installation."""
    between = _between(stage.instructions, copy, run)
    installs = [each for each in subject.commands(stage, run) if isinstance(each, Install)]
    only = len(installs) == 1 and len(subject.script(stage, run).commands) == 1
    moved = requirement_copies(subject, stage, copy, [(run, path) for path in _read_by(command)])
    if command.manager != "pip" or not only or between is None or moved is None:
        return None
    behind = whole_lines(run)
    return Fix(
        "copy what the installation reads in front of the sources",
        (
            Edit(whole_lines(copy), "\n".join(moved) + "\n"),
            Edit(behind, f"{as_written(run)}\n{as_written(copy)}\n"),
        ),
    )


def _between(instructions: Sequence[Instruction], first: Instruction, last: Instruction) -> list[Instruction] | None:
    """What stands between; None when some of it may read the sources, or changes what a path means."""
    found = [*instructions[instructions.index(first) + 1 : instructions.index(last)]]
    return found if all(isinstance(each, Env | Arg | Label | Expose) for each in found) else None


RULE = Rule(
    name="DependenciesAfterSource",
    group="caching",
    summary="packages are installed behind a copy of the sources",
    why="""\
`COPY . .` is new with every change of any file, and everything behind it runs again. Packages change seldom: when the file that
names them is copied alone, and installed, before the sources come, a change of a source costs a copy instead of an
installation, and whoever pulls gets a small layer instead of all packages.

The fix does that for `pip install -r FILE`, when the file is in the context, reads no other one, and nothing between the two
lines could read the sources.

Silent where a file that names packages is copied by itself in front, where it is mounted, and where the project itself is
installed (`pip install .`), which needs its sources.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        'CMD ["python", "serve.py"]\n',
        files={"requirements.txt": "numpy==2.1.0\n", "serve.py": "print()\n"},
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY . .\n"
        'CMD ["python", "serve.py"]\n',
        files={"requirements.txt": "numpy==2.1.0\n", "serve.py": "print()\n"},
        ignore=".git\n",
    ),
    check=check,
    has_fix=True,
)
