"""Packages for training, notebooks, tests or formatting in an image that answers requests."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.distributions_installed import Installed, in_image
from slimstage.lint.finding import Finding
from slimstage.lint.knowledge import role_of, variants_of
from slimstage.lint.purpose import serves
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import listed
from slimstage.lint.workplace import is_started_by_hand

_CERTAIN = frozenset(("notebooks", "experiment-tracking", "test-tools", "code-checks", "docs"))
_TRAINING = frozenset(("tuning", "export"))
"""Reasons of the role `training` that no saved model asks for. A trainer's classes, an augmentation, a metric may be in one."""
_TRAINERS = frozenset(("trl", "axolotl", "unsloth", "torchtune", "autotrain-advanced"))
_SHOW = frozenset(("streamlit", "gradio", "dash", "panel", "bokeh", "shiny", "nicegui", "taipy", "solara", "chainlit"))
"""Distributions whose services draw: then plots are what they are for."""


def check(subject: Subject) -> Iterator[Finding]:
    final = subject.final
    if is_started_by_hand(final):
        return
    installed = list(in_image(subject))
    if not serves(subject, installed):
        return
    draws = any(each.name in _SHOW for each in installed)
    by_command: dict[int, list[tuple[Installed, str]]] = {}
    for each in installed:
        if (what := _needless(each, draws=draws)) is not None:
            by_command.setdefault(id(each.command), []).append((each, what))
    for found in by_command.values():
        yield _finding(found)


def _needless(each: Installed, *, draws: bool) -> str | None:
    """What the distribution is for, where that is nothing that answering needs."""
    role = role_of(each.name)
    if role is None or variants_of(each.name):
        return None  # a smaller variant is HeavyVariant's matter
    if role.name in _CERTAIN:
        return role.name.replace("-", " ")
    if role.name == "training" and (role.reason in _TRAINING or each.name in _TRAINERS):
        return "training"
    if role.name == "plotting" and not draws:
        return "plotting"
    return None


def _finding(found: list[tuple[Installed, str]]) -> Finding:
    named: dict[str, list[str]] = {}
    for each, what in found:
        named.setdefault(what, [])
        if each.name not in named[what]:
            named[what].append(each.name)
    shown = [f"{listed(names)} ({what})" for what, names in named.items()]
    first = found[0][0]
    lines = [f"{each.line.span.file}:{each.line.span.line} asks for {each.name}" for each, _ in found if each.line]
    return Finding(
        RULE.name,
        f"answering needs none of {', '.join(shown)}",
        first.span,
        severity="info" if set(named) <= {"plotting", "docs"} else None,
        notes=tuple(lines[:6]),
        hint="ask for them in a requirement file of their own, which only the stage that trains or tests installs",
    )


RULE = Rule(
    name="TrainingPackagesInFinalStage",
    group="ml",
    summary="an image that answers requests has packages for training, notebooks or tests",
    why="""\
What explores, trains and tests is many times larger than what answers: jupyter, matplotlib, wandb, pytest and optuna with all
that they depend on are several hundred megabytes that a service never imports. One requirement file for everything brings them.

Split it: one file for what answering takes, another for training that includes the first (`-r requirements-serve.txt`). The
stage that trains installs the second, the final stage the first.

Told of an image that certainly serves (a port, a server among its packages, a command that says so), for packages of which no
saved model needs the classes; read from the command and from requirement files of the context. Plots alone are advice, and not
told beside streamlit, gradio, dash. Silent for images that train, and for images to work in.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "EXPOSE 8080\n"
        'CMD ["uvicorn", "serve:app", "--port", "8080"]\n',
        files={
            "requirements.txt": "fastapi==0.115.6\nuvicorn==0.34.0\nonnxruntime==1.20.1\njupyterlab==4.3.4\npytest==8.3.4\n",
            "serve.py": "print()\n",
        },
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements-serve.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements-serve.txt\n"
        "COPY serve.py .\n"
        "EXPOSE 8080\n"
        'CMD ["uvicorn", "serve:app", "--port", "8080"]\n',
        files={
            "requirements-serve.txt": "fastapi==0.115.6\nuvicorn==0.34.0\nonnxruntime==1.20.1\n",
            "requirements-train.txt": "-r requirements-serve.txt\njupyterlab==4.3.4\npytest==8.3.4\n",
            "serve.py": "print()\n",
        },
        ignore=".git\n",
    ),
    check=check,
)
