"""A blob of a registry as a stream that is read while it comes: for what goes on elsewhere without staying here.

One block is in memory. When the connection breaks, reading goes on where it stopped, on the same server. The bytes are not
verified here: `checked`, or the registry that they go to, does.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import Any, BinaryIO, cast

from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.hosts import Endpoint
from slimstage.registry.resumed import blob_blocks


def blob_stream(client: RegistryClient, reference: Reference, blob: Descriptor, offset: int = 0) -> BinaryIO:
    """The blob's bytes from an offset on, asked for with the first read; `read` alone works on it. Close it."""
    return cast(BinaryIO, _BlobStream(client, reference, blob, offset))


class _BlobStream(io.RawIOBase):
    """See `blob_stream`. For one thread."""

    def __init__(self, client: RegistryClient, reference: Reference, blob: Descriptor, offset: int = 0) -> None:
        self._client, self._reference, self._blob, self._offset = client, reference, blob, offset
        self._blocks: Generator[bytes, None, None] | None = None
        self._left = memoryview(b"")
        self._is_over = offset >= blob.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Raises RegistryError when no server gives it to its end; Interrupted when the client was closed."""
        if not self._left and not self._is_over:
            block = next(self._blocks, b"") if self._blocks is not None else self._begin()
            self._left, self._is_over = memoryview(block), not block
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if self._blocks is not None:
            self._blocks.close()
        super().close()

    def _begin(self) -> bytes:
        """The first block, of the first server that gives one: once bytes are on their way, no other goes on with them."""

        def ask(endpoint: Endpoint) -> tuple[bytes, Generator[bytes, None, None]]:
            blocks = blob_blocks(self._client, endpoint, self._reference, self._blob, self._offset)
            return next(blocks), blocks

        block, self._blocks = self._client.first(self._reference, ask)
        return block
