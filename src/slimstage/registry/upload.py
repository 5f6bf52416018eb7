"""One blob to one repository: found there, mounted from another one, or sent; what broke goes on where the registry says.

What a registry says about offsets only guides the transfer: the digest that ends it decides. A session that cannot be
continued (distribution 2.8 drops one whose connection broke in a chunk) is begun again.
Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from slimstage.errors import DigestMismatch, Interrupted, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.registry.pieces import Pieces, arrived
from slimstage.registry.retry import patience
from slimstage.registry.transport import Body, Response, allowed, joined
from slimstage.store.files import guarded
from slimstage.values import dataclass

Outcome: TypeAlias = Literal["there", "mounted", "sent"]
OpenAt: TypeAlias = Callable[[int], BinaryIO]
"""Opens the blob's bytes from an offset on; whoever calls it closes the stream."""
Progress: TypeAlias = Callable[[int], object]
"""Told how many bytes went since the last call; a negative number when they have to go again."""

BLOCK_BYTES = 256 << 10
_MOST_MOUNTS = 4
_NUMBER = pattern(r"\d{1,12}\Z", re.ASCII)
_GONE = frozenset({400, 404, 409, 410})
"""Statuses by which registries say that they know the session no more, or not in this state."""
_NO_CONNECTION = frozenset({"unreachable", "unknown-host", "tls"})
_BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(slots=True)
class _Session:
    """An upload that the registry knows: where it goes on, how much is there, and whether that has to be asked."""

    url: str
    at: int = 0
    shortest_chunk: int = 0
    is_unsure: bool = False


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
        self._repository = target.repository
        self._endpoint: Endpoint = client.home(target)
        self._mounts = [name for name in dict.fromkeys(mounts) if name != self._repository][:_MOST_MOUNTS]
        self._is_forced, self._pieces = is_forced, pieces or Pieces()
        self._told = 0
        self._chunk = min(self._pieces.chunk, max(blob.size, self._pieces.smallest))
        self._stepwise = stepwise if stepwise is not None else set()
        self._was_refused = False
        self._doing = f"push blob {blob.digest[:19]}… to {target.repository_name}"

    def run(self) -> Outcome:
        """How the blob came to be there. Raises RegistryError, StoreError (its bytes cannot be read), Interrupted.

        What was begun and cannot be finished is given up at the registry, too.
        """
        session = None
        if not self._is_forced:
            if self._client.pauses.repeat(self._is_there):
                return self._told_whole("there")
            for name in self._mounts:
                session = self._mounted(name)
                if session is None and self._client.pauses.repeat(self._is_there):  # a 201 alone is believed by nobody
                    return self._told_whole("mounted")
                if session is not None:
                    break  # it offers an upload in its place: another source would leave that one behind
        self._finish(session)
        return "sent"

    # What is there already ------------------------------------------------------------------------------------

    def _is_there(self) -> bool:
        url = self._endpoint.url(self._repository, f"blobs/{self._blob.digest}")
        try:
            response = self._send("HEAD", url)
        except HttpError as error:
            if error.is_temporary:
                raise
            return False  # 404; and whoever may not read may still be allowed to write: the upload will say
        length = response.header("Content-Length") or ""
        response.drop()
        return not _NUMBER.match(length) or int(length) == self._blob.size

    def _mounted(self, name: str) -> _Session | None:
        """None when the registry says that it has mounted the blob, or that it does not; a session in its place."""
        url = self._endpoint.url(self._repository, f"blobs/uploads/?mount={self._blob.digest}&from={name}")
        try:
            response = self._client.pauses.repeat(
                lambda: self._send("POST", url, {"Content-Length": "0"}, None, (201, 202), reads=(name,))
            )
        except HttpError as error:
            if error.is_temporary:
                raise
            return None
        if response.status == 202:
            return self._session_of(response, url)
        response.drop()
        return None

    # Sending --------------------------------------------------------------------------------------------------

    def _finish(self, session: _Session | None) -> None:
        """Sends what is missing, over as many sessions and connections as it takes."""
        failures, furthest = 0, 0
        while True:
            try:
                self._client.pauses.check()
                if session is not None and session.is_unsure:
                    if session.at >= self._blob.size and self._is_there():
                        self._tell(self._blob.size)
                        return  # it was the answer that got lost
                    session = self._asked_again(session)
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
                self._give_up(session)
                raise

    def _after(self, error: RegistryError, session: _Session | None, failures: int) -> _Session | None:
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
                self._give_up(session)
                return None
            if status == 416 and session is not None and session.at:
                session.is_unsure = True
                return session
            if status == 416:
                self._give_up(session)  # one byte may be there, for which the answer is the same as for none
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
                self._give_up(session)
            raise

    def _begun(self) -> _Session | None:
        """A new session; None when the registry took the whole blob at once."""
        url = self._endpoint.url(self._repository, "blobs/uploads/")
        self._tell(0)
        if self._blob.size <= self._pieces.at_once and self._endpoint not in self._stepwise:
            response = self._at_once(f"{url}?digest={self._blob.digest}")
            if response is not None:
                if response.status == 201:
                    response.drop()
                    return None
                self._stepwise.add(self._endpoint)
                return self._session_of(response, url)
        return self._session_of(self._send("POST", url, {"Content-Length": "0"}, None, (202,)), url)

    def _at_once(self, url: str) -> Response | None:
        """The answer; None when the registry wants to hear nothing of it."""
        try:
            return self._send("POST", url, _BYTES, self._body(0, self._blob.size), (201, 202))
        except HttpError as error:
            if error.is_temporary or error.status in (401, 403) or _is_about_digest(error):
                raise
            self._stepwise.add(self._endpoint)
            return None

    def _forward(self, session: _Session) -> None:
        """From where the session is to its end."""
        self._tell(session.at)
        size = self._blob.size
        # One byte never goes as a chunk: the answer to it, `0-0`, is that to none.
        if session.at == 0 and size <= max(1, min(self._pieces.whole, self._chunk)):
            session.is_unsure = True
            self._put(session, self._body(0, size))
            return
        while session.at < size:
            self._patch(session)
        session.is_unsure = True
        self._put(session, b"")

    def _patch(self, session: _Session) -> None:
        start = session.at
        end = min(self._blob.size, start + max(self._chunk, session.shortest_chunk))
        headers = {**_BYTES, "Content-Range": f"{start}-{end - 1}"}
        session.is_unsure = True
        response = self._send("PATCH", session.url, headers, self._body(start, end), (201, 202, 204))
        said = response.header("Range")
        self._follow(session, response)
        there = end if said is None else self._offset(said)
        if not start <= there <= end:
            raise self._bad(f"says that it has {said}, but was given bytes {start}-{end - 1}")
        if there == start:
            raise RegistryError(
                f"{self._doing}: the registry keeps nothing of what it gets", code="bad-upload", is_temporary=True
            )
        session.at, session.is_unsure = there, False
        self._tell(there)

    def _put(self, session: _Session, body: bytes | Body) -> None:
        parts = urlsplit(session.url)
        query = f"{parts.query}&digest={self._blob.digest}" if parts.query else f"digest={self._blob.digest}"
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        session.at = self._blob.size
        self._send("PUT", url, _BYTES, body, (201, 204)).drop()

    def _asked_again(self, session: _Session) -> _Session | None:
        """The session with the offset that the registry names now; None when it knows it no more."""
        try:
            response = self._send("GET", session.url, None, None, (204, 202, 200))
        except HttpError as error:
            if error.is_temporary:
                raise
            return None
        said = response.header("Range")
        self._follow(session, response)
        session.at = self._offset(said) if said is not None else 0
        if session.at > self._blob.size:
            raise self._bad(f"says that it has {said} of {self._blob.size} bytes")
        session.is_unsure = False
        return session

    # Requests -------------------------------------------------------------------------------------------------

    def _session_of(self, response: Response, url: str) -> _Session:
        shortest = response.header("OCI-Chunk-Min-Length") or ""
        session = _Session(url, 0, int(shortest) if _NUMBER.match(shortest) else 0)
        if not response.header("Location"):
            response.drop()
            raise RegistryError(f"{self._doing}: the registry does not say where to send it", code="bad-answer")
        self._follow(session, response)
        return session

    def _follow(self, session: _Session, response: Response) -> None:
        """Takes the place where the upload goes on from an answer. Raises RegistryError (`redirect-refused`)."""
        location = response.header("Location")
        response.drop()
        if location:
            target = joined(response.url, location)
            allowed(response.url, target)
            session.url = target

    def _offset(self, said: str) -> int:
        there = arrived(said)
        if there is None:
            raise self._bad(f'answers with the range "{said[:60]}"')
        return there

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

    def _send(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        body: bytes | Body | None = None,
        expects: tuple[int, ...] = (200,),
        *,
        reads: tuple[str, ...] = (),
    ) -> Response:
        return self._client.send(
            self._endpoint,
            self._repository,
            method,
            url,
            self._doing,
            headers=headers,
            body=body,
            expects=expects,
            reads=reads,
        )

    def _give_up(self, session: _Session | None) -> None:
        """Tells the registry that nothing more comes; that it may not hear it is no failure."""
        if session is not None:
            try:
                self._send("DELETE", session.url, None, None, (204, 202, 200)).drop()
            except (RegistryError, Interrupted):
                pass

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

    def _bad(self, what: str) -> RegistryError:
        return RegistryError(f"{self._doing}: the registry {what}", code="bad-upload", is_temporary=True)


def _is_about_digest(error: RegistryError) -> bool:
    return isinstance(error, HttpError) and "DIGEST_INVALID" in error.codes
