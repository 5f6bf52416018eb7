"""What `slimstage check` checks: which files, in which surroundings, under which request."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from slimstage.cli.merging import Merged, build_arguments, named_contexts, wanted_platforms
from slimstage.cli.settings import Settings, find_settings, read_settings
from slimstage.context.patterns import read_ignore_file
from slimstage.diagnostics import did_you_mean
from slimstage.errors import ContextError, UsageError
from slimstage.lint.context_view import DirectoryContext
from slimstage.lint.engine import Surroundings
from slimstage.oci.descriptor import host_platform
from slimstage.plan.request import PlanRequest
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.context.patterns import Pattern

NAMES = ("Dockerfile", "dockerfile", "Containerfile", "containerfile")
"""What a Dockerfile is called in a directory, the first that is there."""
_LARGEST_BYTES = 128 << 20
_LARGEST_IGNORE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """One Dockerfile to check. name: as shown. path: where it is; None: stdin. directory: its context; None: none."""

    name: str
    path: str | None
    text: str
    directory: str | None
    settings: Settings

    def around(self) -> Surroundings:
        """Its ignore file and context. Raises ContextError: the ignore file has a malformed pattern."""
        found = _ignore_file(self.path, self.directory)
        name, patterns = found if found else (".dockerignore", None)
        view = DirectoryContext(self.directory, patterns) if self.directory is not None else None
        return Surroundings(patterns, name, view)

    def request(self, flags: Mapping[str, Any], environment: Mapping[str, str]) -> PlanRequest:
        """As a build of the file would be asked for. Raises UsageError."""
        merged = Merged(flags, self.settings)
        platforms = wanted_platforms(merged)
        target = merged.one("target", str, None)
        return PlanRequest(
            build_platform=host_platform(),
            target=target or None,
            platform=platforms[0] if platforms else None,
            build_args=build_arguments(merged, environment),
            contexts=named_contexts(merged, flags, self.settings),
            # What a build may do is no matter of the file's.
            entitlements=frozenset(("network.host", "security.insecure", "device")),
        )


def checked_files(names: Sequence[str], context: str | None) -> list[CheckedFile]:
    """The files that were named, each once, or the one that is here. Raises UsageError, ContextError."""
    if context is not None and not os.path.isdir(context):
        raise UsageError(f'--context: "{context}" is no directory')
    found: dict[str | None, CheckedFile] = {}
    for name in dict.fromkeys(names or (".",)):
        file = _file(name, context)
        found.setdefault(file.path and os.path.abspath(file.path), file)
    return [*found.values()]


def _file(name: str, context: str | None) -> CheckedFile:
    if name == "-":
        data = sys.stdin.buffer.read(_LARGEST_BYTES)
        return CheckedFile("Dockerfile", None, _decoded(data), context, _settings(None, context))
    directory = context
    path = name
    if os.path.isdir(name):
        path = _in_directory(name)
        directory = directory or name
    text = _decoded(_read(path, is_named=path == name))
    directory = directory or os.path.dirname(path) or "."
    return CheckedFile(os.path.normpath(path), path, text, directory, _settings(path, directory))


def _in_directory(directory: str) -> str:
    try:
        there = set(os.listdir(directory))
    except OSError as error:
        raise ContextError(f'"{directory}" cannot be read: {error.strerror}', code="no-dockerfile") from error
    for name in NAMES:
        if name in there:
            return os.path.join(directory, name)
    hint = did_you_mean(NAMES[0], there) or "name the file: slimstage check PATH"
    where = "here" if directory == "." else f'in "{directory}"'
    raise ContextError(f'there is no "{NAMES[0]}" {where}', code="no-dockerfile", hint=hint)


def _read(path: str, *, is_named: bool) -> bytes:
    """The file's bytes. A pipe is read when the user named it, as in `check <(make-dockerfile)`."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if is_named else os.O_NONBLOCK)), "rb") as file:
            kind = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(kind) and not (is_named and stat.S_ISFIFO(kind)):
                raise ContextError(f'"{path}" is not a file', code="no-dockerfile")
            return file.read(_LARGEST_BYTES)
    except OSError as error:
        raise ContextError(
            f'the Dockerfile "{path}" cannot be read: {error.strerror}', code="no-dockerfile", hint=_near(path)
        ) from error


def _near(path: str) -> str | None:
    try:
        return did_you_mean(os.path.basename(path), os.listdir(os.path.dirname(path) or "."))
    except OSError:
        return None


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _settings(dockerfile: str | None, context: str | None) -> Settings:
    path = find_settings(dockerfile, context)
    return read_settings(path) if path else Settings()


def _ignore_file(path: str | None, directory: str | None) -> tuple[str, list[Pattern]] | None:
    """(name, patterns) of the one that a build would take; None: there is none."""
    places = []
    if path is not None:
        places.append((f"{os.path.basename(path)}.dockerignore", f"{path}.dockerignore"))
    if directory is not None:
        places.append((".dockerignore", os.path.join(directory, ".dockerignore")))
    for name, place in places:
        try:
            with open(os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return name, read_ignore_file(_decoded(file.read(_LARGEST_IGNORE_BYTES)), name)
        except OSError:
            continue
    return None
