"""Edits inside of a RUN: an option behind a word, a mount in front of the command, a command behind the last one.

None where the text does not allow it to be done surely: the JSON form, quotes, branches, faults.
"""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Run
from slimstage.lint.finding import Edit
from slimstage.lint.shell.script import Invocation, Word
from slimstage.lint.subject import StageView, Subject

_WIDEST = 120


def at_end(span: Span) -> Span:
    """The empty place behind a span."""
    return Span(span.source, span.end_line, span.end_column, span.end_line, span.end_column)


def behind_word(run: Run, word: Word, text: str) -> Edit | None:
    """The text behind a word that stands as such in the shell form."""
    if run.command.form != "shell" or not word.is_exact:
        return None
    return Edit(at_end(word.span), text)


def without_word(run: Run, word: Word) -> Edit | None:
    """A word goes, with the blank in front of it; a word at the start of its line with the blank behind it, or with
    the line where nothing else is on it.
    """
    if run.command.form != "shell" or not word.is_exact or word.span.line != word.span.end_line:
        return None
    span = word.span
    line = span.source.line(span.line) or ""
    start, end = span.column - 1, span.end_column - 1
    if line[:start].strip():
        while start > 0 and line[start - 1] in " \t":
            start -= 1
    else:
        while end < len(line) and line[end] in " \t":
            end += 1
        if line[end:].strip() in ("\\", "`"):
            return Edit(Span(span.source, span.line, 1, span.line + 1, 1), "")  # nothing else is on its line
        if not line[end:].strip():
            return None  # the line in front of it would be continued by nothing
    return Edit(Span(span.source, span.line, start + 1, span.line, end + 1), "")


def with_mounts(subject: Subject, run: Run, *mounts: str) -> Edit | None:
    """Mounts in front of the other flags and the command."""
    node = subject.node(run)
    if node is None or node.keyword.text.lower() != "run":
        return None
    place = at_end(node.span_of(node.keyword))
    if len(mounts) == 1:
        return Edit(place, f" --mount={mounts[0]}")
    escape = subject.dockerfile.escape
    return Edit(place, "".join(f" --mount={mount} {escape}\n   " for mount in mounts))


def appended(subject: Subject, stage: StageView, run: Run, command: str) -> Edit | None:
    """`&& command` behind all that the RUN does; on a line of its own where the RUN has several."""
    script = subject.script(stage, run)
    if run.command.form != "shell" or not script.is_exact or script.faults or not script.commands:
        return None
    last = max(script.commands, key=lambda each: (each.statement.end_line, each.statement.end_column))
    if not last.is_certain or not last.can_be_followed or last.followed_by is not None or last.is_piped:
        return None
    place = at_end(last.statement)
    line = place.source.line(last.statement.line) or ""
    indent = line[: len(line) - len(line.lstrip())]
    if run.heredocs and last.statement.line > _command_line(subject, run):
        return Edit(place, f"\n{indent}{command}")
    end = place.source.line(place.line) or ""
    if run.heredocs or (run.span.line == run.span.end_line and len(end) + len(command) + 4 <= _WIDEST):
        return Edit(place, f" && {command}")
    if last.statement.line == run.span.line or not indent:
        indent = "    "
    return Edit(place, f" {subject.dockerfile.escape}\n{indent}&& {command}")


def _command_line(subject: Subject, run: Run) -> int:
    """The last line of the instruction in front of its heredocs."""
    bodies = sum(heredoc.content.count("\n") + 1 for heredoc in run.heredocs)
    return run.span.end_line - bodies


def action_word(invocation: Invocation, *actions: str) -> Word | None:
    """The word that says what a manager does (`install`), where its options can stand behind."""
    return next((word for word in invocation.words if word.shape in actions and word.is_exact), None)
