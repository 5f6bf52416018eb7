"""Runs rules over a Dockerfile.

text ─parse_partly─▶ Dockerfile ─reading─▶ Subject ─rules─▶ findings ─directives─▶ without the silenced ones, in order
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from slimstage.diagnostics import Diagnostic, Severity, Span
from slimstage.dockerfile.parse import parse_partly
from slimstage.lint.directives import Silence
from slimstage.lint.finding import Finding
from slimstage.lint.reading import Facts, Reading
from slimstage.lint.refusals import refusals
from slimstage.lint.subject import ContextView
from slimstage.plan.request import PlanRequest
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    from slimstage.context.patterns import Pattern
    from slimstage.dockerfile.instructions import Dockerfile
    from slimstage.lint.rule import Rule
    from slimstage.lint.subject import Subject

RANK: dict[Severity, int] = {"info": 0, "warning": 1, "error": 2}
"""How grave."""
CHECK_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around a Dockerfile. ignore: None where there is no ignore file. context: None where there is none to look at.

    facts: asks for what is known of a base image, by its name.
    """

    ignore: Sequence[Pattern] | None = None
    ignore_name: str = ".dockerignore"
    context: ContextView | None = None
    facts: Facts | None = None


ALONE = Surroundings()


@dataclass(frozen=True, slots=True)
class Checked:
    """findings: in the order of their places. faults: what keeps the file from being read, in order. refusals: why a build
    of what was read would be refused, whatever the base images are.

    fails_build: `check=error=true` is said, and there are findings of BuildKit's rules.
    """

    dockerfile: Dockerfile
    findings: tuple[Finding, ...]
    faults: tuple[Diagnostic, ...] = ()
    refusals: tuple[Diagnostic, ...] = ()
    fails_build: bool = False


def check(
    text: str,
    rules: Iterable[Rule],
    request: PlanRequest,
    *,
    name: str = "Dockerfile",
    around: Surroundings = ALONE,
    asked: Container[str] = (),
    asks_plan: bool = False,
    only_reached: bool = False,
) -> Checked:
    """What the rules find in a Dockerfile. asked: experimental rules that need not be asked for by the file.

    asks_plan: planning is asked what it refuses. only_reached: rules that BuildKit runs in the stages of a build
    (`Rule.asks_reached`) say nothing of the others.

    Of a file with faults they are told by the rules that look at one line (`Rule.reads_lines`), in front of the first
    fault: what they say of a file that is half read could be wrong.
    Raises DockerfileError: the file is too large to be read. UsageError: BUILDKIT_DOCKERFILE_CHECK cannot be read.
    """
    dockerfile, faults = parse_partly(text, name)
    silence = Silence(dockerfile, request.given_args.get(CHECK_ARGUMENT))
    if not dockerfile.stages:
        return Checked(dockerfile, (), (*faults, *silence.faults))
    subject = Reading(
        dockerfile,
        request,
        ignore=around.ignore,
        ignore_name=around.ignore_name,
        context=around.context,
        facts=around.facts,
    )
    chosen = [rule for rule in rules if rule.reads_lines or not faults]
    found: list[Finding] = []
    fails_build = False
    first = min((fault.span.line for fault in faults if fault.span), default=None)
    for rule in chosen:
        is_default = rule.is_default or rule.name in asked
        for finding in rule.check(subject):
            if silence.hides(finding, is_default=is_default) or not _is_before(finding.span, first):
                continue
            if only_reached and rule.asks_reached and not _is_reached(subject, finding.span):
                continue
            found.append(finding if finding.severity else replace(finding, severity=rule.severity))
            fails_build = fails_build or (silence.whole.is_error and rule.group == "buildkit")
    return Checked(
        dockerfile,
        tuple(sorted(found, key=_place)),
        (*faults, *silence.faults),
        () if faults or not asks_plan else refusals(dockerfile, request),
        fails_build,
    )


def _is_reached(subject: Subject, span: Span) -> bool:
    above = [view for view in subject.stages if view.stage.from_.span.line <= span.line]
    return not above or above[-1].is_needed


def _is_before(span: Span, line: int | None) -> bool:
    return line is None or span.line < line


def _place(finding: Finding) -> tuple[int, int, str, str]:
    return finding.span.line, finding.span.column, finding.rule, finding.message
