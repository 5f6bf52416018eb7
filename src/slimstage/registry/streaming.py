"""A blob to a repository while it is being made: its bytes go as they come, its digest at the end.

As `docker push` sends a layer that it compresses: one request of no known length. Whatever goes wrong on the way is
left to `upload.py`, which goes on where the registry says once the blob is whole; its bytes are all in the store then.
Once the digest is known and much is left to send, the registry is asked whether it has the blob already.
Source: distribution-spec v1.1, "Pushing blobs"; distribution's API, "Streamed upload".
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.errors import RegistryError
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.pieces import Pieces
from slimstage.registry.session import Session, UploadSessions
from slimstage.registry.transport import Body
from slimstage.registry.upload import BLOCK_BYTES, Progress
from slimstage.store.files import guarded
from slimstage.store.growing import GrowingBlob

_REFUSED = frozenset({401, 403})


class StreamedUpload:
    """The first way of one growing blob. `run` once."""

    def __init__(
        self, client: RegistryClient, target: Reference, blob: GrowingBlob, progress: Progress, pieces: Pieces
    ) -> None:
        self._client, self._blob, self._progress, self._pieces = client, blob, progress, pieces
        self._sessions = UploadSessions(client, target, f"push a layer to {target.repository_name}")
        self._told = 0
        self._is_there: bool | None = None

    def run(self) -> Session | None:
        """The session that has what went, all of it or not (`is_unsure`); None when nothing went or the blob is there.

        Returns when the blob is whole. A blob that is whole before it is worth a stream is not sent here at all.
        Raises RegistryError: the registry refuses, or cannot be reached; what making the blob raised; Interrupted.
        """
        check = self._client.pauses.check
        if self._blob.wait(self._pieces.whole, check) <= self._pieces.whole or self._blob.descriptor is not None:
            return None
        session = self._client.pauses.repeat(self._sessions.begun)
        try:
            self._feed(session)
            if not self._is_there:
                self._blob.whole(check)
        except BaseException:
            self._sessions.give_up(session)
            raise
        if session.is_unsure or self._is_there:
            self._tell(0)
        if self._is_there:
            self._sessions.give_up(session)
            return None
        return session

    def _feed(self, session: Session) -> None:
        """Until all is there, or something went wrong."""
        try:
            while self._blob.wait(session.at, self._client.pauses.check) > session.at:
                body = Body(None, lambda: self._blocks(session.at))
                self._sessions.feed(session, body, lambda: self._told - session.at)
                if self._is_there or self._told != session.at:
                    session.is_unsure = True  # it keeps less than it was given
                    return
        except RegistryError as error:
            if isinstance(error, HttpError) and error.status in _REFUSED:
                raise
            session.is_unsure = True
            if error.is_temporary:
                self._client.pauses.after(1, error)

    def _blocks(self, start: int) -> Iterator[bytes]:
        """What there is from there on, to the end or to as much as one request may carry."""
        self._tell(start)  # the same may go twice, when a login ends in between
        check, at = self._client.pauses.check, start
        while at < start + self._pieces.chunk and not self._has_it(at):
            with guarded("read a layer that is being made"):
                block = self._blob.read_at(at, BLOCK_BYTES, check)
            if not block:
                return
            at += len(block)
            yield block
            self._tell(at)

    def _has_it(self, at: int) -> bool:
        """Whether the registry has it after all; asked once, when that can be and is worth it."""
        descriptor = self._blob.descriptor
        if self._is_there is None and descriptor is not None:
            try:
                self._is_there = descriptor.size - at > self._pieces.whole and self._sessions.is_there(descriptor)
            except RegistryError:
                self._is_there = False
        return bool(self._is_there)

    def _tell(self, there: int) -> None:
        if there != self._told:
            count, self._told = there - self._told, there
            self._progress(count)
