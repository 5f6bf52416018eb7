"""An exception becomes a message on stderr and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

from slimstage.cli.terminal import Paint, has_colour
from slimstage.diagnostics import Diagnostic, did_you_mean, render, shown
from slimstage.errors import DISK_FULL, Interrupted, SlimstageError, StepFailed

if TYPE_CHECKING:
    import click

    from slimstage.cli.program import Session

SIGNALLED = 128
"""What a shell adds to the number of the signal that ended a program."""
_HOST_FAILED = 3

_HOST_ERRORS = {
    errno.ENOSPC: (DISK_FULL, "free some space, or run: slimstage prune"),
    errno.EDQUOT: (DISK_FULL, "the quota is used up: free some space, or run: slimstage prune"),
    errno.EROFS: ("read-only", "choose a writable place with --root"),
    errno.EMFILE: ("too-many-files", "raise the limit of open files: ulimit -n"),
    errno.ENFILE: ("too-many-files", None),
    errno.ENOMEM: ("out-of-memory", None),
    errno.EIO: ("io-error", None),
}

_MEMORY_HINT = "raise the limit (ulimit -v, ulimit -u, or that of this container), or build with --jobs 1"


def report(error: BaseException, session: Session) -> int:
    """Says on stderr what went wrong and returns the exit status."""
    import click

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        _say("interrupted")
        number = error.args[0] if error.args else None
        return SIGNALLED + (number if isinstance(number, int) else signal.SIGINT)
    paint = Paint(has_colour(sys.stderr, session.colour))
    if isinstance(error, click.ClickException):
        _say(error_text(_of_click(error), paint))
        return error.exit_code if error.exit_code in (1, 2, 3) else 2
    if isinstance(error, SlimstageError):
        from slimstage.store.space import note_space

        note_space(error, str(session.root_path()))
        _say_failure(error, paint)
        status = SIGNALLED + error.signal if isinstance(error, Interrupted) else error.exit_status
    elif (told := _of_host(error)) is not None:
        _say(error_text(told, paint))
        status = _HOST_FAILED
    else:
        _say(error_text(_unexpected(error, session), paint))
        return _HOST_FAILED
    if session.is_debug:
        _say(_trace(error))
    return status


def _say_failure(error: SlimstageError, paint: Paint) -> None:
    if os.environ.get("GITHUB_ACTIONS") != "true" or isinstance(error, Interrupted):
        _say(failure_text(error, paint))
        return
    from slimstage.cli.github import Silenced, annotation

    silenced = Silenced(sys.stderr)
    silenced.begin()
    _say(failure_text(error, paint))
    silenced.end()
    for diagnostic in error.diagnostics:
        silenced.say(annotation(diagnostic))


def _of_host(error: BaseException) -> Diagnostic | None:
    """What this host lacks, when the error is its fault and not ours."""
    text = str(error)
    if isinstance(error, OSError) and error.errno in _HOST_ERRORS:
        code, hint = _HOST_ERRORS[error.errno]
        where = f'"{os.fsdecode(error.filename)}": ' if isinstance(error.filename, str | bytes) else ""
        return Diagnostic(code, f"{where}{os.strerror(error.errno).lower()}", hint=hint)
    is_memory = isinstance(error, MemoryError) or (
        # The loader's words when a library finds no room in the address space.
        isinstance(error, ImportError) and ("failed to map" in text or "cannot allocate memory" in text.lower())
    )
    if is_memory:
        return Diagnostic("out-of-memory", "there is not enough memory for slimstage itself", hint=_MEMORY_HINT)
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return Diagnostic("out-of-memory", "no further thread can be started", hint=_MEMORY_HINT)
    return None


def failure_text(error: SlimstageError, paint: Paint) -> str:
    """All of the error's diagnostics; for a failed step, what it printed last comes first."""
    if isinstance(error, Interrupted):
        return error.message
    parts = [error_text(diagnostic, paint) for diagnostic in error.diagnostics]
    if isinstance(error, StepFailed) and error.last_lines:
        rule = paint("------", "dim")
        parts.insert(0, "\n".join([rule, *(shown(line, tabs=True) for line in error.last_lines), rule]))
    return "\n".join(parts)


def error_text(diagnostic: Diagnostic, paint: Paint) -> str:
    """The diagnostic as `render` gives it, with `error:` in front when it has no place, and coloured."""
    text = render(diagnostic)
    if diagnostic.span is None and diagnostic.severity == "error":
        text = f"error: {text}"
    if not paint.on:
        return text
    colour = {"error": "red", "warning": "yellow", "info": "cyan"}[diagnostic.severity]
    first, *rest = text.split("\n")
    mark = f"{diagnostic.code}:"
    before, found, behind = first.partition(mark)
    lines = [paint(before, "bold") + paint(found, colour, "bold") + behind]  # type: ignore[arg-type] # literal by table
    for line in rest:
        label, colon, words = line.partition(": ")
        if label in ("  note", "  hint") and colon:
            lines.append(paint(label + ":", "green" if label == "  hint" else "cyan") + " " + words)
        elif line.strip(" |^\t") == "" and "^" in line:
            lines.append(paint(line, "red"))
        else:
            lines.append(line)
    return "\n".join(lines)


def _of_click(error: click.ClickException) -> Diagnostic:
    """What click says about arguments, in our form."""
    import click

    message, hint = error.format_message().rstrip("."), None
    if isinstance(error, click.NoSuchOption):
        message = f'no such option "{error.option_name}"'
        known = [name for parameter in _parameters(error.ctx) for name in (*parameter.opts, *parameter.secondary_opts)]
        hint = did_you_mean(error.option_name, known)
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        message = f"{error.param.human_readable_name} is missing"
    elif isinstance(error, click.BadParameter) and error.param is not None:
        message = f"{_name(error.param)}: {_lowered(error.message.rstrip('.'))}"
    else:
        message = _lowered(message)
    if hint is None and isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see: {error.ctx.command_path} --help"
    return Diagnostic("usage", message, hint=hint)


def _parameters(context: click.Context | None) -> list[click.Parameter]:
    return context.command.get_params(context) if context else []


def _name(parameter: click.Parameter) -> str:
    longest = max(parameter.opts, key=len, default=parameter.human_readable_name)
    return longest if longest.startswith("-") else parameter.human_readable_name


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _unexpected(error: BaseException, session: Session) -> Diagnostic:
    """A fault of ours: one line for people, the trace in a file (or at once with --debug)."""
    what = shown(f"{type(error).__name__}: {error}".splitlines()[0])
    if session.is_debug:
        _say(_trace(error))
        return Diagnostic("internal", what, hint="this is a fault of slimstage: please report it")
    import tempfile

    try:
        handle, path = tempfile.mkstemp(prefix="slimstage-trace-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_trace(error) + "\n")
    except OSError:
        return Diagnostic("internal", what, hint="run again with --debug to see where it happened")
    return Diagnostic(
        "internal",
        what,
        notes=(f"where it happened is in {path}",),
        hint="this is a fault of slimstage: please report it",
    )


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def _say(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # stderr is gone; the exit status still speaks
