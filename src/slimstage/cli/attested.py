"""`inspect --sbom` and `--provenance`: what belongs to an image of the store."""

from __future__ import annotations

import json
from typing import Any

from slimstage.cli.program import Session
from slimstage.cli.values import one_of
from slimstage.container.images import find_image, get_image
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Platform

_LIMIT_BYTES = 256 << 20
_TYPES = {
    "spdx": "application/spdx+json",
    "cyclonedx": "application/vnd.cyclonedx+json",
    "provenance": "application/vnd.in-toto+json",
}
_FLAGS = {"spdx": "--sbom", "cyclonedx": "--sbom", "provenance": "--provenance"}


def attested_documents(
    session: Session, name: str, platform: Platform | None, sbom: str | None, *, provenance: bool
) -> Any:
    """The document that is asked for; of both an object with `sbom` and `provenance`.

    Raises UsageError: no such image, or nothing of the kind belongs to it.
    """
    wanted = {}
    if sbom is not None:
        wanted["sbom"] = one_of(sbom, ("spdx", "cyclonedx"), "--sbom")
    if provenance:
        wanted["provenance"] = "provenance"
    found = {key: _document(session, name, platform, kind) for key, kind in wanted.items()}
    return found if len(found) > 1 else next(iter(found.values()))


def _document(session: Session, name: str, platform: Platform | None, kind: str) -> Any:
    store = session.store()
    if platform is None and find_image(store, name) is None:
        raise UsageError(f'no image "{name}"', code="no-such-object")
    image = get_image(store, name, platform)
    artifacts = store.referrers.list(image.manifest, _TYPES[kind])
    if not artifacts:
        raise UsageError(
            f'no {"provenance" if kind == "provenance" else "bill of materials"} belongs to "{name}"',
            code="not-attested",
            hint=f"build it with {_FLAGS[kind]}",
        )
    (layer, *_) = store.referrers.source(artifacts[-1]).manifest().layers
    return json.loads(store.blobs.read(layer.digest, _LIMIT_BYTES))
