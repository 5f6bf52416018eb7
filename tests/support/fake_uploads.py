"""The half of the in-process registry that takes things: upload sessions, mounts, manifests; and where it breaks off.

Strict where the specification is: a chunk begins where the last ended, the digest is checked at the end, a manifest's
blobs have to be in its repository.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from support.fake_registry import Answer, Request

_UPLOADS = re.compile(r"/v2/(.+)/blobs/uploads/([^/?]*)")
_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")


@dataclass
class Cut:
    """The connection breaks at the next request of this kind, once so many bytes of its body arrived.

    after: None: all arrived and was worked upon, the answer is lost. keeps: what arrived of a chunk stays.
    """

    method: str
    path: str
    after: int | None
    keeps: bool = True
    times: int = 1


@dataclass
class Uploads:
    """State and manners of the uploads of one registry; `location` writes the Location of a session."""

    sessions: dict[str, bytearray] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """(repository, digest) → bytes, of what was pushed or mounted."""
    received: list[tuple[str, int]] = field(default_factory=list)
    """(method, bytes of its body) of each request that carried blob bytes."""
    ended: list[str] = field(default_factory=list)
    """Sessions that the client gave up."""
    cuts: list[Cut] = field(default_factory=list)
    takes_at_once: bool = False
    mounts: bool = True
    smallest_chunk: int = 0
    checks_manifests: bool = True
    location: str = "/v2/{repository}/blobs/uploads/{session}?_state={session}%3D&part=1"
    lock: threading.Lock = field(default_factory=threading.Lock)
    made: int = 0

    def cut_of(self, method: str, path: str) -> Cut | None:
        """The cut that meets this request, which is then used up."""
        with self.lock:
            for cut in self.cuts:
                if cut.times and cut.method == method and re.search(cut.path, path):
                    cut.times -= 1
                    return cut
        return None

    def broken(self, method: str, path: str, part: bytes) -> None:
        """A chunk of which only a part arrived."""
        match = _UPLOADS.match(path)
        with self.lock:
            if match and match[2] in self.sessions:
                self.received.append((method, len(part)))
                self.sessions[match[2]] += part

    def has(self, repository: str, digest: str) -> bool:
        return (repository, digest) in self.blobs

    def answer(
        self, request: Request, served: dict[str, bytes], manifests: dict[str, tuple[str, bytes]]
    ) -> Answer | None:
        """None when the request is not about pushing."""
        path, _, query = request.path.partition("?")
        match = _UPLOADS.match(path)
        with self.lock:
            if match:
                return self._upload(request, match[1], match[2], {k: v[0] for k, v in parse_qs(query).items()})
            match = _MANIFEST.fullmatch(path)
            if match and request.method == "PUT":
                return self._manifest(request, match[1], match[2], served, manifests)
        return None

    def _upload(self, request: Request, repository: str, session: str, query: dict[str, str]) -> Answer:
        from support.fake_registry import Answer, error_body

        if request.method == "POST":
            return self._begin(request, repository, query)
        if session not in self.sessions:
            return Answer(404, error_body("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"))
        data = self.sessions[session]
        if request.method == "GET":
            return Answer(204, headers=self._headers(repository, session))
        if request.method == "DELETE":
            del self.sessions[session]
            self.ended.append(session)
            return Answer(204)
        if request.body:
            self.received.append((request.method, len(request.body)))
        said = request.headers.get("content-range")
        if said is not None and not said.startswith(f"{len(data)}-"):
            return Answer(416, headers=self._headers(repository, session))
        data += request.body
        if request.method == "PATCH":
            return Answer(202, headers=self._headers(repository, session))
        digest = query["digest"]
        if _digest(bytes(data), digest) != digest:
            del self.sessions[session]
            return Answer(400, error_body("DIGEST_INVALID", "provided digest did not match uploaded content"))
        self.blobs[repository, digest] = bytes(self.sessions.pop(session))
        return Answer(201, headers={"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})

    def _begin(self, request: Request, repository: str, query: dict[str, str]) -> Answer:
        from support.fake_registry import Answer

        mount, source = query.get("mount"), query.get("from")
        if self.mounts and mount and (source, mount) in self.blobs:
            self.blobs[repository, mount] = self.blobs[str(source), mount]
            return Answer(201, headers={"Location": f"/v2/{repository}/blobs/{mount}"})
        digest = query.get("digest")
        if digest and self.takes_at_once and _digest(request.body, digest) == digest:
            self.received.append(("POST", len(request.body)))
            self.blobs[repository, digest] = request.body
            return Answer(201, headers={"Location": f"/v2/{repository}/blobs/{digest}"})
        self.made += 1
        session = f"session-{self.made}"
        self.sessions[session] = bytearray()
        headers = self._headers(repository, session)
        if self.smallest_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.smallest_chunk)
        return Answer(202, headers=headers)

    def _headers(self, repository: str, session: str) -> dict[str, str]:
        there = len(self.sessions[session])
        place = self.location.format(repository=repository, session=session)
        return {"Location": place, "Range": f"0-{max(there - 1, 0)}", "Docker-Upload-UUID": session}

    def _manifest(
        self,
        request: Request,
        repository: str,
        name: str,
        served: dict[str, bytes],
        manifests: dict[str, tuple[str, bytes]],
    ) -> Answer:
        from support.fake_registry import Answer

        document = json.loads(request.body)
        named = [document["config"], *document["layers"]] if "layers" in document else []
        missing = [
            one["digest"]
            for one in named
            if not one.get("urls") and one["digest"] not in served and not self.has(repository, one["digest"])
        ]
        missing_manifests = [one["digest"] for one in document.get("manifests", ()) if one["digest"] not in manifests]
        if self.checks_manifests and (missing or missing_manifests):
            code = "MANIFEST_BLOB_UNKNOWN" if missing else "MANIFEST_UNKNOWN"
            errors = [
                {"code": code, "message": "blob unknown to registry", "detail": {"digest": digest}}
                for digest in (missing or missing_manifests)
            ]
            return Answer(404 if missing else 400, json.dumps({"errors": errors}).encode())
        digest = "sha256:" + hashlib.sha256(request.body).hexdigest()
        media_type = request.headers["content-type"]
        for key in (digest, name):
            manifests[key] = (media_type, request.body)
        return Answer(
            201, headers={"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/manifests/{digest}"}
        )


def _digest(data: bytes, like: str) -> str:
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
