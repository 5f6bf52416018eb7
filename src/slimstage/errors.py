"""Everything slimstage raises on purpose.

SlimstageError
├─ UsageError        flags, request                            exit 2, the input
├─ DockerfileError   cannot be read               (has span)   exit 2
├─ PlanError         read, cannot be built        (has span)   exit 2
├─ ContextError      source missing, or escapes   (has span)   exit 2
├─ FormatError       a tar, layer, manifest or layout that lies, is truncated or malformed   exit 2
├─ StepFailed        exit status, last log lines  (has span)   exit 1, the user's command
├─ NotVerified       no good signature                         exit 1, the check that was asked for
├─ Interrupted       the user pressed Ctrl-C                   exit 130 (128 + the signal)
├─ SandboxError      what was refused, and by what             exit 3, this host or a registry
├─ StoreError        BlobMissing, DigestMismatch(want, got)    exit 3
└─ RegistryError     HTTP status, code, temporary              exit 3

An error carries one or more diagnostics. Code that knows no position raises without one; code nearer to the user adds
it with `at()`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar, Self

from slimstage.diagnostics import Diagnostic, Span, render

DISK_FULL = "disk-full"
"""The code of every error that means a full disk or a used-up quota, wherever it was met."""
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_FULL_HINT = 'free some space, for example with "slimstage prune"'


class SlimstageError(Exception):
    """The base of all: `code` in kebab case, one sentence, notes and a hint; `diagnostics` when there are several."""

    exit_status: ClassVar[int] = 3
    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        span: Span | None = None,
        notes: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        first = Diagnostic(code or self.default_code, message, span, tuple(notes), hint)
        super().__init__(message)
        self.diagnostics: tuple[Diagnostic, ...] = (first,)

    @classmethod
    def of(cls, diagnostics: Sequence[Diagnostic]) -> Self:
        """One error that reports several faults together, in the order given (at least one)."""
        first = diagnostics[0]
        error = cls(first.message, code=first.code, span=first.span, notes=first.notes, hint=first.hint)
        error.diagnostics = tuple(diagnostics)
        return error

    def at(self, span: Span) -> Self:
        """This error with `span` where it had none: said by code that knows the instruction."""
        self.diagnostics = tuple(
            d if d.span else Diagnostic(d.code, d.message, span, d.notes, d.hint, d.severity) for d in self.diagnostics
        )
        return self

    def noted(self, note: str) -> Self:
        """This error with one more note behind those of its first diagnostic."""
        first = self.diagnostics[0]
        noted = Diagnostic(first.code, first.message, first.span, (*first.notes, note), first.hint, first.severity)
        self.diagnostics = (noted, *self.diagnostics[1:])
        return self

    @property
    def message(self) -> str:
        return self.diagnostics[0].message

    @property
    def code(self) -> str:
        return self.diagnostics[0].code

    @property
    def hint(self) -> str | None:
        return self.diagnostics[0].hint

    def __str__(self) -> str:
        return "\n".join(render(d) for d in self.diagnostics)


class UsageError(SlimstageError):
    """A flag, a settings file or a request that makes no sense."""

    exit_status = 2
    default_code = "usage"


class DockerfileError(SlimstageError):
    """The Dockerfile cannot be read; every fault found is in `diagnostics`."""

    exit_status = 2
    default_code = "dockerfile"


class PlanError(SlimstageError):
    """The Dockerfile was read, but what it asks cannot be built."""

    exit_status = 2
    default_code = "plan"


class ContextError(SlimstageError):
    """A source is missing from the context or stage, excluded, changed under our hands, or leads outside."""

    exit_status = 2
    default_code = "context"


class FormatError(SlimstageError):
    """A tar, layer, manifest, config or layout is malformed, truncated, or not what its digest or size says."""

    exit_status = 2
    default_code = "format"


class StepFailed(SlimstageError):
    """The user's own command ended with a status other than 0."""

    exit_status = 1
    default_code = "run-failed"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        last_lines: Sequence[str] = (),
        code: str | None = None,
        span: Span | None = None,
        notes: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, span=span, notes=notes, hint=hint)
        self.status = status
        """The exit status; 128 + N when signal N ended it."""
        self.last_lines = tuple(last_lines)


class NotVerified(SlimstageError):
    """What the user asked to be verified is not so."""

    exit_status = 1
    default_code = "not-verified"


class Interrupted(SlimstageError):
    """The user, or a sibling step's failure, asked for an end."""

    exit_status = 130
    default_code = "interrupted"
    signal: int = 2
    """The number of what asked: SIGINT, unless the one who listens to signals says otherwise."""


class SandboxError(SlimstageError):
    """This host refused something that a step needs; the message names what, and by what."""

    default_code = "sandbox"


class StoreError(SlimstageError):
    """The store on disk cannot serve: full, read-only, newer version, damaged."""

    default_code = "store"


class BlobMissing(StoreError):
    default_code = "blob-missing"


class DigestMismatch(StoreError):
    """Bytes are not what their digest says."""

    default_code = "digest-mismatch"

    def __init__(self, want: object, got: object, what: str = "blob") -> None:
        super().__init__(f"{what} has other bytes than its digest says: want {want}, got {got}")
        self.want, self.got = str(want), str(got)


class RegistryError(SlimstageError):
    """A registry refused or failed."""

    default_code = "registry"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        is_temporary: bool = False,
        span: Span | None = None,
        notes: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, span=span, notes=notes, hint=hint)
        self.status, self.is_temporary = status, is_temporary
