"""A blob that one thread makes while others read it: its digest and its size are known at its end.

For a layer that is compressed while it is sent. The bytes are read from the file that the blob will be, so whoever reads
may be as slow as it likes, and begin again anywhere. What is read has no digest yet: nothing may be made of it before
`descriptor` says which it is.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from slimstage.digest import Digest
from slimstage.errors import Interrupted, StoreError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.blobs import BlobWriter

_LOOK_S = 0.2
"""Who waits for bytes looks so often whether the work was called off."""


class OtherLayer(StoreError):
    """What was made does not unpack to the diff ID that was wanted: made another way, it may."""

    default_code = "other-layer"


class GrowingBlob:
    """See above. Safe for several threads; closed by whoever made it, once nobody reads any more."""

    def __init__(self, diff_id: Digest) -> None:
        """diff_id: of the layer that it is to be."""
        self.diff_id = diff_id
        self._changed = threading.Condition()
        self._fd, self._size = -1, 0
        self._descriptor: Descriptor | None = None
        self._error: BaseException | None = None
        self._is_called_off = False

    # Whoever makes it -----------------------------------------------------------------------------------------

    def begin(self, writer: BlobWriter) -> None:
        """The bytes go into this writer, of which nothing was written yet."""
        with self._changed:
            self._fd = os.dup(writer.fileno())
        writer.tells = self._grew

    def end(self, descriptor: Descriptor, diff_id: Digest) -> None:
        """All is written. diff_id: what it unpacks to; when that is another than was wanted, readers get OtherLayer."""
        if diff_id != self.diff_id:
            self.fail(OtherLayer(f"want {self.diff_id}, got {diff_id}"))
            return
        with self._changed:
            self._descriptor = descriptor
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """It will not be: readers get the error. Without effect after `end`."""
        with self._changed:
            if self._descriptor is None:
                self._error = self._error or error
            self._changed.notify_all()

    def _grew(self, size_bytes: int) -> None:
        if self._is_called_off:
            raise Interrupted("the transfer was called off")
        with self._changed:
            self._size = size_bytes
            self._changed.notify_all()

    # Whoever reads --------------------------------------------------------------------------------------------

    @property
    def descriptor(self) -> Descriptor | None:
        """None while it grows."""
        return self._descriptor

    def wait(self, size_bytes: int, check: Callable[[], object] = lambda: None) -> int:
        """How many bytes there are, as soon as those are more than `size_bytes` or all of them.

        check: called now and then meanwhile, to raise what ends the waiting. Raises what the making of it has raised.
        """
        while True:
            check()
            with self._changed:
                if self._error is not None:
                    raise self._error
                if self._size > size_bytes or self._descriptor is not None:
                    return self._size
                self._changed.wait(_LOOK_S)

    def whole(self, check: Callable[[], object] = lambda: None) -> Descriptor:
        """What it is, once it is. Raises as `wait`."""
        while self._descriptor is None:
            self.wait(self._size, check)
        return self._descriptor

    def open_at(self, offset: int) -> BinaryIO:
        """Its bytes from an offset on; `read` waits for what is not there yet, and raises as `wait`. Close it."""
        return cast(BinaryIO, _Reader(self, offset))

    def read_at(self, offset: int, count: int, check: Callable[[], object] = lambda: None) -> bytes:
        """At most so many bytes, as soon as there are any; b"" at the end. Raises as `wait`."""
        there = self.wait(offset, check) - offset
        return os.pread(self._fd, min(count, there), offset) if there > 0 else b""

    def call_off(self) -> None:
        """Nobody needs it any more: making it ends soon. Idempotent."""
        self._is_called_off = True

    def close(self) -> None:
        """Idempotent."""
        with self._changed:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


class _Reader(io.RawIOBase):
    def __init__(self, blob: GrowingBlob, at: int) -> None:
        self._blob, self._at = blob, at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._blob.read_at(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
