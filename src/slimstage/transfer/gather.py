"""All that an image is made of, found before anything is copied: documents with their bytes, blobs by their descriptors.

Documents are small and bounded in number and size; blobs are only named here. What is not understood is taken as it is:
an unknown media type in an index is a document without parts, an unknown layer a blob like any other.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.oci.config import LIMIT_BYTES, from_json
from slimstage.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Platform
from slimstage.oci.manifest import Document, Index, Manifest, parse_document, parse_manifest
from slimstage.oci.select import DEEPEST_INDEX, fits, select
from slimstage.oci.validate import CONFIG_TYPES
from slimstage.registry.push import is_distributable
from slimstage.signing.signature import ARTIFACT_TYPE, cosign_tag
from slimstage.store.source import read_checked
from slimstage.transfer.source import Source
from slimstage.values import dataclass, field

MOST_DOCUMENTS = 5_000
MOST_BYTES = 128 << 20
"""Of all documents of one copy."""

_COSIGN = {"sig": ARTIFACT_TYPE, "att": "application/vnd.dev.cosign.artifact.att.v1+json",
           "sbom": "application/vnd.dev.cosign.artifact.sbom.v1+json"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """One document. `document`: None when its media type is unknown; `descriptor` as whatever named it has it."""

    descriptor: Descriptor
    raw: bytes = field(repr=False)
    document: Document | None


@dataclass(frozen=True, slots=True)
class Tagged:
    """What another client keeps for the image under a tag of its own (cosign's signatures)."""

    tag: str
    part: Part


@dataclass(frozen=True, slots=True)
class Gathered:
    """parts: documents, what an index names before the index; the last is what was asked for.

    referrers: artifacts that belong to one of the parts, or to another artifact, which then comes before it.
    blobs: of all of them, each digest once. remarks: what is left out and why, one sentence each.
    """

    parts: tuple[Part, ...]
    blobs: tuple[Descriptor, ...]
    referrers: tuple[Part, ...] = ()
    inner: tuple[Part, ...] = ()
    """What artifacts that are indexes name."""
    tagged: tuple[Tagged, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def top(self) -> Part:
        return self.parts[-1]

    def images(self) -> Iterator[tuple[Digest, Manifest]]:
        """The images among the parts: an index may list attestations and other artifacts, too."""
        for part in self.parts:
            platform = part.descriptor.platform
            if platform is not None and platform.os == "unknown":
                continue  # BuildKit's attestations
            if isinstance(part.document, Manifest) and part.document.config.media_type in CONFIG_TYPES:
                yield part.descriptor.digest, part.document


def gather(
    source: Source,
    platform: Platform | None = None,
    *,
    has_referrers: bool = False,
    is_preferred: bool = False,
) -> Gathered:
    """Finds everything. platform: of an index only this image; None: all of it. is_preferred: an image that is there alone may
    be for another platform.

    has_referrers: what belongs to the image and to each image of an index, and cosign's tags for them, too.
    Raises FormatError: malformed, too much, nested too deep, no such platform; and what the source raises.
    """
    gatherer = _Gatherer(source)
    descriptor, raw = source.top()
    if platform is not None:
        descriptor, raw = _selected(source, descriptor, raw, platform)
        if not is_preferred:
            _check_platform(source, parse_manifest(raw, descriptor.media_type), platform)
    parts = gatherer.tree(descriptor, raw, 0)
    if has_referrers:
        gatherer.belonging(parts)
    return Gathered(
        tuple(parts),
        tuple(gatherer.blobs.values()),
        tuple(gatherer.referrers),
        tuple(gatherer.inner),
        tuple(gatherer.tagged),
        tuple(dict.fromkeys(gatherer.remarks)),
    )


def without_referrers(gathered: Gathered) -> Gathered:
    """The image alone."""
    needed = {blob.digest for part in gathered.parts for blob in blobs_in(part)}
    return Gathered(gathered.parts, tuple(b for b in gathered.blobs if b.digest in needed), remarks=gathered.remarks)


def blobs_in(part: Part) -> tuple[Descriptor, ...]:
    """Config and layers of a manifest; nothing of an index or of what is not understood."""
    return (part.document.config, *part.document.layers) if isinstance(part.document, Manifest) else ()


class _Gatherer:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._seen: set[Digest] = set()
        self._bytes = 0
        self.blobs: dict[Digest, Descriptor] = {}
        self.referrers: list[Part] = []
        self.inner: list[Part] = []
        self.tagged: list[Tagged] = []
        self.remarks: list[str] = []

    def tree(self, descriptor: Descriptor, raw: bytes, depth: int) -> list[Part]:
        """The document after all that it names, which was not seen before."""
        self._seen.add(descriptor.digest)
        self._bytes += len(raw)
        if len(self._seen) > MOST_DOCUMENTS or self._bytes > MOST_BYTES:
            raise FormatError(
                f"there are more than {MOST_DOCUMENTS} documents, or {MOST_BYTES >> 20} MiB of them",
                code="too-many-entries",
                hint="choose one image with --platform",
            )
        part = Part(descriptor, raw, _parsed(descriptor, raw, depth))
        found: list[Part] = []
        if isinstance(part.document, Index):
            if depth == DEEPEST_INDEX:
                raise FormatError(f"indexes are nested deeper than {DEEPEST_INDEX}", code="index-too-deep")

            for entry in part.document.manifests:
                if entry.digest not in self._seen:
                    found += self.tree(entry, self._source.document(entry), depth + 1)
        for blob in blobs_in(part):
            self._blob(blob)
        return [*found, part]

    def belonging(self, parts: list[Part]) -> None:
        """Adds what belongs to the parts, and to that, and so on."""
        waiting = [part.descriptor.digest for part in parts]
        for subject in waiting:  # grows while it is read
            listed = self._source.referrers(subject)
            self.remarks += listed.remarks
            for entry in listed.artifacts:
                if entry.digest not in self._seen:
                    *inner, artifact = self.tree(entry, self._source.document(entry), 0)
                    self.inner += inner
                    self.referrers.append(artifact)
                    waiting.append(entry.digest)
            for kind, artifact_type in _COSIGN.items():
                self._cosign(cosign_tag(subject, kind), artifact_type)

    def _cosign(self, tag: str, artifact_type: str) -> None:
        found = self._source.tagged(tag)
        if found is None:
            return
        descriptor, raw = found
        media_type, digest, size = descriptor.media_type, descriptor.digest, descriptor.size
        *inner, part = self.tree(Descriptor(media_type, digest, size, artifact_type=artifact_type), raw, 0)
        self.inner += inner
        self.tagged.append(Tagged(tag, part))

    def _blob(self, blob: Descriptor) -> None:
        if is_distributable(blob):
            known = self.blobs.setdefault(blob.digest, blob)
            if known.size != blob.size:
                raise FormatError(
                    f"two documents say different sizes of blob {blob.digest}: {known.size} and {blob.size} bytes",
                    code="size-mismatch",
                )
        else:
            self.remarks.append(f"layer {blob.digest} may not be distributed; it stays where it is")


def _parsed(descriptor: Descriptor, raw: bytes, depth: int) -> Document | None:
    """None for a document of an unknown type inside an index; what was asked for itself has to be understood."""
    if depth and descriptor.media_type not in INDEX_TYPES | MANIFEST_TYPES:
        return None
    return parse_document(raw, descriptor.media_type)


def _selected(source: Source, descriptor: Descriptor, raw: bytes, platform: Platform) -> tuple[Descriptor, bytes]:
    """The manifest for the platform that an index leads to."""
    for _ in range(DEEPEST_INDEX + 1):
        document = parse_document(raw, descriptor.media_type)
        if isinstance(document, Manifest):
            return descriptor, raw
        descriptor = select(document, platform)
        raw = source.document(descriptor)
    raise FormatError(f"indexes are nested deeper than {DEEPEST_INDEX}", code="index-too-deep")


def _check_platform(source: Source, manifest: Manifest, platform: Platform) -> None:
    """Raises FormatError (`platform-mismatch`) when the image's own config says another platform; an artifact says none."""
    if manifest.config.media_type not in CONFIG_TYPES:
        return
    with source.open_at(manifest.config, 0) as stream:
        config = from_json(read_checked(stream, manifest.config, "the config", LIMIT_BYTES))
    if fits(config.platform, platform) is None:
        raise FormatError(
            f'the image is for "{config.platform}", not for "{platform}"',
            code="platform-mismatch",
            hint="leave --platform out: there is one image only",
        )
