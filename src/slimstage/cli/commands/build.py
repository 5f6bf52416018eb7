"""`slimstage build`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from slimstage.build.request import BuildRequest, BuildResult, WarningResult
from slimstage.cli.build_options import IGNORED, REFUSED, build_options, foreign_flags
from slimstage.cli.build_request import make_request
from slimstage.cli.build_warnings import BuildWarnings, warnings_text
from slimstage.cli.outputs import check_outputs
from slimstage.cli.program import Session
from slimstage.cli.progress.choose import choose_kind, make_progress
from slimstage.cli.settings import Settings, find_settings, read_settings
from slimstage.cli.show import note, plain, print_json
from slimstage.cli.sign_pushed import signatures_of, signer_of
from slimstage.cli.terminal import Paint, has_colour, is_terminal
from slimstage.cli.values import one_of
from slimstage.cli.verb import pass_session, verb
from slimstage.diagnostics import Diagnostic
from slimstage.errors import UsageError
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.plan.render import PlanFormat
    from slimstage.report.of_build import BuildRecorder
    from slimstage.transfer.signatures import Signer

PLAN_FORMATS = ("text", "json", "dot", "mermaid")

_EXAMPLES = """\
slimstage build -t iris .                              build the Dockerfile here, name the image
slimstage build --target test .                        stop at the stage "test"
slimstage build --plan --format mermaid .              show the graph, build nothing
slimstage build --check .                              BuildKit's checks alone (see: slimstage check)
slimstage build -o dist --target wheel .               write that stage's files to the directory dist
slimstage build -o type=oci,dest=iris.tar -t iris:1 .  write an OCI archive
slimstage build --secret id=token,src=token.txt .      a secret that no layer holds
slimstage build --build-context python:3.11-slim='debian://bookworm?include=python3' .\
"""


@verb("build", examples=_EXAMPLES)
@build_options
@pass_session
def command(session: Session, /, context: str | None, **given: Any) -> int:
    """Build an image from a Dockerfile.

    CONTEXT is a directory, a tar file, a git or http URL, or - for a tar or a Dockerfile on stdin. A slimstage.toml
    beside the Dockerfile, or in the context, gives defaults for these options and names contexts.
    """
    _check_foreign(given)
    if context is None:
        raise UsageError("the context is missing", hint="to build what is here: slimstage build .")
    settings = _settings(given["file"], context)
    request = make_request(context, given, settings, os.environ)
    if given["call"] is not None or given["check"]:
        from slimstage.cli.calls import call  # what is asked of the file alone

        return call(request, given, Paint(has_colour(sys.stdout, session.colour)))
    if given["plan_format"] is not None or given["plan"]:
        _print_plan(session, request, given)
        return 0
    is_quiet, as_json = given["quiet"], given["as_json"]
    if is_quiet and as_json:
        raise UsageError("--quiet and --json both print to stdout", hint="give one of them")
    check_outputs(request.outputs, stdout_is_terminal=is_terminal(sys.stdout), stdout_is_taken=is_quiet or as_json)
    _check_files(given)
    if given["report"] and request.outputs and not any(each.kind == "image" for each in request.outputs):
        raise UsageError(
            "--report is about an image of the store, and this build writes none", hint="add --output type=image"
        )
    signer = _signer(request, given["sign_key"])  # a bad key or password is known before anything is built
    progress_word = given["progress"]
    if progress_word is None and "progress" in settings.build:
        progress_word = settings.build["progress"].value
    kind = choose_kind(progress_word, sys.stderr, is_quiet=is_quiet)
    warnings = BuildWarnings()
    recorder = _recorder(given)
    result = _build(session, request, kind, warnings, recorder)
    pushed = [name for output in result.outputs for name in output.pushed]
    signatures = signatures_of(session, request.registries, pushed, signer)
    if given["load"]:
        _load(session, result)
    shows = kind in ("plain", "tty")
    found = warnings.found(session.store()) if shows or as_json else ()
    _tell(session, replace(result, warnings=(*result.warnings, *found)), signatures, given, shows_summary=shows)
    if found and shows:
        _tell_warnings(session, request, found)
    if recorder is not None:
        from slimstage.cli.reporting import write_build_report

        write_build_report(session, result, recorder, given["report"], context, given)
    return 0


def _check_foreign(given: dict[str, Any]) -> None:
    ignored, refused = foreign_flags(given)
    if refused:
        raise UsageError(f"{refused[0]} is not offered", code="unsupported-option", hint=REFUSED[refused[0]])
    for flag in ignored:
        note(f"note: {flag} changes nothing here: {IGNORED[flag]}")


def _settings(dockerfile: str | None, context: str) -> Settings:
    from slimstage.cli.registries import registries
    from slimstage.values import replace

    path = find_settings(dockerfile, context)
    settings = read_settings(path) if path else Settings()
    return replace(settings, registries=registries(settings.registries))


def _signer(request: BuildRequest, key: str | None) -> Signer | None:
    if key is not None and not any(output.pushes for output in request.outputs):
        raise UsageError("--sign-key signs what is pushed, and nothing is", hint="add --push, or use: slimstage sign")
    return signer_of(key)


def _print_plan(session: Session, request: BuildRequest, given: dict[str, Any]) -> None:
    wanted = given["plan_format"] or ("json" if given["as_json"] else "text")
    chosen = cast("PlanFormat", one_of(wanted, PLAN_FORMATS, "--format"))
    if given["as_json"] and chosen != "json":
        raise UsageError(f"--json and --format={chosen} ask for different things", hint="give one of them")

    from slimstage.build.builder import plan
    from slimstage.plan.render import render_plan

    store = session.store()
    graph, cached = plan(request, store)
    sys.stdout.write(render_plan(graph, cached, chosen).rstrip("\n") + "\n")


def _check_files(given: dict[str, Any]) -> None:
    from slimstage.cli.build_files import check_writable

    for name, flag in (("iidfile", "--iidfile"), ("metadata_file", "--metadata-file"), ("summary", "--summary"),
                       ("report", "--report")):  # fmt: skip
        if given[name]:
            check_writable(given[name], flag)


def _recorder(given: dict[str, Any]) -> BuildRecorder | None:
    """Keeps what `--report` tells of the build."""
    if not given["report"]:
        return None
    from slimstage.report.of_build import BuildRecorder

    return BuildRecorder()


def _build(
    session: Session, request: BuildRequest, kind: Any, warnings: BuildWarnings, recorder: BuildRecorder | None
) -> BuildResult:
    from slimstage.build.builder import build
    from slimstage.cli.interrupts import cancelled_by_signals
    from slimstage.cli.secrets import leave_no_core_files

    if request.secrets or request.ssh:
        leave_no_core_files()
    from slimstage.events import both

    cancel = threading.Event()
    store = session.store()
    progress = make_progress(kind, sys.stderr, session.colour)
    if "GITHUB_ACTIONS" in os.environ:
        from slimstage.cli.github import annotated

        progress = annotated(progress, sys.stderr, request.dockerfile or "Dockerfile")
    try:
        with cancelled_by_signals(cancel):
            listener = both(progress, recorder) if recorder else progress
            return build(request, store, listener, cancel, warnings.look)
    finally:
        progress.close()


def _tell_warnings(session: Session, request: BuildRequest, found: Sequence[WarningResult]) -> None:
    note("\n" + warnings_text(found, Paint(has_colour(sys.stderr, session.colour))))
    if "GITHUB_ACTIONS" in os.environ:
        from slimstage.cli.github import annotation, is_github

        for each in found if is_github() else ():
            remark = Diagnostic(each.code, each.message, severity="warning")
            note(annotation(remark, request.dockerfile or "Dockerfile", each.line))


def _load(session: Session, result: BuildResult) -> None:
    from slimstage.cli.load_into import engine, load_into

    program = engine()
    if program is None:
        note("note: neither Docker nor Podman is here: the image is in slimstage's store")
        return
    load_into(program, session.store(), result.image_id, result.tags)
    note(f"loaded into {program}")


def _tell(
    session: Session,
    result: BuildResult,
    signatures: dict[str, dict[str, Any]],
    given: dict[str, Any],
    *,
    shows_summary: bool,
) -> None:
    from slimstage.cli.build_files import write_image_id, write_metadata

    if given["iidfile"]:
        write_image_id(given["iidfile"], result)
    if given["metadata_file"]:
        write_metadata(given["metadata_file"], result)
    if given["summary"]:
        from slimstage.cli.step_summary import append_summary

        append_summary(given["summary"], result)
    if given["explain"]:
        from slimstage.cli.summary import explain_text

        note(explain_text(result))
    if shows_summary:
        from slimstage.cli.summary import summary_text

        note(summary_text(result, Paint(has_colour(sys.stderr, session.colour))))
        for name in signatures:
            note(f"{name}: signed")
    if given["as_json"]:
        document = plain(result)
        for pushed in (each for output in document["outputs"] for each in output["pushed"]):
            pushed.update(signatures.get(pushed["name"], {}))
        print_json(document)
    elif given["quiet"]:
        sys.stdout.write(result.image_id + "\n")
