"""Where things are copied from: one seam over registries, layouts, archives and the store.

A source gives exact bytes. Documents are verified when they are returned, blobs by whoever takes them.
"""

from __future__ import annotations

from typing import BinaryIO, Protocol

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import build_index
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient, checked
from slimstage.registry.documents import Documents
from slimstage.registry.faults import HttpError
from slimstage.registry.pull import Puller
from slimstage.registry.referrers import RegistryReferrers
from slimstage.registry.stream import blob_stream
from slimstage.store.content import nameless
from slimstage.store.layout import BlobReader
from slimstage.store.store import Store
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Listed:
    """What belongs to a manifest. `remarks`: what was listed and is not so, one sentence each."""

    artifacts: tuple[Descriptor, ...]
    remarks: tuple[str, ...] = ()


class Source(Protocol):
    """One place with one image, or index of several, in the middle. Safe for several threads."""

    @property
    def repository(self) -> Reference | None:
        """Where its blobs are in a registry; None elsewhere."""
        ...

    @property
    def name(self) -> str | None:
        """The full name with tag that the image has there; None when it has none."""
        ...

    @property
    def keeps_tags(self) -> bool:
        """False: there are no tags beside an image, and what cosign kept under one is there as an artifact only."""
        ...

    def top(self) -> tuple[Descriptor, bytes]:
        """What the place names, described, with its bytes. Raises PlanError, FormatError, RegistryError, StoreError."""
        ...

    def document(self, descriptor: Descriptor) -> bytes:
        """A manifest or index by its descriptor, verified. Raises as `top`."""
        ...

    def open_at(self, blob: Descriptor, offset: int) -> BinaryIO:
        """The blob's bytes from an offset on; `read` works on it, and the caller closes it. Raises as `top`."""
        ...

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Listed:
        """Artifacts whose own `subject` is the digest, with their types and annotations; of one type, if one is given."""
        ...

    def tagged(self, tag: str) -> tuple[Descriptor, bytes] | None:
        """What another tag in the same place leads to; None when there is none."""
        ...


class RegistrySource:
    """A repository. `client` is the caller's and stays open."""

    keeps_tags = True

    def __init__(self, client: RegistryClient, reference: Reference) -> None:
        self._client, self._reference = client, checked(reference).with_default_tag()
        self._puller, self._documents = Puller({}, client=client), Documents(client)
        self._referrers = RegistryReferrers(client)

    @property
    def repository(self) -> Reference:
        return Reference(self._reference.registry, self._reference.repository)

    @property
    def name(self) -> str | None:
        tagged = Reference(self._reference.registry, self._reference.repository, self._reference.tag)
        return str(tagged) if tagged.tag else None

    def top(self) -> tuple[Descriptor, bytes]:
        return self._puller.top(self._reference)

    def document(self, descriptor: Descriptor) -> bytes:
        return self._documents.manifest(self._reference, descriptor)

    def open_at(self, blob: Descriptor, offset: int) -> BinaryIO:
        return blob_stream(self._client, self._reference, blob, offset)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Listed:
        found = self._referrers.read(self.repository, subject, artifact_type)
        return Listed(tuple(artifact.descriptor for artifact in found.artifacts), found.remarks)

    def tagged(self, tag: str) -> tuple[Descriptor, bytes] | None:
        try:
            return self._documents.top(Reference(self._reference.registry, self._reference.repository, tag))
        except HttpError as error:
            if error.status == 404:
                return None
            raise


class ReaderSource:
    """An image of a layout or an archive. The reader is the caller's; `wanted`: a tag, a full name or a digest."""

    repository: Reference | None = None
    keeps_tags = True

    def __init__(self, reader: BlobReader, wanted: str | None, digest: Digest | None = None) -> None:
        self._reader, self._wanted, self._digest = reader, wanted, digest
        self._name: str | None = None

    @property
    def name(self) -> str | None:
        return self._name

    def top(self) -> tuple[Descriptor, bytes]:
        """Several entries of one name, for several platforms, become an index: only there they are in pieces."""
        entries = self._reader.entries(self._wanted, self._digest)
        self._name = self._reader.full_name(entries)
        if len(entries) > 1:
            platforms = {entry.platform for entry in entries}
            if None in platforms or len(platforms) < len(entries):
                raise FormatError(
                    "there are several images in it", code="ambiguous-image", hint="say which, by name or digest"
                )
            index = build_index(nameless(entry) for entry in entries)
            return index.descriptor(), index.raw
        return entries[0], self._reader.read_blob(entries[0])

    def document(self, descriptor: Descriptor) -> bytes:
        return self._reader.read_blob(descriptor)

    def open_at(self, blob: Descriptor, offset: int) -> BinaryIO:
        return _from(self._reader.open_blob(blob.digest), offset)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Listed:
        found = self._reader.referrers(subject)
        return Listed(tuple(each for each in found if artifact_type in (None, each.artifact_type)))

    def tagged(self, tag: str) -> tuple[Descriptor, bytes] | None:
        try:
            entry, *others = self._reader.entries(tag, None)
        except FormatError:
            return None
        return None if others else (entry, self._reader.read_blob(entry))


class StoredSource:
    """An image or index of the store whose layers are packed. name: the one it was asked for by, when that is one."""

    repository: Reference | None = None
    keeps_tags = False

    def __init__(self, store: Store, descriptor: Descriptor, raw: bytes, name: str | None) -> None:
        self._store, self._top, self._name = store, (descriptor, raw), name

    @property
    def name(self) -> str | None:
        return self._name

    def top(self) -> tuple[Descriptor, bytes]:
        return self._top

    def document(self, descriptor: Descriptor) -> bytes:
        return self._store.blobs.read(descriptor.digest)

    def open_at(self, blob: Descriptor, offset: int) -> BinaryIO:
        return _from(self._store.blobs.open(blob.digest), offset)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Listed:
        return Listed(tuple(self._store.referrers.list(subject, artifact_type)))

    def tagged(self, tag: str) -> tuple[Descriptor, bytes] | None:
        return None  # what cosign keeps under tags is not in the store: it belongs to nothing there


def _from(stream: BinaryIO, offset: int) -> BinaryIO:
    if offset:
        stream.seek(offset)
    return stream
