"""Python distributions that a stage installs: what its commands name, and what requirement files of the context name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Copy, Run
from slimstage.lint.commands.command import Install, Requested
from slimstage.lint.contents import is_within
from slimstage.lint.origins import origin_of
from slimstage.lint.requirement_files import Required, read_requirements
from slimstage.lint.subject import StageView, Subject
from slimstage.plan.paths import absolute
from slimstage.regex import pattern
from slimstage.values import dataclass

_ENVIRONMENT = pattern(
    r"venv|virtualenv|-packages|/usr/local(?:/lib(?:/python[\d.]+)?)?/?\Z|/\.local\b|/install\b|/opt/|/deps\b|/python\b|/packages\b"
)
"""Paths of which it is likely that Python packages lie there; what goes there has to say so as well."""


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


def in_image(subject: Subject) -> Iterator[Installed]:
    """Those that end in the image: installed in the final stage and those below, or in an environment that is copied there."""
    chain = [*subject.final.chain()]
    yield from distributions(subject, chain)
    for view in chain:
        for copy in view.instructions:
            source = subject.source_of(view, copy) if isinstance(copy, Copy) else None
            if not isinstance(copy, Copy) or not isinstance(source, StageView) or source in chain:
                continue
            paths = [subject.expanded(view, copy, word) for word in copy.sources]
            into = [absolute(path) for path in paths if path is not None and _ENVIRONMENT.search(path)]
            for each in distributions(subject, [*source.chain()]) if into else ():
                if any(_goes_into(subject, each, path) for path in into):
                    yield each


def _goes_into(subject: Subject, each: Installed, path: str) -> bool:
    """True where the installation puts the distribution below a path, as far as its command or the environment says."""
    options, invocation = each.command.options, each.command.invocation
    program = invocation.program.raw
    for place in (options.target, options.prefix, options.root):
        if place is not None:
            return is_within(absolute(place), path) or is_within(path, absolute(place))
    if program.startswith("/"):
        return is_within(absolute(program), path)
    if any(word.shape.startswith(path + "/") or word.shape == path for word in invocation.words):
        return True
    if options.is_user:
        return path.endswith("/.local")
    first = subject.environment(each.stage, each.run).get("PATH", "").partition(":")[0]
    if first and not first.startswith(("/usr", "/bin", "/sbin")):
        return is_within(first, path)
    return path.startswith("/usr/local") or "-packages" in path


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
