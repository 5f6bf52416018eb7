"""`--fix` and `--diff` of `slimstage check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slimstage.cli.check_job import Job
from slimstage.cli.fixing import with_addition, write_fixed, write_new
from slimstage.cli.show import note
from slimstage.diagnostics import shown
from slimstage.lint.finding import Finding, NewFile
from slimstage.lint.fix import fix_all
from slimstage.values import replace


def fix_files(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with what their files then hold; each mended finding is said on stderr. Raises UsageError, ContextError."""
    return [_fixed(job) for job in jobs]


def _fixed(job: Job) -> Job:
    file = job.file
    found = fix_all(file.text, job.check)
    if found.text != file.text and file.path is not None:
        write_fixed(file.path, file.text, found.text)
    for each in found.applied:
        note(f"mended {each.span}: {each.rule}: {shown(each.fix.title if each.fix else each.message)}")
    for new in found.files:
        if file.directory is not None and new.is_addition:
            write_fixed(*with_addition(file.directory, new))
            note(f"added to {new.path}")
        elif file.directory is not None and write_new(file.directory, new):
            note(f"wrote {new.path}")
        else:
            note(f"note: {new.path} is not written: it is there")
    return replace(job, file=replace(file, text=found.text))


def print_diffs(jobs: Sequence[Job]) -> int:
    """What fixing would change, as unified diffs on stdout; 1 when that is anything."""
    status = 0
    for job in jobs:
        file = job.file
        found = fix_all(file.text, job.check)
        diff = _diff(file.name, file.text, found.text) + "".join(_new(file.directory, each) for each in found.files)
        sys.stdout.write(diff)
        status = max(status, int(bool(diff)))
        _say_mended(file.name, found.applied)
    return status


def _say_mended(name: str, applied: Sequence[Finding]) -> None:
    count = len(applied)
    note(f"{name}: --fix mends {count} finding{'' if count == 1 else 's'}" if count else f"{name}: --fix mends nothing")


def _diff(name: str, before: str, after: str) -> str:
    import difflib  # only for --diff

    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, name)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _new(directory: str | None, file: NewFile) -> str:
    import difflib

    if file.is_addition and directory is not None:
        _, before, after = with_addition(directory, file)
        return _diff(file.path, before, after)
    return "".join(difflib.unified_diff([], file.text.splitlines(True), "/dev/null", file.path))
