"""Python distributions that a stage installs: what its commands name, and what requirement files of the context name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Requested
from slimstage.lint.origins import origin_of
from slimstage.lint.requirement_files import Required, read_requirements
from slimstage.lint.subject import StageView, Subject
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Installed:
    """One distribution. name: normal form. rest: what is said of its version (`==2.4`, `[cuda]` left out).

    span: its place in the Dockerfile: its own word, or that of the requirement file. requested: its word, where the command
    names it; line: its line, where a file does. file: that file's path in the context.
    """

    name: str
    rest: str
    stage: StageView
    run: Run
    command: Install
    span: Span
    requested: Requested | None = None
    line: Required | None = None
    file: str | None = None


def distributions(subject: Subject, stages: Sequence[StageView]) -> Iterator[Installed]:
    """Those that RUNs of these stages install by pip, uv, conda and the like, in order."""
    for view in stages:
        for run in view.instructions:
            if isinstance(run, Run):
                for command in subject.commands(view, run):
                    if isinstance(command, Install) and command.family in ("python", "conda"):
                        yield from _of(subject, view, run, command)


def _of(subject: Subject, view: StageView, run: Run, command: Install) -> Iterator[Installed]:
    if command.action in ("download", "wheel", "run"):
        return
    for package in command.packages:
        if package.name and package.kind in ("name", "url", "vcs"):
            yield Installed(package.name, package.constraint, view, run, command, package.span, requested=package)
    for file in command.files:
        if file.path is None or file.kind != "requirements":
            continue
        origin = origin_of(subject, view, run, file.path)
        if origin is None:
            continue
        for line in read_requirements(subject.context, origin.path).lines:
            if line.name:
                yield Installed(line.name, line.rest, view, run, command, file.span, line=line, file=line.span.file)
