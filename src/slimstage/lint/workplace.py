"""Images in which people or machines build: compilers are what they are for."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Healthcheck, Instruction, Run
from slimstage.lint.commands.command import Install
from slimstage.lint.requirement_files import read_requirements
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_USES = pattern(
    r"\b(?:git|gcc|g\+\+|cc|clang|make|cmake|ninja|nvcc|cargo|rustc|gfortran|mvn|gradle|bundle|pytest|tox|nox|jupyter\w*|notebook"
    r"|code-server|dbt|pre-commit|dvc|ansible\w*|conan|Rscript|pip install|go (?:run|test|build)|npm run dev|yarn dev)\b"
)
"""Commands that need a compiler, headers or git while the image runs."""
_SHELL_ALONE = pattern(
    r"(?:(?:/usr)?/bin/)?(?:bash|sh|zsh|fish)(?: -l| --login)?\Z|sleep\b|tail -f|(?:/usr/sbin/)?sshd\b"
)
_NAMES = pattern(
    r"(?:.*[-_.])?(?:dev|devel|development|devcontainer|ci|test|tests|debug|lint|builder|build)(?:[-_.].*)?\Z"
)
COMPILES_AT_RUN_TIME = frozenset(
    (
        *("vllm", "deepspeed", "flashinfer", "flashinfer-python", "sglang", "triton", "apache-tvm", "numba", "cython"),
        *("jupyter", "jupyterlab", "notebook", "gitpython", "dvc", "apache-airflow", "pre-commit", "dbt-core", "cupy"),
    )
)
"""Distributions that call a compiler or git themselves, and those with which people do."""


def is_workplace(subject: Subject, stage: StageView) -> bool:
    """True of a stage that starts a shell, or nothing; that is named as one for development; or that uses tools later."""
    chain = [*stage.chain()]
    starts = [each for view in chain for each in view.instructions if isinstance(each, Cmd | Entrypoint)]
    if not starts or (stage.stage.name is not None and _NAMES.match(stage.stage.name)):
        return True
    last = next(each for view in chain for each in reversed(view.instructions) if isinstance(each, Cmd | Entrypoint))
    if _SHELL_ALONE.match(" ".join(last.command.words)):
        return True
    texts = [
        each.text for view in chain for each in view.instructions if isinstance(each, Cmd | Entrypoint | Healthcheck)
    ]
    if any(_USES.search(text) for text in texts):
        return True
    return any(name in COMPILES_AT_RUN_TIME for name in python_names(subject, chain))


def python_names(subject: Subject, views: list[StageView]) -> Iterator[str]:
    """The distributions that RUNs of these stages install, those of requirement files of the context with them."""
    for view in views:
        for instruction in view.instructions:
            if isinstance(instruction, Run):
                yield from _names(subject, view, instruction)


def _names(subject: Subject, view: StageView, run: Instruction) -> Iterator[str]:
    assert isinstance(run, Run)
    for command in subject.commands(view, run):
        if not isinstance(command, Install) or command.family not in ("python", "conda"):
            continue
        yield from (each.name for each in command.packages)
        for file in command.files:
            if file.path is not None and file.kind == "requirements":
                path = file.path.rpartition("/")[2]
                yield from (line.name for line in read_requirements(subject.context, path).lines)
