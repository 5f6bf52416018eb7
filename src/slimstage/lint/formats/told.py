"""What a check of several files came to, as every format takes it: findings and faults alike, file by file."""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.diagnostics import Diagnostic, Severity, Span
from slimstage.lint.engine import Checked
from slimstage.lint.finding import Finding, Fix
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One remark. rule: a rule's name, or the code of a fault, which no rule has. file: as it was named."""

    rule: str
    severity: Severity
    message: str
    file: str
    span: Span | None
    notes: tuple[str, ...] = ()
    hint: str | None = None
    is_fault: bool = False
    saving_bytes: int | None = None
    fix: Fix | None = None

    @property
    def line(self) -> int:
        return self.span.line if self.span else 1

    def diagnostic(self) -> Diagnostic:
        return Diagnostic(self.rule, self.message, self.span, self.notes, self.hint, self.severity)


def told(file: str, checked: Checked, findings: Sequence[Finding] | None = None) -> list[Told]:
    """Faults and refusals first, then the findings. findings: those to tell; None: all."""
    faults = [
        Told(each.code, each.severity, each.message, file, each.span, each.notes, each.hint, is_fault=True)
        for each in (*checked.faults, *checked.refusals)
    ]
    return faults + [
        Told(
            each.rule,
            each.severity or "warning",
            each.message,
            file,
            each.span,
            each.notes,
            each.hint,
            saving_bytes=each.saving_bytes,
            fix=each.fix,
        )
        for each in (checked.findings if findings is None else findings)
    ]
