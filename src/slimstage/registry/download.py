"""One blob from a registry into the store: resumed when the connection breaks, verified as it arrives.

The bytes are digested and written in one pass; nothing is visible in the store before the digest fits. What a server
says about ranges and lengths only guides the transfer: the digest decides. What came before the transfer was given up is
kept, and the next one goes on from there, in this process or another.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from slimstage.errors import DigestMismatch, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.hosts import Endpoint
from slimstage.registry.resumed import OtherRange, TooLong, blob_blocks
from slimstage.store.blobs import Blobs
from slimstage.store.partial import resumable

Progress = Callable[[int], object]
"""Told how many bytes came since the last call; a negative number when they have to come again."""


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

    def run(self) -> None:
        """Raises RegistryError (`digest-mismatch` when the bytes are others), StoreError, Interrupted."""
        # What a server sent is not continued from the next one: had it lied, the rest would be in vain.
        self._client.first(self._reference, self._from)

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
        size = self._blob.size
        with resumable(self._blobs, self._blob.digest, source_of(endpoint)) as writer:
            at = writer.size_bytes
            self._tell(at)
            try:
                if at > size:
                    raise OtherRange("more is here than the blob has")
                if at < size or not size:
                    with closing(blob_blocks(self._client, endpoint, self._reference, self._blob, at)) as blocks:
                        for block in blocks:
                            writer.write(block)
                            self._tell(len(block))
            except OtherRange:
                writer.abort()
                return False
            except TooLong as error:
                raise DigestMismatch(f"{size} bytes", f"more than {size} bytes") from error
            except RegistryError:
                self._take_back()
                raise
            writer.commit(self._blob.digest, size)
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
