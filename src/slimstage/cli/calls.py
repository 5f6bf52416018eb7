"""`build --check` and `build --call`: what the Dockerfile alone answers, in the words and forms of `docker build`.

Source: Docker's reference of `docker buildx build --call`; buildx commands/build.go (printResult).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slimstage.cli.failures import error_text
from slimstage.cli.show import table
from slimstage.cli.terminal import Paint
from slimstage.cli.values import one_of, parse_bool
from slimstage.context.open import open_context
from slimstage.diagnostics import Diagnostic
from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError, UsageError
from slimstage.lint import catalogue
from slimstage.lint.engine import Checked, Surroundings, check
from slimstage.lint.outline import Outline, Target, outline, targets
from slimstage.lint.reading import Reading
from slimstage.lint.rule import Rule
from slimstage.oci.descriptor import host_platform
from slimstage.plan.request import PlanRequest
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.build.request import BuildRequest

METHODS = ("build", "check", "lint", "outline", "targets")


@dataclass(frozen=True, slots=True)
class Call:
    """`--call METHOD[,format=json][,ignorestatus=true]`."""

    method: str
    is_json: bool = False
    ignores_status: bool = False


def parse_call(text: str) -> Call:
    """Raises UsageError."""
    method, *fields = text.split(",")
    one_of(method, METHODS, "--call")
    is_json = ignores = False
    for field in fields:
        key, _, value = field.partition("=")
        if key == "format":
            is_json = one_of(value, ("text", "json"), "--call format") == "json"
        elif key == "ignorestatus":
            ignores = parse_bool(value, "--call ignorestatus")
        else:
            raise UsageError(f'--call: "{field}" is not known', hint="write --call METHOD,format=json")
    return Call("check" if method == "lint" else method, is_json, ignores)


def call(request: BuildRequest, flags: Mapping[str, Any], paint: Paint) -> int:
    """Answers on stdout; returns the exit status. Raises UsageError, ContextError, DockerfileError."""
    asked = parse_call(flags["call"]) if flags["call"] is not None else Call("check")
    if flags["check"] and asked.method != "check":
        raise UsageError("--check and --call ask for different things", hint="give one of them")
    if asked.method == "build":
        raise UsageError("--call=build is what a build does anyway", hint="leave it out")
    if flags["as_json"]:
        asked = Call(asked.method, True, asked.ignores_status)
    with open_context(request) as opened:
        text, name, ignored = opened.dockerfile_text, opened.dockerfile_name, opened.context.ignored
    planned = PlanRequest(
        build_platform=host_platform(),
        target=request.target,
        platform=request.platform,
        build_args=request.build_args,
        contexts=request.named_contexts,
        network=request.network,
        entitlements=request.entitlements,
    )
    if asked.method == "check":
        return _check(text, name, planned, Surroundings(ignored.patterns if ignored else None), asked, paint)
    subject = Reading(parse(text, name), planned)
    if asked.method == "targets":
        _print_targets(targets(subject), asked)
    else:
        _print_outline(outline(subject), asked)
    return 0


# Checks -------------------------------------------------------------------------------------------------------


def buildkit_rules() -> list[Rule]:
    return [catalogue.rule(name) for name in catalogue.NAMES["buildkit"]]


def _check(text: str, name: str, request: PlanRequest, around: Surroundings, asked: Call, paint: Paint) -> int:
    from slimstage.lint.formats import buildkit

    rules = buildkit_rules()
    checked = check(text, rules, request, name=name, around=around, asks_plan=True, only_reached=bool(request.target))
    count = len(checked.findings)
    faults = (*checked.faults, *checked.refusals)
    if asked.is_json:
        _print_json(buildkit.document(checked, rules))
    else:
        if count or not faults:
            sys.stdout.write(buildkit.count_line(count) + "\n")
        sys.stdout.write(buildkit.text(checked, rules))
        for fault in faults:
            sys.stdout.write("\n" + error_text(fault, paint) + "\n")
    if faults:
        return 2
    return int(count > 0 and not asked.ignores_status)


def violation(checked: Checked) -> DockerfileError:
    """The error that findings are where a file says `check=error=true`."""
    rules = ", ".join(sorted({each.rule for each in checked.findings}))
    found = [
        Diagnostic(each.rule, each.message, each.span, each.notes, each.hint, "error") for each in checked.findings
    ]
    last = Diagnostic(
        "check-violated", f"lint violation found for rules: {rules}", hint='the file says "check=error=true"'
    )
    return DockerfileError.of([*found, last])


# Targets and outline ------------------------------------------------------------------------------------------


def _print_targets(found: Sequence[Target], asked: Call) -> None:
    if asked.is_json:
        _print_json({"targets": [_without_empty(_target(each)) for each in found]})
        return
    rows = [
        (_shown_name(each.name, each.is_default), each.description) for each in found if each.name or each.is_default
    ]
    sys.stdout.write(table(("TARGET", "DESCRIPTION"), rows) + "\n")


def _shown_name(name: str, is_default: bool) -> str:
    return (f"{name} (default)" if name else "(default)") if is_default else name


def _target(each: Target) -> dict[str, Any]:
    return {
        "name": each.name,
        "default": each.is_default,
        "description": each.description,
        "base": each.base,
        "platform": each.platform,
        "location": _location(each.span.line, each.span.end_line),
    }


def _print_outline(found: Outline, asked: Call) -> None:
    if asked.is_json:
        _print_json(_outline(found))
        return
    parts = []
    if found.name or found.description:
        lines = [f"TARGET:      {found.name or '(default)'}"]
        if found.description:
            lines.append(f"DESCRIPTION: {found.description}")
        parts.append("\n".join(lines))
    if found.args:
        parts.append(
            table(("BUILD ARG", "VALUE", "DESCRIPTION"), [(a.name, a.value, a.description) for a in found.args])
        )
    for kind, title in (("secret", "SECRET"), ("ssh", "SSH")):
        rows = [(each.name, "true" if each.is_required else "") for each in found.wanted if each.kind == kind]
        if rows:
            parts.append(table((title, "REQUIRED"), rows))
    sys.stdout.write("\n\n".join(parts) + "\n" if parts else "")


def _outline(found: Outline) -> dict[str, Any]:
    return _without_empty(
        {
            "name": found.name,
            "description": found.description,
            "args": [
                _without_empty(
                    {
                        "name": each.name,
                        "description": each.description,
                        "value": each.value,
                        "location": _location(each.span.line, each.span.end_line),
                    }
                )
                for each in found.args
            ],
            **{
                kind: [
                    _without_empty(
                        {
                            "name": each.name,
                            "required": each.is_required,
                            "location": _location(each.span.line, each.span.end_line),
                        }
                    )
                    for each in found.wanted
                    if each.kind == kind.removesuffix("s")
                ]
                for kind in ("secrets", "ssh")
            },
        }
    )


def _location(line: int, end_line: int) -> dict[str, Any]:
    return {"ranges": [{"start": {"line": line}, "end": {"line": end_line}}]}


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value not in ("", False, [], None)}


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True) + "\n")
