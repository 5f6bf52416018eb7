"""`slimstage check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from slimstage.cli.check_job import Job, rule_names
from slimstage.cli.check_output import (
    FORMATS,
    known_rule,
    print_remarks,
    rules_document,
    rules_table,
    summary,
)
from slimstage.cli.checking import CheckedFile, checked_files
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.terminal import Paint, has_colour
from slimstage.cli.values import one_of
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.errors import UsageError
from slimstage.lint import catalogue
from slimstage.lint.engine import RANK, Checked
from slimstage.lint.finding import Finding
from slimstage.lint.formats.told import Told, told

_EXAMPLES = """\
slimstage check                              the Dockerfile here
slimstage check --fix api/Dockerfile         mend what can be mended without asking
slimstage check --context . docker/*.Dockerfile
slimstage check --format sarif > check.sarif
slimstage check --image app                  with what the image that was built need not have
slimstage check --rule ml --rule bytes       two groups of rules
slimstage check --explain UnusedStage        why, and what to do\
"""
_WHAT, _WHICH, _SHOW = "What is checked", "Which rules", "What happens with what is found"
_SEVERITIES = ("info", "warning", "error")


@verb("check", examples=_EXAMPLES)
@click.argument("dockerfiles", metavar="[DOCKERFILE]...", nargs=-1)
@option("-f", "--file", "files", multiple=True, metavar="PATH", group=_WHAT, help="A further Dockerfile; - is stdin.")
@option("--context", metavar="DIR", group=_WHAT, help="The build context [default: where the Dockerfile is].")
@option("--target", metavar="STAGE", group=_WHAT, help="The stage that would be built [default: the last].")
@option(
    "--build-arg",
    multiple=True,
    metavar="NAME[=VALUE]",
    group=_WHAT,
    help="Set an ARG; NAME alone takes the environment's value.",
)
@option("--image", metavar="IMAGE", group=_WHAT, help="Also what need not be in that image, built from the file.")
@option("--platform", multiple=True, metavar="OS/ARCH", group=_WHAT, help="What is built for [default: this host].")
@option("--rule", multiple=True, metavar="RULE", group=_WHICH, help="Only this rule or group; may be repeated.")
@option("--skip", multiple=True, metavar="RULE", group=_WHICH, help="Not this rule or group; may be repeated.")
@option("--list", "lists", is_flag=True, group=_WHICH, help="List the rules.")
@option("--explain", metavar="RULE", group=_WHICH, help="Show a rule's page: why, and what to do.")
@option(
    "--severity", metavar="LOWEST", group=_SHOW, help="Show what is at least: info, warning or error [default: info]."
)
@option(
    "--fail-on",
    metavar="LOWEST",
    group=_SHOW,
    help="End with status 1 for what is at least: info, warning, error; or never [default: warning].",
)
@option("--fix", is_flag=True, group=_SHOW, help="Mend the files in place, where that is safe without asking.")
@option("--diff", is_flag=True, group=_SHOW, help="Print what --fix would change, and change nothing.")
@option("--format", "form", metavar="FORMAT", group=_SHOW, help="text, json, sarif, github or junit [default: text].")
@json_option
@pass_session
def command(session: Session, /, dockerfiles: tuple[str, ...], **given: Any) -> int:
    """Find faults and savings in a Dockerfile.

    DOCKERFILE is a file, a directory that holds one, or - for stdin; without one it is the Dockerfile here. Nothing is built
    and nobody is asked: no registry, and no store without --image. A slimstage.toml beside the Dockerfile may have a section
    [check].
    """
    if given["lists"] or given["explain"] is not None:
        return _tell_of_rules(given)
    kind = _format(given)
    files = checked_files((*dockerfiles, *given["files"]), given["context"])
    if given["fix"] or given["diff"]:
        _refuse_stdin(files, "--fix" if given["fix"] else "--diff")
    jobs = [Job.of(file, given) for file in files]
    if given["diff"]:
        from slimstage.cli.check_fixes import print_diffs

        return print_diffs(jobs)
    if given["fix"]:
        from slimstage.cli.check_fixes import fix_files

        jobs = fix_files(jobs)
    return _told(session, jobs, kind, given["image"])


def _format(given: dict[str, Any]) -> str:
    kind = given["form"] or ("json" if given["as_json"] else "text")
    if given["as_json"] and kind != "json":
        raise UsageError(f"--json and --format={kind} ask for different things", hint="give one of them")
    if given["fix"] and given["diff"]:
        raise UsageError("--fix changes files and --diff does not", hint="give one of them")
    return one_of(kind, FORMATS, "--format")


def _refuse_stdin(files: Sequence[CheckedFile], flag: str) -> None:
    if any(file.path is None for file in files):
        raise UsageError(f"{flag}: stdin is no file that could be changed", hint="name the file")


def _tell_of_rules(given: dict[str, Any]) -> int:
    if given["explain"] is not None:
        from slimstage.lint.pages import page

        (name, *_) = rule_names(given["explain"], "--explain")
        rule = known_rule(given["explain"])
        if rule is None:
            raise UsageError(f'"{given["explain"]}" is a group of rules', hint=f"name one of them, for example {name}")
        sys.stdout.write(page(rule))
        return 0
    rules = [*catalogue.rules()]
    if given["as_json"]:
        print_json(rules_document(rules))
    else:
        sys.stdout.write(rules_table(rules) + "\n")
    return 0


def _told(session: Session, jobs: Sequence[Job], kind: str, image: str | None) -> int:
    remarks: list[Told] = []
    status = hidden = 0
    for job in jobs:
        checked = job.check()
        if image is not None and not checked.faults:
            from slimstage.cli.check_image import with_image

            checked = with_image(session, checked, image)
        shown = [each for each in checked.findings if RANK[each.severity or "warning"] >= job.shown]
        hidden += len(checked.findings) - len(shown)
        remarks += told(job.file.name, checked, shown)
        status = max(status, _status(checked, job.failing))
    names = [job.file.name for job in jobs]
    print_remarks(kind, names, remarks, Paint(has_colour(sys.stdout, session.colour)))
    if kind == "text":
        note(summary(names, remarks, hidden))
    return status


def _status(checked: Checked, failing: int) -> int:
    """2: it cannot be built as it is. 1: something is found that may not be."""
    if checked.faults or checked.refusals:
        return 2
    return int(checked.fails_build or any(_rank(each) >= failing for each in checked.findings))


def _rank(finding: Finding) -> int:
    return RANK[finding.severity or "warning"]
