"""Images in which people or machines build: compilers are what they are for."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Healthcheck
from slimstage.lint.distributions_installed import distributions
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
        *("gitpython", "dvc", "apache-airflow", "dbt-core", "cupy"),
    )
)
"""Distributions that call a compiler or git themselves."""


def is_workplace(subject: Subject, stage: StageView) -> bool:
    """True of a stage that is started by hand, or in which something uses tools later."""
    if is_started_by_hand(stage):
        return True
    return any(name in COMPILES_AT_RUN_TIME for name in python_names(subject, [*stage.chain()]))


def is_started_by_hand(stage: StageView) -> bool:
    """True of a stage that starts a shell, or nothing, or a tool of building; or that is named as one for development."""
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
    return any(_USES.search(text) for text in texts)


def python_names(subject: Subject, views: list[StageView]) -> Iterator[str]:
    """The distributions that RUNs of these stages install, those of requirement files of the context with them."""
    yield from (each.name for each in distributions(subject, views))
