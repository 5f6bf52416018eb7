"""apt's lists of packages stay in a layer of the image."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Update
from slimstage.lint.finding import Finding, Fix
from slimstage.lint.image_runs import cleans, head_span, image_runs, is_mounted, mount_targets
from slimstage.lint.rule import Example, Rule
from slimstage.lint.run_edits import appended
from slimstage.lint.subject import StageView, Subject

_LISTS = "/var/lib/apt/lists"
_REMOVE = "rm -rf /var/lib/apt/lists/*"


def check(subject: Subject) -> Iterator[Finding]:
    runs = [*image_runs(subject)]
    for at, (view, run) in enumerate(runs):
        commands = subject.commands(view, run)
        update = next((each for each in commands if isinstance(each, Update) and each.manager == "apt"), None)
        if update is None or cleans(commands, "apt-lists", behind=update.invocation):
            continue
        if is_mounted(mount_targets(subject, view, run), _LISTS):
            continue
        later = _cleaned_later(subject, runs[at + 1 :])
        notes = (f"line {later} removes them, which takes nothing out of this layer",) if later else ()
        edit = appended(subject, view, run, _REMOVE) if _is_last_use(subject, view, run, update) else None
        yield Finding(
            RULE.name,
            "the package lists that apt fetches stay in this layer",
            head_span(update.invocation),
            notes=notes,
            hint=f"update, install and {_REMOVE} in one RUN, or mount caches over /var/lib/apt and /var/cache/apt",
            fix=Fix("remove the lists in the same RUN", (edit,)) if edit else None,
        )


def _is_last_use(subject: Subject, view: StageView, run: Run, update: Update) -> bool:
    """The lists are used behind the update in this RUN, and nothing behind it needs them."""
    commands = subject.commands(view, run)
    behind = commands[commands.index(update) :]
    if not any(isinstance(each, Install) and each.manager == "apt" for each in behind):
        return False
    for other in subject.stages:
        if view not in other.chain():
            continue
        for instruction in (*other.triggers, *other.instructions):
            if not isinstance(instruction, Run) or instruction is run:
                continue
            if other is view and instruction.span.line < run.span.line:
                continue
            kinds = [each for each in subject.commands(other, instruction) if isinstance(each, Install | Update)]
            first = next((each for each in kinds if each.manager == "apt"), None)
            if isinstance(first, Install):
                return False
    return True


def _cleaned_later(subject: Subject, runs: list[tuple[StageView, Run]]) -> int | None:
    for view, run in runs:
        if cleans(subject.commands(view, run), "apt-lists"):
            return run.span.line
    return None


RULE = Rule(
    name="AptListsKept",
    group="bytes",
    summary="apt's lists of packages stay in a layer of the image",
    why="""\
`apt-get update` writes the lists of all packages to `/var/lib/apt/lists`: 19 MB on Debian 12. They are of use to the
`apt-get install` behind it and to nothing else. A later RUN that removes them takes nothing out of the layer that has them.

The fix removes them at the end of the same RUN. Mounts over `/var/lib/apt` and `/var/cache/apt` keep lists and packages for
the next build as well; then nothing has to be removed.

Silent for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM debian:12-slim\n"
        "RUN apt-get update \\\n"
        "    && apt-get install -y --no-install-recommends libgomp1\n"
        "USER 10001\n"
        'CMD ["/bin/true"]\n'
    ),
    good=Example(
        "FROM debian:12-slim\n"
        "RUN apt-get update \\\n"
        "    && apt-get install -y --no-install-recommends libgomp1 \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
        "USER 10001\n"
        'CMD ["/bin/true"]\n'
    ),
    check=check,
    has_fix=True,
)
