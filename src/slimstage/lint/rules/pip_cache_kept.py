"""pip's cache of downloads stays in a layer of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Command, Install
from slimstage.lint.commands.python import runs_pip
from slimstage.lint.finding import Finding, Fix
from slimstage.lint.image_runs import (
    cleans,
    has_variable,
    head_span,
    image_runs,
    is_mounted,
    is_root,
    mount_targets,
    says,
    user_at,
)
from slimstage.lint.rule import Example, Rule
from slimstage.lint.run_edits import action_word, behind_word, with_mounts
from slimstage.lint.subject import StageView, Subject

_ROOTS_CACHE = "/root/.cache/pip"
_ACTIONS = ("install", "add", "wheel", "download")


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in image_runs(subject):
        commands = subject.commands(view, run)
        install = next((each for each in commands if _keeps(each)), None)
        if isinstance(install, Install) and not _is_kept_out(subject, view, run, install, commands):
            yield Finding(
                RULE.name,
                f'"pip {install.action}" leaves its downloads in this layer',
                head_span(install.invocation, _words(install)),
                hint="mount a cache over them: --mount=type=cache,target=/root/.cache/pip, or give --no-cache-dir",
                fix=_fix(subject, view, run, commands),
            )


def _words(install: Install) -> int:
    """How many words up to the action, `-m pip install` included."""
    shapes = install.invocation.texts()
    return next((at + 1 for at, shape in enumerate(shapes) if shape == "install"), 1)


def _keeps(command: Command) -> bool:
    """It downloads by pip, and is not told to keep nothing."""
    if not isinstance(command, Install) or command.manager != "pip" or command.action not in _ACTIONS:
        return False
    if not runs_pip(command.invocation):
        return False
    options = command.options
    if options.no_cache or options.no_index or not (command.packages or command.files):
        return False
    return not (options.no_deps and not command.files and all(each.kind == "path" for each in command.packages))


def _is_kept_out(subject: Subject, view: StageView, run: Run, install: Install, commands: Sequence[Command]) -> bool:
    if has_variable(subject, view, run, "PIP_NO_CACHE_DIR", "PIP_CONFIG_FILE") or says(
        subject, view, "no-cache-dir true", "pip.conf", "no-cache-dir = "
    ):
        return True
    if cleans(commands, "pip", behind=install.invocation):
        return True
    targets = mount_targets(subject, view, run)
    if any(target.endswith(("/.cache", "/.cache/pip")) for target in targets):
        return True
    place = install.options.cache_dir or subject.environment(view, run).get("PIP_CACHE_DIR")
    if place is not None:
        return (
            not place.startswith("/")
            or is_mounted(targets, place)
            or place.startswith("/tmp/")
            or place in _removed(commands)
        )
    if has_variable(subject, view, run, "PIP_CACHE_DIR", "XDG_CACHE_HOME"):
        return True
    return is_mounted(targets, _ROOTS_CACHE)


def _removed(commands: Sequence[Command]) -> set[str]:
    return {
        word.shape.rstrip("/*") for each in commands if each.invocation.name == "rm" for word in each.invocation.words
    }


def _fix(subject: Subject, view: StageView, run: Run, commands: Sequence[Command]) -> Fix | None:
    installs = [each for each in commands if isinstance(each, Install) and _keeps(each)]
    is_plain = all(not {"sudo", "su", "gosu", "su-exec"} & {*each.invocation.wrappers} for each in installs)
    has_home = has_variable(subject, view, run, "HOME", "XDG_CACHE_HOME", "PIP_CACHE_DIR")
    if (
        is_plain
        and not has_home
        and is_root(user_at(subject, view, run))
        and not any(i.options.cache_dir for i in installs)
    ):
        edit = with_mounts(subject, run, f"type=cache,target={_ROOTS_CACHE}")
        return Fix("mount a cache over pip's downloads", (edit,)) if edit else None
    edits = []
    for each in installs:
        word = action_word(each.invocation, each.action)
        edit = behind_word(run, word, " --no-cache-dir") if word else None
        if edit is None:
            return None
        edits.append(edit)
    return Fix("tell pip to keep no downloads", tuple(edits))


RULE = Rule(
    name="PipCacheKept",
    group="bytes",
    summary="pip leaves its downloads in a layer of the image",
    why="""\
pip keeps every wheel it downloads under `~/.cache/pip`: of a stack with a framework that is about as much again as what is
installed. Removing it in a later RUN takes nothing out of the layer that has it.

A cache mount keeps the downloads for the next build and out of the image. `--no-cache-dir` or `PIP_NO_CACHE_DIR=1` keep them
out as well, and every build downloads all again. The fix mounts a cache where pip runs as root; elsewhere it adds the option.

Silent for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    check=check,
    has_fix=True,
)
