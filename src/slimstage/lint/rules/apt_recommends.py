"""apt installs what packages only recommend."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import Install
from slimstage.lint.finding import Finding
from slimstage.lint.image_runs import head_span, image_runs, says
from slimstage.lint.knowledge import SystemTool, system_tool
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import size_text


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in image_runs(subject):
        if says(subject, view, "Install-Recommends", "Install-recommends", 'no-install-recommends";'):
            continue
        for command in subject.commands(view, run):
            if not isinstance(command, Install) or command.manager != "apt" or command.action != "install":
                continue
            if command.options.no_recommends or not any(each.kind == "name" for each in command.packages):
                continue
            heaviest = max(filter(None, (_measured(each.name) for each in command.packages)), key=_cost, default=None)
            notes: tuple[str, ...] = ()
            if heaviest is not None:
                with_all = size_text(heaviest.recommended_bytes or 0)
                without = size_text(heaviest.size_bytes or 0)
                notes = (f"{heaviest.name} alone: {with_all} with what it recommends, {without} without (Debian 12)",)
            yield Finding(
                RULE.name,
                "apt installs what these packages only recommend, too",
                head_span(command.invocation),
                severity="warning" if heaviest is not None and _cost(heaviest) >= _MUCH else "info",
                notes=notes,
                hint="give --no-install-recommends, and name what of it is needed (often ca-certificates)",
            )


_MUCH = 20_000_000


def _measured(name: str) -> SystemTool | None:
    found = system_tool("debian", name)
    return found if found is not None and found.recommended_bytes is not None else None


def _cost(tool: SystemTool) -> int:
    return (tool.recommended_bytes or 0) - (tool.size_bytes or 0)


RULE = Rule(
    name="AptRecommends",
    group="bytes",
    summary="apt installs what packages only recommend",
    why="""\
Without `--no-install-recommends`, apt installs what each package recommends, and what that recommends. Of `libgomp1` that is
2 MB; `python3-pip` recommends a compiler and grows from 12 to 421 MB; `build-essential`, `python3-dev` and `git` together from
369 to 467 MB (Debian 12, measured).

There is no fix by itself, because some of it may be needed: `git` and `curl` recommend `ca-certificates`, without which they
reach no HTTPS. Name what is needed.

A warning where a package is named that is known to recommend much, else advice. Silent where a file of apt's configuration
turns it off, and for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM debian:12-slim\n"
        "RUN apt-get update && apt-get install -y python3-pip && rm -rf /var/lib/apt/lists/*\n"
        "USER 10001\n"
        'CMD ["python3", "-m", "pip", "--version"]\n'
    ),
    good=Example(
        "FROM debian:12-slim\n"
        "RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 python3 && rm -rf /var/lib/apt/lists/*\n"
        "USER 10001\n"
        'CMD ["python3", "-m", "site"]\n'
    ),
    check=check,
)
