"""One blob from a registry into the store: resumed when the connection breaks, verified as it arrives.

The bytes are digested and written in one pass; nothing is visible in the store before the digest fits. What a server
says about ranges and lengths only guides the transfer: the digest decides. What came before the transfer was given up is
kept, and the next one goes on from there, in this process or another.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from slimstage.errors import DigestMismatch, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient, noted
from slimstage.registry.hosts import Endpoint
from slimstage.registry.retry import patience
from slimstage.registry.transport import Response
from slimstage.store.blobs import Blobs, BlobWriter
from slimstage.store.partial import resumable

Progress = Callable[[int], object]
"""Told how many bytes came since the last call; a negative number when they have to come again."""

_WORTH_BYTES = 1 << 20
"""A connection that brought so much was worth it: failures are counted anew. Less could go on for ever."""
_RANGE = pattern(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)\Z", re.ASCII)


def source_of(endpoint: Endpoint) -> str:
    """Whose bytes a part of a blob is made of, as `resumable` wants to know it."""
    return f"{endpoint.origin}/{endpoint.prefix}"


class BlobDownload:
    """One blob on its way. `run` once."""

    def __init__(
        self, client: RegistryClient, reference: Reference, blob: Descriptor, blobs: Blobs, progress: Progress
    ) -> None:
        self._client, self._reference, self._blob, self._blobs = client, reference, blob, blobs
        self._progress = progress
        self._told = 0
        self._doing = f"get blob {blob.digest[:19]}… of {reference.repository_name}"

    def run(self) -> None:
        """Raises RegistryError (`digest-mismatch` when the bytes are others), StoreError, Interrupted."""
        notes: list[str] = []
        last: RegistryError | None = None
        for endpoint in self._client.endpoints(self._reference):
            # What a server sent is not continued from the next one: had it lied, the rest would be in vain.
            try:
                self._from(endpoint)
                return
            except RegistryError as error:
                self._client.failed(endpoint, error)
                if last is not None:
                    notes.append(last.message)
                last = error
        if last is None:
            raise RegistryError(f"no server is known for {self._reference.registry}")
        raise noted(last, notes)

    def _from(self, endpoint: Endpoint) -> None:
        try:
            if self._attempt(endpoint):
                return
        except DigestMismatch:
            pass
        # Pieces did not make the whole: damage on the way, or a lie about a range. Once more, from the beginning.
        self._take_back()
        try:
            if self._attempt(endpoint):
                return
        except DigestMismatch as error:
            self._take_back()
            raise self._lied(endpoint, error.want, error.got) from error
        raise self._lied(endpoint, f"bytes from where it broke, of {self._blob.size}", "another range")

    def _attempt(self, endpoint: Endpoint) -> bool:
        """Writes and keeps the blob, over as many connections as it takes. False: begin again."""
        failures, most = 0, self._client.pauses.backoff.attempts
        with resumable(self._blobs, self._blob.digest, source_of(endpoint)) as writer:
            self._tell(writer.size_bytes)
            while not writer.size_bytes or writer.size_bytes != self._blob.size:
                before = writer.size_bytes
                try:
                    if before > self._blob.size or not self._receive(endpoint, writer):
                        writer.abort()
                        return False
                    break
                except RegistryError as error:
                    worth = writer.size_bytes - before >= _WORTH_BYTES
                    failures = 1 if worth else failures + 1
                    limit = 2 if endpoint.is_mirror and not writer.size_bytes else most
                    if not error.is_temporary or failures >= min(limit, patience(error)):
                        self._take_back()
                        raise
                    self._client.pauses.after(failures, error)
            writer.commit(self._blob.digest, self._blob.size)
        return True

    def _receive(self, endpoint: Endpoint, writer: BlobWriter) -> bool:
        """One connection's worth, from where the writer is. False: the server does not continue from there."""
        at = writer.size_bytes
        headers = {"Range": f"bytes={at}-"} if at else None
        path = f"blobs/{self._blob.digest}"
        response = self._client.open(
            endpoint, self._reference.repository, path, self._doing, headers, (200, 206, 416) if at else (200,)
        )
        try:
            start = body_start(response)
            if start is None or start > at:
                return False
            skip = at - start  # the whole again, or from earlier on: what is here is not written twice
            for block in response.blocks():
                self._client.pauses.check()
                if skip:
                    block, skip = block[skip:], max(0, skip - len(block))
                if writer.size_bytes + len(block) > self._blob.size:
                    raise DigestMismatch(f"{self._blob.size} bytes", f"more than {self._blob.size} bytes")
                writer.write(block)
                self._tell(len(block))
        finally:
            response.close()
        if writer.size_bytes < self._blob.size:
            raise RegistryError(
                f"{self._doing}: the transfer ended early: want {self._blob.size} bytes, got {writer.size_bytes}",
                code="connection-lost",
                is_temporary=True,
            )
        return True

    def _tell(self, count: int) -> None:
        if count:
            self._told += count
            self._progress(count)

    def _take_back(self) -> None:
        self._tell(-self._told)

    def _lied(self, endpoint: Endpoint, want: str, got: str) -> RegistryError:
        return RegistryError(
            f"{endpoint.origin} sends other bytes for {self._blob.digest} than that digest and its size say: "
            f"want {want}, got {got}",
            code="digest-mismatch",
            hint="the registry or something on the way changes them; nothing of it was kept",
        )


def body_start(response: Response) -> int | None:
    """Where in the blob the body begins; None when the server does not say, or has nothing there."""
    if response.status == 200:
        return 0
    match = _RANGE.match((response.header("Content-Range") or "").strip())
    return int(match[1]) if response.status == 206 and match else None
