"""What a registry answered when it did not give what was asked: errors that say so, without secrets.

Source: distribution-spec v1.1, "Error Codes"; RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence

from slimstage.errors import RegistryError
from slimstage.regex import pattern

LIMIT_BYTES = 64 << 10
"""Of an error body that is read."""

_SHORTEST_SECRET = 4
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_TEXT = 300
_DIGEST = pattern(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class HttpError(RegistryError):
    """An answer with a status that says no. `codes` and `said` are the registry's own, without secrets; `digests` those
    that it named; `retry_after_s` when it named a time."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        codes: Sequence[str] = (),
        retry_after_s: float | None = None,
        notes: Sequence[str] = (),
        hint: str | None = None,
        said: str = "",
        digests: Iterable[str] = (),
    ) -> None:
        super().__init__(
            message, status=status, code=code, is_temporary=status in _TEMPORARY, notes=tuple(notes), hint=hint
        )
        self.codes, self.retry_after_s = tuple(codes), retry_after_s
        self.said, self.digests = said, tuple(digests)


class Secrets:
    """Passwords and tokens that were used so far; takes them out of any text. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def add(self, *secrets: str | None) -> None:
        """Very short ones are left out: taking every "a" out of a message hides nothing and says so."""
        with self._lock:
            self._known |= {secret for secret in secrets if secret and len(secret) >= _SHORTEST_SECRET}

    def redact(self, text: str) -> str:
        with self._lock:
            known = sorted(self._known, key=len, reverse=True)
        for secret in known:
            text = text.replace(secret, "xxxxx")
        return text


def http_error(
    doing: str, status: int, body: bytes, retry_after: str | None, secrets: Secrets, notes: Sequence[str] = ()
) -> HttpError:
    """The error for an answer. doing: "get manifest latest of NAME from HOST". body: at most `LIMIT_BYTES` of it."""
    codes, said = read_errors(body)
    code, hint = _CODES.get(status, ("registry", None))
    said = secrets.redact(said)
    text = f": {said}" if said else ""
    return HttpError(
        f"{doing}: the registry answered {status}{text}",
        status=status,
        code=code,
        codes=codes,
        retry_after_s=retry_after_s(retry_after),
        notes=notes,
        hint=hint,
        said=said,
        digests=dict.fromkeys(_DIGEST.findall(body.decode("latin-1"))),
    )


_CODES: dict[int, tuple[str, str | None]] = {
    401: ("denied", "log in with slimstage login, or check the name"),
    403: ("denied", "the account may not read it, or the name is wrong"),
    404: ("not-found", None),
    429: ("rate-limited", "wait a while, log in for a higher limit, or set a mirror for the registry"),
}


def read_errors(body: bytes) -> tuple[tuple[str, ...], str]:
    """(codes, one line) of a registry's error body; a body of another kind gives nothing but its first words."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        text = " ".join(body[:_LONGEST_TEXT].decode("utf-8", "replace").split())
        return (), "" if text.startswith("<") else text
    if not isinstance(document, dict):
        return (), ""
    errors = document.get("errors")
    codes, lines = [], []
    for entry in errors[:5] if isinstance(errors, list) else [document]:
        if not isinstance(entry, dict):
            continue
        code = entry.get("code")
        message = entry.get("message") or entry.get("details") or entry.get("error")
        if isinstance(code, str):
            codes.append(code[:100])
        if isinstance(message, str) and message:
            lines.append(" ".join(message.split())[:_LONGEST_TEXT])
        elif isinstance(code, str):
            lines.append(code[:100])
    return tuple(codes), "; ".join(lines)[:_LONGEST_TEXT]


def retry_after_s(text: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, in either form; None when it says nothing usable."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(int(text[:9]))
    import email.utils  # a date is rare, and costs a dozen modules

    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
