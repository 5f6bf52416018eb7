"""Text → Dockerfile: the one entry to this folder. Every fault of the file is reported together, each with its place.

    text ─reader─▶ logical lines ─syntax─▶ nodes ─interpret─▶ instructions ─here─▶ stages

The result goes to `plan/` and `lint/`.
"""

from __future__ import annotations

from slimstage.diagnostics import Diagnostic, Source, Span
from slimstage.dockerfile.directives import find_directive
from slimstage.dockerfile.faults import MOST_FAULTS, Faults, quoted
from slimstage.dockerfile.instructions import Arg, Directive, Dockerfile, From, Instruction, OnBuild, Stage
from slimstage.dockerfile.interpret import interpret
from slimstage.dockerfile.reader import LARGEST_TEXT, LineReader
from slimstage.dockerfile.syntax import KEYWORDS, node_at, read_nodes
from slimstage.errors import DockerfileError
from slimstage.values import replace


def parse(text: str, name: str = "Dockerfile") -> Dockerfile:
    """The file as values, in the order written; a byte order mark is dropped.

    text: decoded with surrogateescape where it is no UTF-8. name: what places are shown with.
    Raises: DockerfileError with all faults (at most `MOST_FAULTS`), in the order of their places.
    Source: dockerfile.md §1 and §4; BuildKit frontend/dockerfile.
    """
    dockerfile, faults = parse_partly(text, name)
    if faults:
        raise DockerfileError.of(faults)
    return dockerfile


def parse_partly(text: str, name: str = "Dockerfile") -> tuple[Dockerfile, list[Diagnostic]]:
    """As `parse`: what can be read of a file, and its faults in order; without faults the file is whole.

    Raises: DockerfileError: it is too large to be read.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    faults = Faults()
    if len(source.text) > LARGEST_TEXT:
        message = f"the file has more than {LARGEST_TEXT} characters"
        raise DockerfileError(message, code="file-too-large", span=Span(Source(name, ""), 1, 1, 1, 2))
    _refuse_nul(source, faults)
    reader = LineReader(source, faults)
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    count = 0
    has_from = False
    for node in read_nodes(source, reader, faults):
        count += 1
        # An instruction that nobody knows may be a misspelt FROM: what follows it is then no fault of its own.
        has_from = has_from or node.name == "from" or node.name not in KEYWORDS
        instruction = interpret(node, faults)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            if instruction is not None:
                stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        elif instruction is not None and not has_from:
            _before_from(instruction, faults)
    if not faults.found:
        _require_stage(source, count, has_stage=bool(stages), faults=faults)
    dockerfile = Dockerfile(
        source=source,
        global_args=tuple(global_args),
        stages=tuple(Stage(index, from_, tuple(rest)) for index, (from_, rest) in enumerate(stages)),
        directives=_directives(source, reader),
        escape=reader.escape,
        warnings=tuple(reader.warnings),
    )
    return dockerfile, _in_order(faults)


def parse_trigger(text: str, span: Span) -> Instruction:
    """The instruction of an ONBUILD trigger that fires: `text` is as an image config stores it, heredocs included.

    span: the FROM that makes it fire; every place in the result.
    Raises: DockerfileError.
    """
    faults = Faults()
    instruction = None
    if "\0" in text:
        faults.add("nul-character", f"the ONBUILD trigger {quoted(text)} holds a NUL character", span)
    else:
        node = node_at(text, span, "\\", faults)
        instruction = interpret(node, faults) if node else None
    if isinstance(instruction, From | OnBuild):
        faults.add("onbuild-trigger", f"{instruction.keyword} cannot be an ONBUILD trigger", span)
    if faults.found or instruction is None:
        raise DockerfileError.of(_in_order(faults))
    return instruction


def _refuse_nul(source: Source, faults: Faults) -> None:
    position = source.text.find("\0")
    if position < 0:
        return
    line = source.text.count("\n", 0, position) + 1
    column = position - source.text.rfind("\n", 0, position)
    note = "it cannot be in an argument, a path or a variable"
    faults.add("nul-character", "the file holds a NUL character", Span(source, line, column, line, column + 1), note)


def _before_from(instruction: Instruction, faults: Faults) -> None:
    message = f"{instruction.keyword} stands before the first FROM"
    start = instruction.span
    end = start.column + len(instruction.keyword)
    hint = "move it behind a FROM"
    faults.add(
        "no-stage", message, Span(start.source, start.line, start.column, start.line, end), "only ARG can", hint=hint
    )


def _require_stage(source: Source, count: int, *, has_stage: bool, faults: Faults) -> None:
    last = max(1, source.text.rstrip("\n").count("\n") + 1)
    span = Span(source, last, 1, last, 2)
    if count == 0:
        faults.add("no-instructions", "the file has no instructions", span, hint="start with FROM IMAGE")
    elif not has_stage:
        faults.add("no-stages", "the file has no FROM, so there is nothing to build", span, hint="add FROM IMAGE")


def _in_order(faults: Faults) -> list[Diagnostic]:
    found = sorted(faults.found, key=lambda fault: (fault.span.line, fault.span.column) if fault.span else (0, 0))
    if faults.is_full:
        note = f"reading stopped here, at {MOST_FAULTS} faults"
        found[-1] = replace(found[-1], notes=(*found[-1].notes, note))
    return found


def _directives(source: Source, reader: LineReader) -> tuple[tuple[Directive, str, Span], ...]:
    """Those the reader honoured, and `syntax` and `check` behind a `#!` line, which other tools honour."""
    found = list(reader.directives)
    names: tuple[Directive, ...] = ("syntax", "check")
    for name in names:
        if any(seen == name for seen, _, _ in found):
            continue
        if further := find_directive(name, source.text):
            value, line = further
            found.append((name, value, Span(source, max(1, line), 1, max(1, line), len(source.line(line) or " ") + 1)))
    return tuple(found)


__all__ = ["parse", "parse_partly", "parse_trigger"]
