"""MultipleInstructionsDisallowed: one CMD, one ENTRYPOINT, one HEALTHCHECK a stage."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Healthcheck, Instruction
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        earlier: dict[type, Instruction] = {}
        for each in (*view.triggers, *view.instructions):
            if not isinstance(each, Cmd | Entrypoint | Healthcheck):
                continue
            before = earlier.get(type(each))
            if before is not None:
                name = each.text.split(None, 1)[0]
                # The earlier one is shown, because that one is of no use; BuildKit skips by what is above the later.
                yield Finding(
                    "MultipleInstructionsDisallowed",
                    f"Multiple {name} instructions should not be used in the same stage because only the last one will be "
                    "used",
                    narrow.keyword(subject, before),
                    notes=(f"line {each.span.line} is used instead",),
                    cause=each.span,
                )
            earlier[type(each)] = each


RULE = Rule(
    name="MultipleInstructionsDisallowed",
    group="buildkit",
    summary="multiple instructions of the same type should not be used in the same stage",
    why="""\
Of several CMD, ENTRYPOINT or HEALTHCHECK instructions in a stage only the last counts. The others are left-overs, or a mistake
about what they do: they do not run one after another.
""",
    bad=Example('FROM debian:12\nCMD ["one"]\nCMD ["two"]\n'),
    good=Example('FROM debian:12\nCMD ["two"]\n'),
    check=check,
    asks_reached=True,
)
