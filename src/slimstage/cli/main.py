"""The command's entry: arguments in, exit status out.

Starts with almost nothing imported, so that `slimstage --version` costs little more than the interpreter; click comes
with `program.py`, each command with its own module.

Exit status: 0 done, 1 the user's own command or check failed, 2 the input is wrong, 3 this host or a registry failed,
130 interrupted (128 and the number of the signal). `slimstage run` ends with the status of the command that it ran.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence

from slimstage.version import __version__

_COMPLETION = "_SLIMSTAGE_COMPLETE"
"""Set by the shell functions that `slimstage completion` prints."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; `arguments` None: those of this process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given in (["--version"], ["-V"]) and _COMPLETION not in os.environ:
        return _print_version()

    from slimstage.cli.later import later

    with later("inspect"):
        from slimstage.cli import failures, program

    session = program.Session(own_arguments=given if arguments is None else None)
    try:
        status = program.run(given, session)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output left (`slimstage images | head -1`): not a failure, and nothing is left to tell it.
        _forget_stdout()
        return 0
    except BaseException as error:
        return failures.report(error, session)
    return status


def command() -> None:
    """The command's process: `main`, then its end, without the interpreter being taken apart.

    That would free every object of every module one by one, 5 to 10 ms after the last word was said. What was registered
    for the end (`atexit`, finalizers) runs all the same; where a thread is left, Python ends as usual and waits for it.
    """
    status = main()
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # whoever read it has left
    os._exit(status)


def _print_version() -> int:
    try:
        print(f"slimstage {__version__}", flush=True)
    except BrokenPipeError:
        _forget_stdout()
    return 0


def _forget_stdout() -> None:
    """Points stdout at nothing, so that the interpreter's own flush at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
