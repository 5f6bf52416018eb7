"""The part of an instruction that a rule of BuildKit is about.

BuildKit names the line at which an instruction begins, and skips by what stands above it: a part on a later line is not shown
alone.
"""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Instruction
from slimstage.dockerfile.words import Word
from slimstage.lint.subject import Subject


def keyword(subject: Subject, instruction: Instruction) -> Span:
    """The instruction's name."""
    node = subject.node(instruction)
    return instruction.span if node is None else _on_first_line(instruction, node.span_of(node.keyword))


def arguments(subject: Subject, instruction: Instruction) -> Span:
    """All behind the name and the flags; the whole instruction where they go over several lines."""
    node = subject.node(instruction)
    if node is None or not node.rest.text:
        return instruction.span
    span = node.span_of(node.rest)
    return span if span.line == span.end_line == instruction.span.line else instruction.span


def argument(subject: Subject, instruction: Instruction, index: int) -> Span:
    """One word, counted from 0, or from the end with a negative number."""
    node = subject.node(instruction)
    if node is None or not -len(node.args) <= index < len(node.args):
        return instruction.span
    return _on_first_line(instruction, node.span_of(node.args[index]))


def word(subject: Subject, instruction: Instruction, text: str) -> Span:
    """The first word that is written so, or that is `text=…`."""
    node = subject.node(instruction)
    for each in node.args if node else ():
        if node is not None and not node.is_json and (each.text == text or each.text.startswith(f"{text}=")):
            return _on_first_line(instruction, node.span_of(each))
    return instruction.span


def flag(subject: Subject, instruction: Instruction, name: str) -> Span:
    """`--name=…`."""
    node = subject.node(instruction)
    for each in node.flags if node else ():
        if node is not None and each.text.startswith(f"--{name}="):
            return _on_first_line(instruction, node.span_of(each))
    return instruction.span


def variable(subject: Subject, instruction: Instruction, name: str) -> Span:
    """The first `$name` or `${name`."""
    node = subject.node(instruction)
    if node is None:
        return instruction.span
    text = node.line.text
    found = sorted((at, start) for start in ("$", "${") if (at := _find(text, start + name)) >= 0)
    if not found:
        return instruction.span
    at, start = found[0]
    return _on_first_line(instruction, node.span_of(Word("", at, at + len(start) + len(name))))


def _find(text: str, start: str) -> int:
    """Where `$name` stands, and not the beginning of a longer name; -1: nowhere."""
    at = text.find(start)
    while at >= 0 and (after := text[at + len(start) : at + len(start) + 1]) and (after.isalnum() or after == "_"):
        at = text.find(start, at + 1)
    return at


def _on_first_line(instruction: Instruction, span: Span) -> Span:
    return span if span.line == span.end_line == instruction.span.line else instruction.span
