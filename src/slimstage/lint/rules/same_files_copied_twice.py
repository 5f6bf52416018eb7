"""Files that two instructions put into the image, each into a layer of its own."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy
from slimstage.lint.contents import brought, image_copies, takes_whole_context, total_bytes, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import grouped
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import ContextFile, StageView, Subject
from slimstage.lint.wording import quoted, size_text

_SMALLEST = 1_000_000
"""Bytes. A requirement file that is copied in front of everything else is how a cache is kept, not waste."""


def check(subject: Subject) -> Iterator[Finding]:
    earlier: list[tuple[StageView, Copy | Add]] = []
    seen: dict[str, Copy | Add] = {}
    for stage, copy in image_copies(subject):
        files = brought(subject, stage, copy)
        again = [file for file in files if file.path in seen]
        if total_bytes(again) >= _SMALLEST:
            yield _twice(subject, stage, copy, again, seen)
        elif subject.context is None and (same := _same_whole(subject, stage, copy, earlier)) is not None:
            yield Finding(
                RULE.name,
                f"everything of the context is copied a second time, after line {same.span.line}",
                word_span(subject, copy, copy.sources[0]),
                hint="copy it once, or name what is still missing",
            )
        seen.update((file.path, copy) for file in files)
        earlier.append((stage, copy))


def _twice(
    subject: Subject, stage: StageView, copy: Copy | Add, again: list[ContextFile], seen: dict[str, Copy | Add]
) -> Finding:
    largest = max(again, key=lambda file: (file.size_bytes, file.path))
    first = seen[largest.path]
    names = quoted([_short(path) for path, _ in grouped(again)], most=3)
    word = word_for(subject, stage, copy, largest.path) if not getattr(copy, "from_", None) else copy.sources[0]
    return Finding(
        RULE.name,
        f"{names} ({size_text(total_bytes(again))}) is in the image twice: line {first.span.line} copies it as well",
        word_span(subject, copy, word),
        hint="copy each file once: name what this instruction is to bring, or leave it out (COPY --exclude=…)",
        saving_bytes=total_bytes(again),
    )


def _short(path: str) -> str:
    return path if len(path) <= 60 else "…" + path[-58:]


def _same_whole(
    subject: Subject, stage: StageView, copy: Copy | Add, earlier: list[tuple[StageView, Copy | Add]]
) -> Copy | Add | None:
    """The earlier instruction that copied everything of the context to the same place as well."""
    if getattr(copy, "from_", None) is not None or not takes_whole_context(subject, stage, copy):
        return None
    for view, other in earlier:
        if getattr(other, "from_", None) is None and takes_whole_context(subject, view, other):
            return other
    return None


RULE = Rule(
    name="SameFilesCopiedTwice",
    group="stages",
    summary="two instructions put the same files into the image",
    why="""\
A layer holds what its instruction wrote, whether or not an earlier layer has it already. `COPY model/ /app/model/` and then
`COPY . /app/` stores the model twice, and every pull moves it twice; so does copying a builder's directory that holds the
sources, and then the sources.

Sizes come from the real context. Silent below 1 MB: a requirement file that is copied first, and then again with
everything, is what keeps the installation in the cache.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY model/ model/\nCOPY src/ model/ ./\nCMD ["python", "serve.py"]\n',
        files={"model/weights.onnx": 90_000_000, "src/serve.py": "print()\n"},
        ignore=".git\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY model/ model/\nCOPY src/ ./\nCMD ["python", "serve.py"]\n',
        files={"model/weights.onnx": 90_000_000, "src/serve.py": "print()\n"},
        ignore=".git\n",
    ),
    check=check,
)
