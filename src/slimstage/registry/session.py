"""What a repository is asked and told about a blob that goes there: is it there, an upload session begun, fed, ended.

One request each; what to do when one fails is for `upload.py` and `streaming.py`. What a registry says about offsets only
guides the transfer: the digest that ends it decides.
Source: distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from slimstage.digest import Digest
from slimstage.errors import Interrupted, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.registry.pieces import arrived
from slimstage.registry.transport import Body, Response, allowed, joined
from slimstage.values import dataclass

_NUMBER = pattern(r"\d{1,12}\Z", re.ASCII)
_BYTES = {"Content-Type": "application/octet-stream"}


@dataclass(slots=True)
class Session:
    """An upload that the registry knows: where it goes on, how much is there, and whether that has to be asked."""

    url: str
    at: int = 0
    shortest_chunk: int = 0
    is_unsure: bool = False


class UploadSessions:
    """Those of one repository. `doing`: what messages call the blob and its way. All methods raise RegistryError."""

    def __init__(self, client: RegistryClient, target: Reference, doing: str) -> None:
        self._client, self._repository, self.doing = client, target.repository, doing
        self.endpoint: Endpoint = client.home(target)

    def is_there(self, blob: Descriptor) -> bool:
        url = self.endpoint.url(self._repository, f"blobs/{blob.digest}")
        try:
            response = self._send("HEAD", url)
        except HttpError as error:
            if error.is_temporary:
                raise
            return False  # 404; and whoever may not read may still be allowed to write: the upload will say
        length = response.header("Content-Length") or ""
        response.drop()
        return not _NUMBER.match(length) or int(length) == blob.size

    def mounted(self, digest: Digest, name: str) -> Session | None:
        """None when the registry says that it has mounted the blob, or that it does not; a session in its place."""
        url = self.endpoint.url(self._repository, f"blobs/uploads/?mount={digest}&from={name}")
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

    def begun(self) -> Session:
        """A new one."""
        url = self.endpoint.url(self._repository, "blobs/uploads/")
        return self._session_of(self._send("POST", url, {"Content-Length": "0"}, None, (202,)), url)

    def begun_with(self, digest: Digest, body: Body) -> Session | None:
        """A new one, offered all of the blob: None when the registry took it, else one that has nothing yet."""
        url = self.endpoint.url(self._repository, "blobs/uploads/")
        response = self._send("POST", f"{url}?digest={digest}", _BYTES, body, (201, 202))
        if response.status == 201:
            response.drop()
            return None
        return self._session_of(response, url)

    def feed(self, session: Session, body: Body, sent: Callable[[], int] | None = None) -> None:
        """One PATCH; the session then stands at what the registry says it has.

        sent: how many bytes a body without a length had, which is asked at its end. Raises RegistryError (`bad-upload`): what
        the registry says cannot be.
        """
        start = session.at
        headers = dict(_BYTES)
        if body.size_bytes is not None:
            headers["Content-Range"] = f"{start}-{start + body.size_bytes - 1}"
        session.is_unsure = True
        response = self._send("PATCH", session.url, headers, body, (201, 202, 204))
        said = response.header("Range")
        self._follow(session, response)
        end = start + (sent() if sent is not None else body.size_bytes or 0)
        there = end if said is None else self._offset(said)
        if not start <= there <= end:
            raise self._bad(f"says that it has {said}, but was given bytes {start}-{end - 1}")
        if there == start:
            raise RegistryError(
                f"{self.doing}: the registry keeps nothing of what it gets", code="bad-upload", is_temporary=True
            )
        session.at, session.is_unsure = there, False

    def end(self, session: Session, blob: Descriptor, body: bytes | Body) -> None:
        """PUT: the body is what was missing. Afterwards the blob is there."""
        parts = urlsplit(session.url)
        query = f"{parts.query}&digest={blob.digest}" if parts.query else f"digest={blob.digest}"
        url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
        session.is_unsure = True
        session.at = blob.size
        self._send("PUT", url, _BYTES, body, (201, 204)).drop()

    def asked_again(self, session: Session, size_bytes: int) -> Session | None:
        """The session with the offset that the registry names now; None when it knows it no more. size_bytes: the blob's."""
        try:
            response = self._send("GET", session.url, None, None, (204, 202, 200))
        except HttpError as error:
            if error.is_temporary:
                raise
            return None
        said = response.header("Range")
        self._follow(session, response)
        session.at = self._offset(said) if said is not None else 0
        if session.at > size_bytes:
            raise self._bad(f"says that it has {said} of {size_bytes} bytes")
        session.is_unsure = False
        return session

    def give_up(self, session: Session | None) -> None:
        """Tells the registry that nothing more comes; that it may not hear it is no failure."""
        if session is not None:
            try:
                self._send("DELETE", session.url, None, None, (204, 202, 200)).drop()
            except (RegistryError, Interrupted):
                pass

    def _session_of(self, response: Response, url: str) -> Session:
        shortest = response.header("OCI-Chunk-Min-Length") or ""
        session = Session(url, 0, int(shortest) if _NUMBER.match(shortest) else 0)
        if not response.header("Location"):
            response.drop()
            raise RegistryError(f"{self.doing}: the registry does not say where to send it", code="bad-answer")
        self._follow(session, response)
        return session

    def _follow(self, session: Session, response: Response) -> None:
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

    def _bad(self, what: str) -> RegistryError:
        return RegistryError(f"{self.doing}: the registry {what}", code="bad-upload", is_temporary=True)

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
            self.endpoint,
            self._repository,
            method,
            url,
            self.doing,
            headers=headers,
            body=body,
            expects=expects,
            reads=reads,
        )
