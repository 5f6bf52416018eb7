"""A blob of a registry as a stream that is read while it comes: for what goes on elsewhere without staying here.

One block is in memory. When the connection breaks, reading goes on where it stopped, on the same server; a server that
does not continue there sends all again, and what was read is passed over. The bytes are not verified here: `checked`,
or the registry that they go to, does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from slimstage.errors import RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient, noted
from slimstage.registry.download import body_start
from slimstage.registry.hosts import Endpoint
from slimstage.registry.retry import patience
from slimstage.registry.transport import Response

_WORTH_BYTES = 1 << 20
"""A connection that brought so much was worth it: failures are counted anew."""


def blob_stream(client: RegistryClient, reference: Reference, blob: Descriptor, offset: int = 0) -> BinaryIO:
    """The blob's bytes from an offset on, asked for with the first read; `read` alone works on it. Close it."""
    return cast(BinaryIO, _BlobStream(client, reference, blob, offset))


class _BlobStream(io.RawIOBase):
    """See `blob_stream`. For one thread."""

    def __init__(self, client: RegistryClient, reference: Reference, blob: Descriptor, offset: int = 0) -> None:
        self._client, self._reference, self._blob, self._at = client, reference, blob, offset
        self._doing = f"get blob {blob.digest[:19]}… of {reference.repository_name}"
        self._response: Response | None = None
        self._blocks: Iterator[bytes] | None = None
        self._left = memoryview(b"")
        self._is_over = offset >= blob.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Raises RegistryError when no server gives it to its end; Interrupted when the client was closed."""
        if not self._left and not self._is_over:
            self._left = memoryview(self._next())
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
        super().close()

    def _next(self) -> bytes:
        """The next block, not empty; b"" at the end."""
        if self._blocks is None:
            self._blocks = self._all()
        block = next(self._blocks, b"")
        self._is_over = not block
        return block

    def _all(self) -> Iterator[bytes]:
        notes: list[str] = []
        last: RegistryError | None = None
        for endpoint in self._client.endpoints(self._reference):
            begun = self._at
            try:
                yield from self._from(endpoint)
                return
            except RegistryError as error:
                self._client.failed(endpoint, error)
                if self._at != begun:
                    raise  # its bytes are on their way already: another server's would not be of one piece
                if last is not None:
                    notes.append(last.message)
                last = error
        if last is None:
            raise RegistryError(f"no server is known for {self._reference.registry}")
        raise noted(last, notes)

    def _from(self, endpoint: Endpoint) -> Iterator[bytes]:
        failures, most = 0, self._client.pauses.backoff.attempts
        while True:
            before = self._at
            try:
                yield from self._receive(endpoint)
                return
            except RegistryError as error:
                failures = 1 if self._at - before >= _WORTH_BYTES else failures + 1
                limit = 2 if endpoint.is_mirror and self._at == 0 else most
                if not error.is_temporary or failures >= min(limit, patience(error)):
                    raise
                self._client.pauses.after(failures, error)

    def _receive(self, endpoint: Endpoint) -> Iterator[bytes]:
        """One connection's worth."""
        headers = {"Range": f"bytes={self._at}-"} if self._at else None
        path, expects = f"blobs/{self._blob.digest}", (200, 206) if self._at else (200,)
        response = self._client.open(endpoint, self._reference.repository, path, self._doing, headers, expects)
        self._response = response
        start = body_start(response)
        if start is None or start > self._at:
            response.close()
            raise RegistryError(f"{self._doing}: {endpoint.origin} sends another range than asked", code="bad-answer")
        skip = self._at - start
        for block in response.blocks():
            self._client.pauses.check()
            if skip:
                block, skip = block[skip:], max(0, skip - len(block))
            if self._at + len(block) > self._blob.size:
                response.close()
                raise RegistryError(
                    f"{self._doing}: it is larger than its descriptor says, {self._blob.size} bytes",
                    code="digest-mismatch",
                )
            self._at += len(block)
            if block:
                yield block
        if self._at < self._blob.size:
            raise RegistryError(
                f"{self._doing}: the transfer ended early: want {self._blob.size} bytes, got {self._at}",
                code="connection-lost",
                is_temporary=True,
            )
