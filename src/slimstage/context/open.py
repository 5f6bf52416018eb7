"""What the last argument of `build` names, opened: a directory, a tar, stdin, an http(s) URL or a git repository.

Whatever it is, it becomes a directory read through `LocalContext`. The Dockerfile is found and read here, its ignore file
beside it; neither is ever followed out of the context.
Source: dockerfile.md §1.1 ("Dockerfile lookup") and §1.17; Docker's `build` reference.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Protocol

from slimstage.context.local import LocalContext
from slimstage.context.patterns import PatternMatcher, read_ignore_file
from slimstage.diagnostics import Source, Span, did_you_mean
from slimstage.dockerfile.values import parse_bool
from slimstage.errors import ContextError, UsageError
from slimstage.values import dataclass

NAMES = ("Dockerfile", "dockerfile")
_MOST_BYTES = 128 << 20
_KEEP_GIT_DIR = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"


class ContextRequest(Protocol):
    """What of a build request says where the files are (see `build/request.py`)."""

    @property
    def context(self) -> str: ...
    @property
    def dockerfile(self) -> str | None: ...
    @property
    def dockerfile_text(self) -> str | None: ...
    @property
    def build_args(self) -> Mapping[str, str | None]: ...


@dataclass(frozen=True, slots=True)
class OpenedContext:
    """A context and the Dockerfile that goes with it.

    dockerfile_name: as shown in messages. is_local: a directory of the user, not something that was fetched or unpacked.
    """

    context: LocalContext
    dockerfile_text: str
    dockerfile_name: str
    is_local: bool


@contextmanager
def open_context(
    request: ContextRequest,
    work: Callable[[], str | None] = lambda: None,
    *,
    name: str = "the build context",
    stdin: Callable[[], BinaryIO] = lambda: sys.stdin.buffer,
) -> Iterator[OpenedContext]:
    """The context of a request, opened; leaving the `with` closes it and removes what was fetched.

    work: asked for the directory that what comes from elsewhere is put below; None: the system's for temporary files.
    Raises UsageError (stdin wanted twice), ContextError (no such directory, a file, unreadable, no Dockerfile, one that
    leads outside), FormatError (a bad tar), RegistryError, SandboxError.
    """
    with ExitStack() as cleanup:
        yield _open(request, name, stdin, lambda: _temporary(cleanup, work()), cleanup)


def _open(
    request: ContextRequest,
    name: str,
    stdin: Callable[[], BinaryIO],
    temporary: Callable[[], str],
    cleanup: ExitStack,
) -> OpenedContext:
    value = request.context
    if value == "-" and request.dockerfile == "-":
        raise UsageError("stdin cannot be both the context and the Dockerfile", code="stdin-twice")
    if value == "-":
        return _of_stream(stdin(), request, name, "stdin", temporary, cleanup)
    if not os.path.isdir(value) and (fetch := _git(value, request)) is not None:
        place = os.path.join(temporary(), "context")
        fetch(place)
        return _with_dockerfile(_directory(place, name, cleanup), request, stdin, is_local=False)
    if value.startswith(("http://", "https://")):
        from slimstage.context.remote import fetch_url, shown_url  # HTTP is loaded when it is needed

        place = temporary()
        path = os.path.join(place, fetch_url(value, place))
        with open(path, "rb") as file:
            return _of_stream(file, request, name, shown_url(value), temporary, cleanup)
    if os.path.isfile(value):
        from slimstage.context.archive import is_archive  # only for a context that is no directory

        with open(value, "rb") as file:
            if is_archive(file):
                file.seek(0)
                return _of_stream(file, request, name, value, temporary, cleanup)
    return _with_dockerfile(_directory(value, name, cleanup), request, stdin, is_local=True)


def _git(value: str, request: ContextRequest) -> Callable[[str], object] | None:
    """What fetches the repository that the value names into a new directory; None when it names none."""
    from slimstage.context.git import fetch_git, git_context  # only for a context that is no directory

    git = git_context(value)
    if git is None:
        return None
    return lambda place: fetch_git(
        git.remote,
        place,
        ref=git.ref,
        subdir=git.subdir,
        checksum=git.checksum,
        keeps_git_dir=_keeps_git_dir(request) if git.keep_git_dir is None else git.keep_git_dir,
        submodules=git.submodules is not False,
        mtime="commit" if git.mtime == "commit" else "checkout",
        by_commit=git.fetch_by_commit,
    )


def _keeps_git_dir(request: ContextRequest) -> bool:
    """`--build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1`: true as Go reads it, all else is not."""
    text = request.build_args.get(_KEEP_GIT_DIR)
    try:
        return parse_bool(text or "false")
    except ValueError:
        return False


def _of_stream(
    stream: BinaryIO,
    request: ContextRequest,
    name: str,
    shown: str,
    temporary: Callable[[], str],
    cleanup: ExitStack,
) -> OpenedContext:
    """A tar with the context in it, or the text of a Dockerfile and no files."""
    from slimstage.context.archive import unpack_context  # only for a context that is no directory

    place = os.path.join(temporary(), "context")
    os.mkdir(place, 0o755)
    text = unpack_context(stream, place, shown)
    context = _directory(place, name, cleanup)
    if text is None:
        return _with_dockerfile(context, request, lambda: stream, is_local=False)
    if request.dockerfile not in (None, "-"):
        raise UsageError(
            f"{shown} holds no tar, so there are no files and no Dockerfile {request.dockerfile!r} in them",
            code="no-context",
        )
    return OpenedContext(context, _decoded(text, shown), "Dockerfile", is_local=False)


def _directory(path: str, name: str, cleanup: ExitStack) -> LocalContext:
    return cleanup.enter_context(LocalContext(path, name=name))


def _temporary(cleanup: ExitStack, above: str | None) -> str:
    import shutil  # only for a context that is no directory
    import tempfile

    path = tempfile.mkdtemp(prefix="slimstage-context-", dir=above)
    cleanup.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def _with_dockerfile(
    context: LocalContext, request: ContextRequest, stdin: Callable[[], BinaryIO], *, is_local: bool
) -> OpenedContext:
    found = request.dockerfile
    ignore_names = [".dockerignore"]
    ignore_text: tuple[str, bytes] | None = None
    if request.dockerfile_text is not None:
        text, shown = request.dockerfile_text, found or "Dockerfile"
    elif found == "-":
        text, shown = _decoded(stdin().read(_MOST_BYTES), "stdin"), "Dockerfile"
    elif found is None:
        shown = next((each for each in NAMES if _is_there(context, each)), NAMES[0])
        data = context.read(shown, _MOST_BYTES) if _is_there(context, shown) else None
        if data is None:
            raise _no_dockerfile(context, shown)
        text = _decoded(data, shown)
        ignore_names.insert(0, f"{shown}.dockerignore")
    else:
        text, shown, ignore_text = _named(context, found, is_local)
    if ignore_text is None:
        for each in ignore_names:
            data = _ignore_file(context, each)
            if data is not None:
                ignore_text = (each, data)
                break
    if ignore_text is not None:
        patterns = read_ignore_file(ignore_text[1].decode("utf-8", "surrogateescape"), ignore_text[0])
        context.ignore(PatternMatcher(patterns))
    return OpenedContext(context, text, shown, is_local)


def _named(context: LocalContext, path: str, is_local: bool) -> tuple[str, str, tuple[str, bytes] | None]:
    """The Dockerfile of `-f`: relative to the working directory, else in the context; and the ignore file beside it."""
    inside = _inside(context, path) if is_local else path.lstrip("/")
    if inside is not None:
        data = context.read(inside, _MOST_BYTES) if _is_there(context, inside) else None
        if data is None:
            raise _no_dockerfile(context, inside)
        beside = _ignore_file(context, f"{inside}.dockerignore")
        return _decoded(data, path), path, (f"{inside}.dockerignore", beside) if beside is not None else None
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise ContextError(
            f'the Dockerfile "{path}" cannot be read: {error.strerror}',
            code="no-dockerfile",
            hint=_near_file(path),
        ) from error
    try:
        with open(f"{path}.dockerignore", "rb") as file:
            return _decoded(data, path), path, (f"{os.path.basename(path)}.dockerignore", file.read(_MOST_BYTES))
    except OSError:
        return _decoded(data, path), path, None


def _ignore_file(context: LocalContext, path: str) -> bytes | None:
    """The bytes of an ignore file, None when there is none. One that leads nowhere is an error: to take it for missing
    would bring what it keeps out into the image."""
    data = context.read(path)
    if data is None and context.link_at(path) is not None:
        raise ContextError(
            f'"{path}" is a symlink that does not lead to a file in {context.name}',
            code="ignore-file-escapes",
            hint="put the ignore file itself there",
        )
    return data


def _inside(context: LocalContext, path: str) -> str | None:
    """The path within the context when the file lies there (or, not existing here, would); None when elsewhere."""
    root = os.path.realpath(context.path)
    parent = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    if parent == root or parent.startswith(root.rstrip("/") + "/"):
        return os.path.join(os.path.relpath(parent, root), os.path.basename(path)).removeprefix("./")
    if not os.path.lexists(path) and not os.path.isabs(path) and _is_there(context, path):
        return path
    return None


def _is_there(context: LocalContext, path: str) -> bool:
    parent, _, name = path.rpartition("/")
    try:
        return name in context.all_names(parent)
    except ContextError:
        return False


def _no_dockerfile(context: LocalContext, path: str) -> ContextError:
    parent, _, name = path.rpartition("/")
    try:
        entry = context.link_at(path)
        names = context.all_names(parent)
    except ContextError:
        entry, names = None, []
    if entry is not None:
        return ContextError(
            f'"{path}" is a symlink that does not lead to a file in {context.name}',
            code="dockerfile-escapes",
            hint="put the Dockerfile itself there, or name it with -f",
        )
    if name in names:
        return ContextError(f'"{path}" is not a file', code="no-dockerfile")
    near = did_you_mean(name, names) or "name it with -f"
    return ContextError(f'there is no "{path}" in {context.name}', code="no-dockerfile", hint=near)


def _near_file(path: str) -> str | None:
    try:
        return did_you_mean(os.path.basename(path), os.listdir(os.path.dirname(path) or "."))
    except OSError:
        return None


def _decoded(data: bytes, shown: str) -> str:
    if b"\0" in data:
        source = Source(shown, data.decode("utf-8", "surrogateescape"))
        before, _, _ = source.text.partition("\0")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ContextError(
            "it is no text: it holds a NUL byte",
            code="dockerfile-binary",
            span=Span(source, line, column, line, column + 1),
        )
    return data.decode("utf-8", "surrogateescape")
