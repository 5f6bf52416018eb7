"""What a COPY or ADD brings: the files of the context it picks, their sizes, and where it puts them.

A view of names and sizes only, for rules: `context/select.py` is what a build goes by. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence

from slimstage.context.patterns import PatternMatcher, has_wildcards, match_segment
from slimstage.dockerfile.instructions import Add, Copy, Instruction, Run, Workdir
from slimstage.errors import ContextError
from slimstage.lint.commands.command import Change, Remove
from slimstage.lint.subject import ContextFile, StageView, Subject
from slimstage.plan.paths import absolute

_REMOTE = ("http://", "https://", "git@", "git://", "ssh://")


def context_copies(stage: StageView) -> Iterator[Copy | Add]:
    """The COPY and ADD of a stage that read the build context, in order."""
    for instruction in stage.instructions:
        if isinstance(instruction, Copy):
            reads = instruction.from_ is None and bool(instruction.sources)
        else:
            reads = isinstance(instruction, Add) and any(not each.startswith(_REMOTE) for each in instruction.sources)
        if reads:
            assert isinstance(instruction, Copy | Add)
            yield instruction


def source_paths(subject: Subject, stage: StageView, copy: Copy | Add) -> list[tuple[str, str]] | None:
    """Each local source as (word as written, path below the root without `/` at its start; "" is the root).

    None when a variable of one is not known.
    """
    found: list[tuple[str, str]] = []
    for word in copy.sources:
        if word.startswith(_REMOTE):
            continue
        text = subject.expanded(stage, copy, word)
        if text is None:
            return None
        path = posixpath.normpath("/" + text)
        found.append((word, path.lstrip("/")))
    return found


def takes_whole_context(subject: Subject, stage: StageView, copy: Copy | Add) -> str | None:
    """The word by which the instruction takes everything (`.`, `./`, `/`, `*`); None when it takes less."""
    if copy.exclude:
        return None
    for word, path in source_paths(subject, stage, copy) or ():
        if path in ("", "*"):
            return word
    return None


def picked(subject: Subject, stage: StageView, copy: Copy | Add) -> list[ContextFile] | None:
    """The files that the instruction brings, those of the ignore file left out; None without a context, or not known."""
    return subject.once((picked, id(copy)), lambda: _picked(subject, stage, copy))


def _picked(subject: Subject, stage: StageView, copy: Copy | Add) -> list[ContextFile] | None:
    if subject.context is None:
        return None
    sources = source_paths(subject, stage, copy)
    if sources is None:
        return None
    try:
        excluded = PatternMatcher(copy.exclude) if copy.exclude else None
    except ContextError:
        return None
    found: list[ContextFile] = []
    for file in subject.context.files():
        if file.is_ignored or file.path.endswith("/"):
            continue
        for _, path in sources:
            below = _below(file.path, path)
            if below is not None and not (excluded and excluded.matches(below or posixpath.basename(file.path))):
                found.append(file)
                break
    return found


def _below(path: str, source: str) -> str | None:
    """What of `path` is below the source, "" for the source itself; None when it is not there."""
    if not source:
        return path
    if not has_wildcards(source):
        if path == source:
            return ""
        return path[len(source) + 1 :] if path.startswith(source + "/") else None
    segments, wanted = path.split("/"), source.split("/")
    if len(segments) < len(wanted):
        return None
    try:
        if all(match_segment(pattern, segment) for pattern, segment in zip(wanted, segments, strict=False)):
            return "/".join(segments[len(wanted) :])
    except ValueError:
        return None
    return None


def word_for(subject: Subject, stage: StageView, copy: Copy | Add, path: str) -> str:
    """The word of the instruction by which a file of the context comes; the first word when none is known to."""
    for word, source in source_paths(subject, stage, copy) or ():
        if _below(path, source) is not None:
            return word
    return copy.sources[0]


def brought(subject: Subject, stage: StageView, copy: Copy | Add) -> list[ContextFile]:
    """The files of the context that an instruction brings, also by way of one other stage. Empty without a context.

    By way of a stage: what was copied from the context into a directory that is now copied whole, where no RUN of that stage
    removes or moves files.
    """
    if isinstance(copy, Add) or copy.from_ is None:
        return picked(subject, stage, copy) or []
    other = subject.source_of(stage, copy)
    if not isinstance(other, StageView):
        return []
    found: dict[str, ContextFile] = {}
    for word in copy.sources:
        path = subject.expanded(stage, copy, word)
        if path is None or has_wildcards(path):
            continue
        for view in other.chain():
            for inner in context_copies(view):
                into = destination_of(subject, view, inner)
                if into is not None and is_within(into, absolute(path)) and not _takes_away(subject, view, inner):
                    found.update((file.path, file) for file in picked(subject, view, inner) or ())
    return list(found.values())


def _takes_away(subject: Subject, stage: StageView, copy: Copy | Add) -> bool:
    """True where a RUN behind the copy removes or moves files, whichever they are."""
    for run in stage.instructions[stage.instructions.index(copy) + 1 :]:
        for command in subject.commands(stage, run) if isinstance(run, Run) else ():
            if isinstance(command, Remove) and command.manager is None:
                return True
            if isinstance(command, Change) and command.action == "mv":
                return True
    return False


def image_copies(subject: Subject) -> Iterator[tuple[StageView, Copy | Add]]:
    """Every COPY and ADD whose files are in the final image, base first."""
    for view in reversed([*subject.final.chain()]):
        for instruction in view.instructions:
            if isinstance(instruction, Copy | Add) and instruction.sources:
                yield view, instruction


def total_bytes(files: Iterable[ContextFile]) -> int:
    return sum(file.size_bytes for file in files)


def directory_at(subject: Subject, stage: StageView, instruction: Instruction | None = None) -> str | None:
    """The working directory that the instruction (None: the end of the stage) sees; None when the base decides it."""
    directory: str | None = None
    views = [*stage.chain()]
    base = views[-1].base
    if base is not None and base.name == "scratch":
        directory = "/"
    for view in reversed(views):
        for each in view.instructions:
            if view is stage and each is instruction:
                break
            if isinstance(each, Workdir):
                path = subject.expanded(view, each, each.path)
                if path is None or (directory is None and not path.startswith("/")):
                    directory = None
                else:
                    directory = absolute(path, directory or "/")
    return directory


def destination_of(subject: Subject, stage: StageView, copy: Copy | Add) -> str | None:
    """Where the instruction writes, absolute, without `/` at its end (the root is "/"); None when it is not known."""
    text = subject.expanded(stage, copy, copy.destination)
    if text is None:
        return None
    directory = "/" if text.startswith("/") else directory_at(subject, stage, copy)
    return None if directory is None else absolute(text, directory)


def is_within(path: str, directory: str) -> bool:
    """True of the directory itself and all below it; both absolute and normal."""
    return path == directory or directory == "/" or path.startswith(directory + "/")


def biggest(files: Sequence[ContextFile], count: int = 3) -> list[tuple[str, int]]:
    """The first path components that hold most, with their bytes, largest first."""
    sums: dict[str, int] = {}
    for file in files:
        name, slash, _ = file.path.partition("/")
        sums[name + slash] = sums.get(name + slash, 0) + file.size_bytes
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:count]


__all__ = [
    "biggest",
    "brought",
    "context_copies",
    "destination_of",
    "directory_at",
    "image_copies",
    "is_within",
    "picked",
    "source_paths",
    "takes_whole_context",
    "total_bytes",
    "word_for",
]
