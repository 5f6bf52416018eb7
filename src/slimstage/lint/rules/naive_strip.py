"""strip over installed wheels, some of which it breaks."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import Change, Install, place
from slimstage.lint.finding import Finding
from slimstage.lint.image_runs import needed_runs
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject

_SURE = ("site-packages", "dist-packages", "venv/lib", "venv/**")
_CONDA = ("conda/**", "conda/lib", "conda/envs", "conda3/**", "conda3/lib", "forge3/**", "forge3/lib")
_ABOVE = ("/", "/usr", "/usr/local", "/usr/local/lib", "/opt", "/usr/lib", "/app")


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in needed_runs(subject):
        for command in subject.commands(view, run):
            if not isinstance(command, Change) or command.action != "strip":
                continue
            for word in command.paths:
                path = place(command.invocation, word) or word.shape
                is_above = _top(path) in _ABOVE or any(part in path for part in _CONDA)
                if any(part in path for part in _SURE) or (is_above and _has_wheels(subject, view)):
                    yield Finding(
                        RULE.name,
                        "strip over installed wheels leaves some that cannot be loaded",
                        command.invocation.span,
                        notes=(
                            "4 libraries of numpy and scipy (OpenBLAS, libgfortran) fail to load after it; strip says nothing",
                        ),
                        hint="strip only what this file compiles; wheels are moved by patchelf, which strip does not respect",
                    )
                    break


def _top(path: str) -> str:
    """Where a search for files begins; the path itself of a single file."""
    head, wild, _ = path.partition("/**")
    return (head or "/") if wild else path


def _has_wheels(subject: Subject, view: StageView) -> bool:
    return any(
        isinstance(command, Install) and command.family == "python"
        for _, _, command in subject.all_commands(view, inherited=True)
    )


RULE = Rule(
    name="NaiveStrip",
    group="bytes",
    summary="strip is run over installed wheels, and breaks some",
    why="""\
`find … -name "*.so" -exec strip {} +` saves 15 MB of a scikit-learn environment and makes numpy unimportable: 4 of its 206
libraries (OpenBLAS and libgfortran, twice each) fail with "ELF load command address/offset not page-aligned". strip itself
ends with status 0. The files are those that patchelf changed when the wheel was made, and strip moves their segments.

What this file compiles can be stripped: a library built from source went from 8.6 to 0.5 MB. Strip that, by name, in the stage
that builds it.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install numpy==2.1.0 \\\n"
        "    && find /usr/local/lib/python3.12/site-packages -name '*.so*' -exec strip --strip-unneeded {} +\n"
        "USER 10001\n"
        'CMD ["python", "-c", "import numpy"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install numpy==2.1.0\n"
        "USER 10001\n"
        'CMD ["python", "-c", "import numpy"]\n'
    ),
    check=check,
)
