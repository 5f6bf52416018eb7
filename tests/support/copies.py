"""What tests of copying share: a copier without waits and credentials, images for several platforms, comparing places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from slimstage.cli.copiers import stored_source
from slimstage.digest import Digest
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import OCI_INDEX, Descriptor, Platform
from slimstage.oci.manifest import Index, build_index
from slimstage.registry.client import RegistryClient
from slimstage.registry.retry import Backoff, Pauses
from slimstage.store.content import Content, document_piece, named
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.store import Store
from slimstage.transfer.copying import Copied, Copier
from slimstage.transfer.place import parse_place
from support.artifacts import SBOM, SIGNATURE, MemoryArtifact
from support.images import MemoryImage, memory_image

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")


def quick_copier(store: Store | None = None) -> Copier:
    """One that does not wait between attempts. store: None when no end may be in a store."""

    def opened() -> Store:
        return store if store is not None else refused()

    def refused() -> NoReturn:
        raise AssertionError("the store was opened")

    pauses = Pauses(Backoff(attempts=3), wait=lambda _: None)
    client = RegistryClient({}, environ={"HOME": "/nonexistent"}, pauses=pauses)
    return Copier({}, opened, stored_source, client=client)


def copy(
    copier: Copier, source: str, target: str, *, platform: Platform | None = None, has_referrers: bool = False
) -> Copied:
    return copier.copy(
        parse_place(source, "SRC"),
        parse_place(target, "DST"),
        lambda event: None,
        platform=platform,
        has_referrers=has_referrers,
    )


class World:
    """An index of two images and of an attestation as BuildKit makes them, with artifacts: `write` makes a layout of it.

    sbom belongs to the amd64 image, its signature to the sbom, whole to the index.
    """

    def __init__(self) -> None:
        self.amd, self.arm = memory_image({"a": b"1" * 5000}), memory_image({"a": b"2"}, architecture="arm64")
        self.attestation = MemoryImage(ImageConfig("unknown", "unknown"), [])
        statement = self.attestation.add(
            b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json"
        )
        self.attestation.replace_layers([statement])
        entries = [self.amd.manifest().descriptor(AMD), self.arm.manifest().descriptor(ARM)]
        entries.append(self.attestation.manifest().descriptor(Platform("unknown", "unknown")))
        self.index: Index = build_index(entries, {"made": "by hand"})
        self.sbom = MemoryArtifact(self.amd.manifest().descriptor(), b"sbom", SBOM, {"k": "v"})
        self.about_sbom = MemoryArtifact(self.sbom.manifest().descriptor(), b"about sbom", SIGNATURE)
        self.whole = MemoryArtifact(self.index.descriptor(), b"whole", SIGNATURE)

    @property
    def images(self) -> tuple[MemoryImage, ...]:
        return (self.amd, self.arm, self.attestation)

    @property
    def artifacts(self) -> tuple[MemoryArtifact, ...]:
        return (self.sbom, self.about_sbom, self.whole)

    def blobs(self) -> dict[Digest, bytes]:
        """Every byte of it."""
        found = {self.index.digest: self.index.raw}
        for image in (*self.images, *self.artifacts):
            found |= image.blobs
        return found

    def write(self, path: Path, name: str = "app:1") -> str:
        """The layout `oci:PATH` with all of it."""
        pieces = [document_piece(Descriptor(OCI_INDEX, d, len(b)), b) for d, b in self.blobs().items()]
        entries = [named(self.index.descriptor(), name)]
        entries += [artifact.manifest().descriptor() for artifact in self.artifacts]
        LayoutSink(str(path)).put(Content(tuple(entries), tuple(pieces)))
        return f"oci:{path}"


def layout_blobs(path: Path) -> dict[str, bytes]:
    """Digest → bytes of all blobs of a layout."""
    return {f"sha256:{file.name}": file.read_bytes() for file in (path / "blobs" / "sha256").iterdir()}


def layout_of(blobs: Mapping[Digest, bytes], entry: Descriptor, path: Path) -> str:
    """A layout with one entry and these blobs, right or wrong."""
    (path / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (path / "blobs" / "sha256" / digest.partition(":")[2]).write_bytes(data)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (path / "index.json").write_bytes(build_index([entry]).raw)
    return f"oci:{path}"
