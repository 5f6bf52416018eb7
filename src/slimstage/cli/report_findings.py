"""What `check` finds in the Dockerfile of a build, as findings of its report: each with its fix as a change of lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from slimstage.cli.check_job import Job
from slimstage.cli.checking import checked_files
from slimstage.lint.engine import RANK, Checked
from slimstage.lint.finding import Finding, Fix
from slimstage.lint.fix import apply
from slimstage.report.record import FindingRow

_FLAGS = ("target", "platform", "build_arg", "build_context")
_AROUND = 1
"""Lines shown before and behind a change."""


def dockerfile_findings(context: str, flags: Mapping[str, Any]) -> tuple[FindingRow, ...]:
    """None for a Dockerfile or context that is no file or directory here. flags: of the build. Raises as `check` does."""
    dockerfile = flags["file"]
    if dockerfile == "-" or not os.path.isdir(context) or (dockerfile and not os.path.isfile(dockerfile)):
        return ()
    (file,) = checked_files((dockerfile or context,), context)
    job = Job.of(file, {name: flags[name] for name in _FLAGS})
    checked = job.check()
    return tuple(_row(each, checked) for each in checked.findings if RANK[each.severity or "warning"] >= job.shown)


def _row(finding: Finding, checked: Checked) -> FindingRow:
    return FindingRow(
        code=finding.rule,
        about="Dockerfile",
        severity=finding.severity or "warning",
        message=finding.message,
        saving_bytes=finding.saving_bytes,
        hint=finding.hint or (finding.fix.title if finding.fix else ""),
        fix=_change(finding.fix, checked) if finding.fix else "",
        line=finding.span.line,
    )


def _change(fix: Fix, checked: Checked) -> str:
    """The lines that it changes, as a unified diff without its head; and the files that it writes."""
    import difflib

    source = checked.dockerfile.source
    after = apply(source.text, source, fix.edits)
    lines = list(difflib.unified_diff(source.text.splitlines(), after.splitlines(), n=_AROUND, lineterm=""))[2:]
    shown = [line for line in lines if not line.startswith("@@")]
    for new in fix.files:
        shown += ["", f"# {new.path}", *(f"+{line}" for line in new.text.splitlines())]
    return "\n".join(shown).strip("\n")
