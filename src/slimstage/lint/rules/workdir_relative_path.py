"""WorkdirRelativePath: the first WORKDIR is an absolute path."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Workdir
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject


def check(subject: Subject) -> Iterator[Finding]:
    has_set: dict[StageView, bool] = {}
    for view in subject.stages:
        is_set = bool(view.parent and has_set.get(view.parent))
        for each in (*view.triggers, *view.instructions):
            if not isinstance(each, Workdir):
                continue
            if not is_set and (path := _relative(subject, view, each)) is not None:
                message = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                hint = f"write WORKDIR /{path.lstrip('./')}"
                yield Finding("WorkdirRelativePath", message, narrow.arguments(subject, each), hint=hint)
            is_set = True
        has_set[view] = is_set


def _relative(subject: Subject, view: StageView, workdir: Workdir) -> str | None:
    seen = subject.seen(view, workdir)
    found = look_up(workdir.path, seen.values, subject.dockerfile.escape)
    if found.text is None or found.text.startswith("/"):
        return None
    if workdir.path.startswith("$") and found.unset - seen.declared:
        return None  # the base image may set it, and to an absolute path
    return found.text


RULE = Rule(
    name="WorkdirRelativePath",
    group="buildkit",
    summary="relative workdir without an absolute workdir declared within the build can have unexpected results if the base \
image changes",
    why="""\
A relative path continues the working directory of the base image, which the file does not show and a new version of the base
may change. Once a stage has an absolute WORKDIR, relative ones after it are clear.
""",
    bad=Example("FROM debian:12\nWORKDIR app\n"),
    good=Example("FROM debian:12\nWORKDIR /app\nWORKDIR data\n"),
    check=check,
    asks_reached=True,
)
