"""What earlier instructions of the image's chain brought, as paths: what a later RUN can only hide or store again."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy, Instruction, Run
from slimstage.lint.commands.command import Change, Command, Download, Extract, Install, Remove, place
from slimstage.lint.contents import destination_of, directory_at, is_within, picked, total_bytes
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.lint.subject import StageView, Subject
from slimstage.plan.paths import absolute
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Brought:
    """path: absolute; a directory, or a file. size_bytes: where the files are known. what: for a sentence (`COPY`)."""

    path: str
    instruction: Instruction
    what: str
    size_bytes: int | None = None
    is_file: bool = False


def brought_by(subject: Subject, view: StageView, instruction: Instruction) -> Iterator[Brought]:
    """What one instruction puts where, as far as it says so by itself."""
    if isinstance(instruction, Copy | Add):
        yield from _copied(subject, view, instruction)
    elif isinstance(instruction, Run):
        directory = directory_at(subject, view, instruction)
        if directory is None:
            directory = ""
        for command in subject.commands(view, instruction):
            for path, what, is_file in _made(command):
                if path.startswith("/") or directory:
                    yield Brought(absolute(path, directory or "/"), instruction, what, None, is_file)
        for invocation in subject.script(view, instruction).commands:
            made = _environment(invocation)
            if made is not None and (made.startswith("/") or directory):
                yield Brought(absolute(made, directory or "/"), instruction, "a virtual environment")


def _copied(subject: Subject, view: StageView, copy: Copy | Add) -> Iterator[Brought]:
    into = destination_of(subject, view, copy)
    if into is None or not copy.sources:
        return
    files = picked(subject, view, copy) if isinstance(copy, Add) or copy.from_ is None else None
    is_remote = isinstance(copy, Add) and any("://" in source for source in copy.sources)
    size = total_bytes(files) if files is not None and not is_remote else None
    is_directory = copy.destination.endswith(("/", "/.")) or copy.destination in (".", "") or len(copy.sources) > 1
    source = copy.sources[0].rstrip("/")
    is_file = len(copy.sources) == 1 and "*" not in source
    if files is not None and not is_remote:
        is_file = is_file and [file.path for file in files] == [posixpath.normpath("/" + source).lstrip("/")]
    else:
        is_file = is_file and (is_remote or bool(posixpath.splitext(source)[1]))
    if is_file and is_directory:
        into = absolute(posixpath.basename(source), into)
    yield Brought(into, copy, copy.keyword, size, is_file)


def _made(command: Command) -> Iterator[tuple[str, str, bool]]:
    """Paths that a command makes, what they are, and whether each is one file."""
    invocation = command.invocation
    if isinstance(command, Download) and command.output and UNKNOWN not in command.output:
        found = place(invocation, Word(command.output, command.output, invocation.span))
        if found is not None:
            yield found, "a download", command.tool in ("curl", "wget")
    elif isinstance(command, Extract) and command.directory and command.directory not in (".", "/"):
        if UNKNOWN not in command.directory:
            yield command.directory, "an archive's files", False
    elif isinstance(command, Install):
        target = command.options.target or (command.options.prefix if command.family == "python" else None)
        if target and UNKNOWN not in target and command.action in ("install", "wheel", "download"):
            yield target, "packages", False


def _environment(invocation: Invocation) -> str | None:
    """The directory of a virtual environment that is made."""
    texts = invocation.texts()
    words = [word for word in invocation.words if not word.shape.startswith("-")]
    is_python = invocation.name.startswith("python") and texts[:2] in (("-m", "venv"), ("-m", "virtualenv"))
    is_uv = invocation.name == "uv" and texts[:1] == ("venv",)
    own = 1 if is_python or is_uv else 0  # the word that names the module or action
    if len(words) <= own or not (own or invocation.name == "virtualenv"):
        return None
    last = words[-1]
    return place(invocation, last)


def target_of(subject: Subject, view: StageView, run: Run, command: Change | Remove, word: Word) -> str | None:
    """The absolute path a command works on; of a pattern (`/app/*`) its directory; None when it is not known."""
    found = place(command.invocation, word)
    if found is None:
        return None
    if not found.startswith("/"):
        directory = directory_at(subject, view, run)
        if directory is None:
            return None
        found = absolute(found, directory)
    head, wild, _ = found.partition("*")
    return (posixpath.dirname(head) if wild and not head.endswith("/") else head.rstrip("/")) or "/"


def covers(target: str, brought: Brought) -> bool:
    """All of what was brought lies at or below the target."""
    return is_within(brought.path, target)
