"""What is kept beside an image in a registry: its artifacts, and the signatures under cosign's tag.

Both kinds of list are kept by clients, so what others put there stays, and what was written is read again.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest, parse_manifest
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.push import Pusher
from slimstage.signing.signature import ARTIFACT_TYPE, cosign_tag, signature_layers, tagged_manifest
from slimstage.transfer.source import RegistrySource, Source
from slimstage.values import replace

_ATTEMPTS = 5
"""Of writing cosign's tag, while others write it, too."""


def tag_signature(client: RegistryClient, pusher: Pusher, repository: Reference, artifact: Manifest) -> None:
    """Adds an artifact's signatures to cosign's tag for its subject; does nothing for other artifacts."""
    if artifact.artifact_type == ARTIFACT_TYPE and artifact.subject is not None:
        tagged = replace(repository, tag=cosign_tag(artifact.subject.digest))
        add_signatures(client, pusher, tagged, signature_layers(artifact))


def add_signatures(client: RegistryClient, pusher: Pusher, target: Reference, layers: Sequence[Descriptor]) -> None:
    """Adds the layers, whose payloads are there, to those under cosign's tag, and looks whether they stayed there.

    Raises FormatError (`bad-referrers-tag`): something else is under the tag; RegistryError.
    """
    assert target.tag is not None  # cosign's
    source = RegistrySource(client, target)
    lost = RegistryError(
        f'the signatures under "{target}" are being changed by others all the time',
        code="lost-update",
        is_temporary=True,
        hint="try again in a moment",
    )
    for failures in range(_ATTEMPTS + 1):
        known = tagged_signatures(source, target.tag)
        missing = [layer for layer in layers if layer not in known]
        if not missing:
            return
        if failures == _ATTEMPTS:
            raise lost
        if failures:
            client.pauses.after(failures, lost)
        manifest, config = tagged_manifest([*known, *missing])
        put_small(pusher, target, manifest.config, config)
        pusher.put_document(target, manifest.raw, manifest.media_type)


def tagged_signatures(source: Source, tag: str) -> Sequence[Descriptor]:
    """The signatures under cosign's tag. Raises FormatError (`bad-referrers-tag`) when something else is there."""
    found = source.tagged(tag)
    if found is None:
        return ()
    try:
        manifest = parse_manifest(found[1], found[0].media_type)
        if not signature_layers(manifest):
            raise FormatError("there is no signature in it")
        return manifest.layers
    except FormatError as cause:
        raise FormatError(
            f'the tag "{tag}" is to hold the signatures of that image, and does not: {cause.message}',
            code="bad-referrers-tag",
            hint="it was left as it is; --registry-referrers-mode=oci-1-1 does without it",
        ) from cause


def put_small(pusher: Pusher, target: Reference, descriptor: Descriptor, data: bytes) -> None:
    """A small blob whose bytes are at hand. Raises RegistryError."""

    def open_at(offset: int) -> BinaryIO:
        return io.BytesIO(data[offset:])

    pusher.put_blob(Reference(target.registry, target.repository), descriptor, open_at)
