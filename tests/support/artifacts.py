"""Artifacts that belong to an image, as values."""

from __future__ import annotations

from collections.abc import Mapping

from slimstage.digest import digest_bytes
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest
from slimstage.oci.referrer import EMPTY, EMPTY_CONFIG, build_artifact
from support.images import MemoryImage

SBOM = "application/vnd.example.sbom.v1"
SIGNATURE = "application/vnd.example.signature.v1"


class MemoryArtifact(MemoryImage):
    """An artifact of one layer with `data`; `blobs` holds its manifest, too."""

    def __init__(
        self,
        subject: Descriptor,
        data: bytes = b"{}\n",
        kind: str = SBOM,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        layer = Descriptor("application/json", digest_bytes(data), len(data))
        self._manifest: Manifest = build_artifact(kind, [layer], subject, annotations)
        self.blobs = {layer.digest: data, EMPTY_CONFIG.digest: EMPTY, self._manifest.digest: self._manifest.raw}
