"""What a rule says: a finding at a place of the user's file, and the edits that mend it.

Rule.check(subject) ──▶ findings ──engine──▶ skipped, sorted ──▶ formats/ (text for people, documents for tools)
                                                        └──▶ fix.py: edits ──▶ the file's new text
"""

from __future__ import annotations

from slimstage.diagnostics import Diagnostic, Severity, Span
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """The text at `span` becomes `text`. A span whose end is its start inserts.

    Lines and columns are those of the file as it was checked, so the edits of several fixes can be applied at once.
    """

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a fix writes, where none is: `path` relative to the context's directory, with `/`.

    is_addition: the file is there, and the text goes behind what it holds, on lines of its own (lines of an ignore file).
    """

    path: str
    text: str
    is_addition: bool = False


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that is safe to make without asking: the image does the same, smaller or sooner.

    title: what it does, as an order ("write the split into two stages"). edits: in one file, none overlapping another.
    """

    title: str
    edits: tuple[Edit, ...] = ()
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, at the instruction that causes it.

    rule: the rule's name. message: one sentence, lower case, no full stop; it names what was found, not what a rule
    forbids. span: the narrowest place that shows it (a word of a RUN rather than the RUN). saving_bytes: what mending it
    saves in the final image, uncompressed, where that is known and not guessed. severity: None: the rule's.
    cause: a further place above which a comment may skip it, where what is wrong is not where it shows.
    """

    rule: str
    message: str
    span: Span
    severity: Severity | None = None
    notes: tuple[str, ...] = ()
    hint: str | None = None
    saving_bytes: int | None = None
    fix: Fix | None = None
    cause: Span | None = None

    def diagnostic(self) -> Diagnostic:
        """The finding as a remark with its excerpt; its code is the rule's name."""
        return Diagnostic(self.rule, self.message, self.span, self.notes, self.hint, self.severity or "warning")
