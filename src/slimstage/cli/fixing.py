"""Writes what `slimstage check --fix` mended. Each file whole or not at all; nothing that is there is overwritten unasked."""

from __future__ import annotations

import os
import stat

from slimstage.errors import ContextError, UsageError
from slimstage.lint.finding import NewFile
from slimstage.tree.paths import open_real


def write_fixed(path: str, before: str, after: str) -> None:
    """Puts the new text in the place of the old one, with its mode and, where that is allowed, its owner.

    A symlink stays one, and its target is written. Raises ContextError: the file is not any more what was checked;
    UsageError: it cannot be written.
    """
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(target, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ContextError(f'"{path}" is not a file', code="no-dockerfile")
            if file.read() != _bytes(before):
                raise ContextError(
                    f'"{path}" was changed while it was checked', code="file-changes", hint="check it again"
                )
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(_bytes(after))
                file.flush()
                _keep_owner(file.fileno(), status)
                os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f'cannot write "{path}": {(error.strerror or "").lower()}') from error


def _keep_owner(fd: int, status: os.stat_result) -> None:
    mine = os.fstat(fd)
    if (mine.st_uid, mine.st_gid) != (status.st_uid, status.st_gid):
        try:
            os.fchown(fd, status.st_uid, status.st_gid)
        except OSError:
            pass  # only root may give a file away; that it is the user's own is no harm


def write_new(directory: str, file: NewFile) -> bool:
    """Writes a file that a fix brings; False: something of that name is there. Raises UsageError: it cannot be written."""
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        raise UsageError(f'a fix cannot write "{file.path}"')
    root = -1
    try:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fd = open_real(root, file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(fd, "wb") as opened:
            opened.write(_bytes(file.text))
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(f'cannot write "{file.path}": {(error.strerror or "").lower()}') from error
    finally:
        if root >= 0:
            os.close(root)
    return True


def with_addition(directory: str, file: NewFile) -> tuple[str, str, str]:
    """The path of a file that a fix adds to, its text, and that text with the addition on lines of its own.

    Raises UsageError: it cannot be read, or is no file of that directory.
    """
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        raise UsageError(f'a fix cannot write "{file.path}"')
    path = os.path.join(directory, file.path)
    try:
        with open(path, "rb") as opened:
            before = opened.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f'cannot read "{path}": {(error.strerror or "").lower()}') from error
    end = "\r\n" if "\r\n" in before else "\n"
    middle = "" if not before or before.endswith("\n") else end
    return path, before, before + middle + file.text.replace("\n", end)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
