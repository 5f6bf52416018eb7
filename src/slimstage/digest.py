"""Digests: `sha256:…` of exact bytes.

Source: OCI image-spec v1.1, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, BinaryIO, NewType

from slimstage.errors import DigestMismatch, FormatError
from slimstage.regex import pattern

Digest = NewType("Digest", str)
"""`algorithm:hex`, checked by `parse_digest` wherever it comes from outside."""

_GRAMMAR = {"sha256": pattern(r"sha256:[0-9a-f]{64}\Z"), "sha512": pattern(r"sha512:[0-9a-f]{128}\Z")}


def parse_digest(text: object) -> Digest:
    """The digest that `text` names. Raises FormatError for anything but lower-case sha256 or sha512."""
    if isinstance(text, str):
        grammar = _GRAMMAR.get(text.partition(":")[0])
        if grammar and grammar.match(text):
            return Digest(text)
    raise FormatError(f"{str(text)[:100]!r} is not a digest", code="bad-digest", hint="want sha256: and 64 hex digits")


def digest_bytes(data: bytes | bytearray | memoryview) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_json(value: Any) -> Digest:
    """The digest of a value's canonical JSON: keys sorted, no white space, UTF-8 with surrogates kept."""
    return digest_bytes(canonical_json(value))


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def digest_stream(stream: BinaryIO, block_bytes: int = 1 << 20) -> Digest:
    """The digest of all that is left in the stream; the caller closes it."""
    state = hashlib.sha256()
    while block := stream.read(block_bytes):
        state.update(block)
    return Digest("sha256:" + state.hexdigest())


class VerifyingReader:
    """Reads a stream, and at its end raises DigestMismatch unless the bytes are what `want` and `size_bytes` say.

    A stream that is longer than `size_bytes` fails as soon as it is, so memory and disk stay bounded.
    """

    def __init__(self, stream: BinaryIO, want: Digest, size_bytes: int | None = None) -> None:
        self._stream, self._want, self._size = stream, want, size_bytes
        self._state = hashlib.new(want.partition(":")[0])
        self._seen = 0

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        self._state.update(data)
        self._seen += len(data)
        if self._size is not None and self._seen > self._size:
            raise DigestMismatch(f"{self._size} bytes", f"more than {self._size} bytes")
        if (not data and count != 0) or count < 0:
            self.verify()
        return data

    def verify(self) -> None:
        """Raises DigestMismatch unless all bytes read so far are exactly the wanted ones."""
        if self._size is not None and self._seen != self._size:
            raise DigestMismatch(f"{self._size} bytes", f"{self._seen} bytes")
        got = f"{self._want.partition(':')[0]}:{self._state.hexdigest()}"
        if got != self._want:
            raise DigestMismatch(self._want, got)
