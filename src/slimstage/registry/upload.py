"""One blob to one repository: found there, mounted from another one, or sent; what broke goes on where the registry says.

A session that cannot be continued (distribution 2.8 drops one whose connection broke in a chunk) is begun again.
Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, TypeAlias

from slimstage.errors import DigestMismatch, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.registry.pieces import Pieces
from slimstage.registry.retry import patience
from slimstage.registry.session import Session, UploadSessions
from slimstage.registry.transport import Body
from slimstage.store.files import guarded

Outcome: TypeAlias = Literal["there", "mounted", "sent"]
OpenAt: TypeAlias = Callable[[int], BinaryIO]
"""Opens the blob's bytes from an offset on; whoever calls it closes the stream."""
Progress: TypeAlias = Callable[[int], object]
"""Told how many bytes went since the last call; a negative number when they have to go again."""

BLOCK_BYTES = 256 << 10
_MOST_MOUNTS = 4
_GONE = frozenset({400, 404, 409, 410})
"""Statuses by which registries say that they know the session no more, or not in this state."""
_NO_CONNECTION = frozenset({"unreachable", "unknown-host", "tls"})


class BlobUpload:
    """One blob on its way. `run` once; `is_forced` does not ask whether it is there and mounts nothing."""

    def __init__(
        self,
        client: RegistryClient,
        target: Reference,
        blob: Descriptor,
        open_at: OpenAt,
        progress: Progress,
        *,
        mounts: Sequence[str] = (),
        is_forced: bool = False,
        stepwise: set[Endpoint] | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """target: registry and repository. mounts: repositories of the same registry that may have the blob.

        stepwise: servers that do not take a blob with the first request; those that turn out so are added.
        """
        self._client, self._blob, self._open_at, self._progress = client, blob, open_at, progress
        doing = f"push blob {blob.digest[:19]}… to {target.repository_name}"
        self._sessions = UploadSessions(client, target, doing)
        self._mounts = [name for name in dict.fromkeys(mounts) if name != target.repository][:_MOST_MOUNTS]
        self._is_forced, self._pieces = is_forced, pieces or Pieces()
        self._told = 0
        self._chunk = min(self._pieces.chunk, max(blob.size, self._pieces.smallest))
        self._stepwise = stepwise if stepwise is not None else set()
        self._was_refused = False

    def run(self) -> Outcome:
        """How the blob came to be there. Raises RegistryError, StoreError (its bytes cannot be read), Interrupted.

        What was begun and cannot be finished is given up at the registry, too.
        """
        session = None
        if not self._is_forced:
            if self._client.pauses.repeat(self._is_there):
                return self._told_whole("there")
            for name in self._mounts:
                session = self._sessions.mounted(self._blob.digest, name)
                if session is None and self._client.pauses.repeat(self._is_there):  # a 201 alone is believed by nobody
                    return self._told_whole("mounted")
                if session is not None:
                    break  # it offers an upload in its place: another source would leave that one behind
        self._finish(session)
        return "sent"

    def go_on(self, session: Session) -> Outcome:
        """As `run`, with a session of the same repository that may have bytes of the blob; those of a sure one are told."""
        if not session.is_unsure:
            self._told = session.at
        elif self._client.pauses.repeat(self._is_there):
            self._sessions.give_up(session)
            return self._told_whole("there")
        self._finish(session)
        return "sent"

    def _is_there(self) -> bool:
        return self._sessions.is_there(self._blob)

    # Sending --------------------------------------------------------------------------------------------------

    def _finish(self, session: Session | None) -> None:
        """Sends what is missing, over as many sessions and connections as it takes."""
        failures, furthest = 0, 0
        while True:
            try:
                self._client.pauses.check()
                if session is not None and session.is_unsure:
                    if session.at >= self._blob.size and self._is_there():
                        self._tell(self._blob.size)
                        return  # it was the answer that got lost
                    session = self._sessions.asked_again(session, self._blob.size)
                if session is None:
                    session = self._begun()
                    if session is None:
                        return
                self._forward(session)
                return
            except RegistryError as error:
                at = session.at if session is not None else 0
                failures = 1 if at - furthest >= self._pieces.worth else failures + 1
                furthest = max(furthest, at)
                session = self._after(error, session, failures)
            except BaseException:
                self._sessions.give_up(session)
                raise

    def _after(self, error: RegistryError, session: Session | None, failures: int) -> Session | None:
        """The session to go on with, after the wait that is due; None: a new one. Raises the error when that is all."""
        status = error.status if isinstance(error, HttpError) else None
        # A registry that was there a moment ago is being restarted: that takes a while.
        limit = patience(error) if session is None and not self._told else self._client.pauses.backoff.attempts
        may_go_on = failures < min(self._client.pauses.backoff.attempts, limit)
        try:
            if status == 413 and session is not None and self._chunk > self._pieces.smallest:
                self._chunk = max(min(self._chunk // 4, self._pieces.careful), self._pieces.smallest)
                session.is_unsure = True
                return session
            if not may_go_on:
                raise error
            if error.code == "bad-upload" or (session is not None and _is_about_digest(error)):
                self._check_digest(error)
                self._sessions.give_up(session)
                return None
            if status == 416 and session is not None and session.at:
                session.is_unsure = True
                return session
            if status == 416:
                self._sessions.give_up(session)  # one byte may be there: the answer is the same as for none
                return None
            if status in _GONE and session is not None:
                return None
            if error.is_temporary:
                self._client.pauses.after(failures, error)
                if session is not None:
                    session.is_unsure = True
                    self._chunk = min(self._chunk, self._pieces.careful)
                return session
            raise error
        except BaseException:
            if error.code not in _NO_CONNECTION:
                self._sessions.give_up(session)
            raise

    def _begun(self) -> Session | None:
        """A new session; None when the registry took the whole blob at once."""
        endpoint = self._sessions.endpoint
        self._tell(0)
        if self._blob.size > self._pieces.at_once or endpoint in self._stepwise:
            return self._sessions.begun()
        try:
            session = self._sessions.begun_with(self._blob.digest, self._body(0, self._blob.size))
        except HttpError as error:
            if error.is_temporary or error.status in (401, 403) or _is_about_digest(error):
                raise
            self._stepwise.add(endpoint)  # it wants to hear nothing of it
            return self._sessions.begun()
        if session is not None:
            self._stepwise.add(endpoint)
        return session

    def _forward(self, session: Session) -> None:
        """From where the session is to its end."""
        self._tell(session.at)
        size = self._blob.size
        # One byte never goes as a chunk: the answer to it, `0-0`, is that to none.
        if session.at == 0 and size <= max(1, min(self._pieces.whole, self._chunk)):
            self._sessions.end(session, self._blob, self._body(0, size))
            return
        while session.at < size:
            end = min(size, session.at + max(self._chunk, session.shortest_chunk))
            self._sessions.feed(session, self._body(session.at, end))
            self._tell(session.at)
        self._sessions.end(session, self._blob, b"")

    def _body(self, start: int, end: int) -> Body:
        return Body(end - start, lambda: self._blocks(start, end))

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        self._tell(start)  # the same range may go twice, when a login ends in between
        left = end - start
        with guarded(f"read blob {self._blob.digest}"):
            stream = self._open_at(start)
        with stream:
            while left:
                self._client.pauses.check()
                with guarded(f"read blob {self._blob.digest}"):
                    block = stream.read(min(BLOCK_BYTES, left))
                if not block:
                    raise DigestMismatch(f"{self._blob.size} bytes", f"{end - left} bytes")
                left -= len(block)
                yield block
                self._tell(end - left)

    # Telling --------------------------------------------------------------------------------------------------

    def _tell(self, there: int) -> None:
        if there != self._told:
            count, self._told = there - self._told, there
            self._progress(count)

    def _told_whole(self, outcome: Outcome) -> Outcome:
        self._tell(self._blob.size)
        return outcome

    def _check_digest(self, error: RegistryError) -> None:
        """Whether the bytes are what they should be is asked when the registry doubts it: reading them again costs.

        Raises DigestMismatch when it is right; the error itself when it says so twice.
        """
        if not _is_about_digest(error):
            return
        import hashlib

        state = hashlib.new(self._blob.digest.partition(":")[0])
        for block in self._blocks(0, self._blob.size):
            state.update(block)
        got = f"{state.name}:{state.hexdigest()}"
        if got != self._blob.digest:
            raise DigestMismatch(self._blob.digest, got) from error
        if self._was_refused:
            raise error
        self._was_refused = True


def _is_about_digest(error: RegistryError) -> bool:
    return isinstance(error, HttpError) and "DIGEST_INVALID" in error.codes
