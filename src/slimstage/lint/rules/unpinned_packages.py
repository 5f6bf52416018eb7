"""Packages of which no version is said: the next build installs others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Requested
from slimstage.lint.finding import Finding
from slimstage.lint.image_runs import head_span, needed_runs
from slimstage.lint.listings import read_listing
from slimstage.lint.origins import origin_of
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import listed, quoted

_INSTALLERS = frozenset(
    (
        "pip",
        "setuptools",
        "wheel",
        "uv",
        "poetry",
        "pipenv",
        "pdm",
        "pip-tools",
        "hatch",
        "virtualenv",
        "build",
        "npm",
        "mamba",
        "conda",
    )
)
_FAMILIES = frozenset(("python", "conda", "node"))


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in needed_runs(subject):
        for command in subject.commands(view, run):
            if not isinstance(command, Install) or command.family not in _FAMILIES or command.options.is_frozen:
                continue
            if command.action not in ("install", "create", "wheel", "download") or command.options.no_index:
                continue
            if any(file.kind in ("constraints", "lock") for file in command.files):
                continue
            free = [each for each in command.packages if _is_free(each)]
            if free:
                yield Finding(
                    RULE.name,
                    f"no version is said of {quoted([each.name or each.raw for each in free])}",
                    free[0].span if len(free) == 1 else head_span(command.invocation),
                    hint="say one: name==version, or install from a file with versions",
                )
            yield from _of_files(subject, view, run, command)


def _is_free(package: Requested) -> bool:
    if package.kind == "vcs":
        return not package.is_pinned
    if package.kind != "name" or not package.name or package.name in _INSTALLERS:
        return False
    return not package.constraint or package.constraint in ("@latest", "=*", "==*")


def _of_files(subject: Subject, view: StageView, run: Run, install: Install) -> Iterator[Finding]:
    if subject.context is None:
        return
    for file in install.files:
        origin = origin_of(subject, view, run, file.path) if file.path and file.kind == "requirements" else None
        text = subject.context.read(origin.path) if origin is not None else None
        if origin is None or text is None:
            continue
        found = read_listing("requirements", origin.path, text)
        if any(each.kind == "constraints" for each in found.files):
            continue
        free = [each for each in found.packages if _is_free(each)]
        if free:
            yield Finding(
                RULE.name,
                f'"{origin.path}" says no version of {quoted([each.name or each.raw for each in free])}',
                file.span,
                notes=(f"line{'s' if len(free) > 1 else ''} {listed([*_numbers(free)])} of {origin.path}",),
                hint="pin them, by hand or by pip-compile or uv pip compile",
            )


def _numbers(packages: Iterable[Requested]) -> list[str]:
    return [str(each.span.line) for each in packages]


RULE = Rule(
    name="UnpinnedPackages",
    group="pinning",
    severity="info",
    summary="packages are installed of which no version is said",
    why="""\
What is not pinned is what is newest on the day of the build: a new major version breaks the code, a new wheel of a framework is
a gigabyte larger, and a model that was saved with one version of scikit-learn does not load with the next.

Packages of Debian, Alpine and RPM are not asked for versions: their repositories keep only the last, so a pinned one soon
cannot be installed.

Told of names without any version, in the Dockerfile and in requirement files of the context; ranges are versions. Silent with a
constraints file, with lock files, and for installers such as pip itself.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt onnxruntime\n"
        "USER 10001\n"
        'CMD ["python", "-m", "serve"]\n',
        files={"requirements.txt": "fastapi==0.115.6\nnumpy\n"},
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt onnxruntime==1.20.1\n"
        "USER 10001\n"
        'CMD ["python", "-m", "serve"]\n',
        files={"requirements.txt": "fastapi==0.115.6\nnumpy==2.1.3\n"},
        ignore=".git\n",
    ),
    check=check,
)
