"""Small images as values: an ImageSource in memory, whose layers are tars made by `tarfile`."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import BlobMissing
from slimstage.oci.config import HistoryEntry, ImageConfig, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from slimstage.oci.manifest import Manifest, build_manifest


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed layer with these files, directories made for names that end in a slash."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode, info.size = (0o755, 0) if name.endswith("/") else (0o644, len(data))
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class MemoryImage:
    """An image in memory; `blobs` may be damaged by a test."""

    def __init__(self, config: ImageConfig, tars: Sequence[bytes], *, is_gzip: bool = True) -> None:
        self.blobs: dict[Digest, bytes] = {}
        layers = []
        for tar in tars:
            data = gzip.compress(tar, 1, mtime=0) if is_gzip else tar
            layers.append(self.add(data, OCI_LAYER_GZIP if is_gzip else OCI_LAYER))
        config_bytes = to_json(config)
        self._config = config
        self._manifest = build_manifest(self.add(config_bytes, OCI_CONFIG), layers)
        self.blobs[self._manifest.digest] = self._manifest.raw

    def add(self, data: bytes, media_type: str) -> Descriptor:
        """One more blob."""
        digest = digest_bytes(data)
        self.blobs[digest] = data
        return Descriptor(media_type, digest, len(data))

    def replace_layers(self, layers: Sequence[Descriptor]) -> None:
        """Another manifest with the same config, for these layers."""
        del self.blobs[self._manifest.digest]
        self._manifest = build_manifest(self._manifest.config, layers)
        self.blobs[self._manifest.digest] = self._manifest.raw

    def manifest(self) -> Manifest:
        return self._manifest

    def config(self) -> ImageConfig:
        return self._config

    def open_blob(self, digest: Digest) -> BinaryIO:
        if digest not in self.blobs:
            raise BlobMissing(f"no {digest}")
        return io.BytesIO(self.blobs[digest])


def memory_image(*layers: Mapping[str, bytes], architecture: str = "amd64", is_gzip: bool = True) -> MemoryImage:
    """A sound image with these layers (one with a file when none is given)."""
    tars = [layer_tar(layer) for layer in layers or ({"etc/": b"", "etc/motd": b"hello\n"},)]
    config = ImageConfig(
        architecture,
        "linux",
        env=("PATH=/bin",),
        cmd=("/bin/sh",),
        diff_ids=tuple(digest_bytes(tar) for tar in tars),
        history=tuple(HistoryEntry(created_by=f"layer {number}") for number, _ in enumerate(tars)),
    )
    return MemoryImage(config, tars, is_gzip=is_gzip)
