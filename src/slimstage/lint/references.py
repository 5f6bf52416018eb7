"""Where a Dockerfile names a stage: in its FROM, in the FROM of others, in COPY --from and in mounts."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Copy, From, Instruction, Run
from slimstage.dockerfile.syntax import Node
from slimstage.dockerfile.words import Word
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_MOUNT_FROM = pattern(r"(?:^|,)\s*\"?from=([^,\"]*)", 2)


def references(subject: Subject, view: StageView) -> list[Span] | None:
    """The places of a stage's name, its own FROM first; None when one of them cannot be found in the text."""
    name = view.stage.name
    own = subject.node(view.stage.from_)
    if name is None or own is None or len(own.args) != 3:
        return None
    found = [own.span_of(own.args[2])]
    for reader, instruction in view.readers:
        if instruction in reader.triggers:
            return None  # an ONBUILD of another place names it
        node = subject.node(instruction)
        if node is None:
            return None
        words = [word for word in _words(node, instruction) if word.text.lower() == name]
        spans = [node.span_of(word) for word in words if node.line.text[word.start : word.end] == word.text]
        if len(spans) != len(words):
            return None
        found += [span for span in spans if span not in found]
    return found


def _words(node: Node, instruction: Instruction) -> Iterator[Word]:
    """What the instruction may name a stage by."""
    if isinstance(instruction, From) and node.args:
        yield node.args[0]
    elif isinstance(instruction, Copy):
        for flag in node.flags:
            if flag.text.startswith("--from="):
                yield Word(flag.text[7:], flag.end - len(flag.text) + 7, flag.end)
    elif isinstance(instruction, Run):
        for flag in node.flags:
            if flag.text.startswith("--mount=") and (found := _MOUNT_FROM.search(flag.text[8:])):
                start = flag.end - len(flag.text) + 8 + found.start(1)
                yield Word(found.group(1), start, start + len(found.group(1)))
