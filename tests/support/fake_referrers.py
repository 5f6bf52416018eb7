"""The referrers API for the in-process registry, and its manners: pages, filters, OCI-Subject, and lies.

Source: distribution-spec v1.1, "Listing Referrers" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.fake_registry import Answer, FakeRegistry, Request

OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class FakeReferrers:
    """page: entries of one answer; 0: all at once. filters: by artifactType. says: OCI-Subject when one is pushed.

    lies: entries that are listed for every subject. link: of the next page, instead of the right one.
    """

    registry: FakeRegistry
    page: int = 0
    filters: bool = True
    says: bool = True
    link: str | None = None
    lies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry.on("GET", r"/referrers/", self._list)
        self.registry.on("PUT", r"/manifests/", self._put)

    def _put(self, request: Request) -> Answer:
        answer = self.registry.ordinary(request)
        subject = json.loads(request.body).get("subject")
        if subject and self.says and answer.status == 201:
            answer.headers["OCI-Subject"] = subject["digest"]
        return answer

    def _list(self, request: Request) -> Answer:
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        entries = [*self._entries(url.path.rpartition("/")[2]), *self.lies]
        wanted, headers = query.get("artifactType"), {"Content-Type": OCI_INDEX}
        if wanted and self.filters:
            entries = [entry for entry in entries if entry.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        at = int(query.get("at", "0"))
        if self.link is not None:
            headers["Link"] = f'<{self.link}>; rel="next"'
        elif self.page and at + self.page < len(entries):
            kept = f"&artifactType={wanted}" if wanted else ""
            headers["Link"] = f'<{url.path}?at={at + self.page}{kept}>; rel="next"'
        shown = entries[at : at + self.page] if self.page else entries
        return Answer(
            200, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": shown}).encode(), headers
        )

    def _entries(self, subject: str) -> list[dict[str, Any]]:
        found = []
        for name, (media_type, data) in self.registry.manifests.items():
            document = json.loads(data)
            if ":" not in name or (document.get("subject") or {}).get("digest") != subject:
                continue
            kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
            entry = {"mediaType": media_type, "digest": name, "size": len(data), "artifactType": kind}
            if "annotations" in document:
                entry["annotations"] = document["annotations"]
            found.append(entry)
        return found
