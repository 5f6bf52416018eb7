"""A stage as pieces of its text: each instruction with the comments and blank lines in front of it, byte for byte."""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Instruction, Stage
from slimstage.dockerfile.words import SPACE
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """lead: the comments and blank lines in front, each with its end. body: the instruction's lines, the last one's end too."""

    lead: str
    body: str

    @property
    def text(self) -> str:
        return self.lead + self.body


def chunk_of(instruction: Instruction, behind: Instruction) -> Chunk:
    """The piece of an instruction; behind: the one before it in the file."""
    source, span = instruction.span.source, instruction.span
    lead = [source.line(number) or "" for number in range(behind.span.end_line + 1, span.line)]
    body = [source.line(number) or "" for number in range(span.line, span.end_line + 1)]
    return Chunk("".join(f"{line}\n" for line in lead), "".join(f"{line}\n" for line in body))


def chunks_of(stage: Stage) -> list[Chunk]:
    """The pieces of a stage's instructions, FROM left out."""
    found: list[Chunk] = []
    before: Instruction = stage.from_
    for instruction in stage.instructions:
        found.append(chunk_of(instruction, before))
        before = instruction
    return found


def whole(stage: Stage) -> Span:
    """From the line of FROM to the end of the stage's last instruction, that line's end not included."""
    last = stage.instructions[-1] if stage.instructions else stage.from_
    source, end = last.span.source, last.span.end_line
    return Span(source, stage.from_.span.line, 1, end, len(source.line(end) or "") + 1)


def without_leading_blank(text: str) -> str:
    """The text without blank lines at its start."""
    lines = text.split("\n")
    while len(lines) > 1 and not lines[0].strip(SPACE):
        lines.pop(0)
    return "\n".join(lines)
