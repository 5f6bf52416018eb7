"""JSONArgsRecommended: CMD and ENTRYPOINT are JSON arrays, so that signals reach the program."""

from __future__ import annotations

import json
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Shell
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_PLAIN = pattern(r"[A-Za-z0-9_./:@%+,=-]+")
_SHELLS_OWN = pattern(
    r"[.:]|alias|bg|break|case|cd|command|continue|eval|exit|export|fg|for|function|getopts|hash|if|jobs|read|readonly|return|"
    r"set|shift|source|time|times|trap|type|ulimit|umask|unalias|unset|until|wait|while"
)


def check(subject: Subject) -> Iterator[Finding]:
    has_shell: dict[StageView, bool] = {}
    for view in subject.stages:
        facts = subject.facts(view)
        is_set = bool(view.parent and has_shell.get(view.parent)) or bool(facts and facts.has_shell)
        for each in (*view.triggers, *view.instructions):
            if isinstance(each, Shell):
                is_set = True
            elif isinstance(each, Cmd | Entrypoint) and each.command.form == "shell" and not is_set:
                name = each.text.split(None, 1)[0]
                yield Finding(
                    "JSONArgsRecommended",
                    f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals",
                    narrow.arguments(subject, each),
                    fix=_fix(subject, view, each),
                )
        has_shell[view] = is_set


def _fix(subject: Subject, view: StageView, instruction: Cmd | Entrypoint) -> Fix | None:
    node = subject.node(instruction)
    words = instruction.command.words[0].split() if instruction.command.words else []
    if words[:1] == ["exec"]:
        del words[0]
    if node is None or not words or not all(map(_PLAIN.fullmatch, words)):
        return None
    if _SHELLS_OWN.fullmatch(words[0]) or "=" in words[0] or _changes_the_other(view, instruction):
        return None
    span = node.line.span(node.rest.start, node.rest.end)
    if span.line != span.end_line:
        return None  # comments may stand between its lines
    return Fix("write it as a JSON array", (Edit(span, json.dumps(words)),))


def _changes_the_other(view: StageView, instruction: Cmd | Entrypoint) -> bool:
    """CMD is given to ENTRYPOINT as arguments, which a shell in between drops: with both there, a fix is no small change."""
    if isinstance(instruction, Cmd):
        return any(
            isinstance(each, Entrypoint) for below in view.chain() for each in (*below.triggers, *below.instructions)
        )
    above = [reader for reader, by in view.readers if by is reader.stage.from_]
    return any(isinstance(each, Cmd) for stage in (view, *above) for each in (*stage.triggers, *stage.instructions))


RULE = Rule(
    name="JSONArgsRecommended",
    group="buildkit",
    summary="JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    why="""\
In shell form the program is a child of `/bin/sh -c`. The shell is process 1, gets the SIGTERM of `docker stop` and does not
pass it on, so the container is killed ten seconds later, without a chance to end its requests. A JSON array starts the program
itself, and needs no shell in the image.

A SHELL instruction in front says that the shell is meant; then nothing is reported.
""",
    bad=Example("FROM debian:12\nCMD python3 -m http.server 8000\n"),
    good=Example('FROM debian:12\nCMD ["python3", "-m", "http.server", "8000"]\n'),
    check=check,
    asks_reached=True,
    has_fix=True,
)
