"""What an image gives to an analysis: its config, and each layer as a list of entries whose content can be read.

Two kinds of layers stand behind one protocol: directories of the store (`directory_layer.py`, nothing is unpacked) and blobs
of a registry, layout or archive (`blob_layer.py`, one pass each; `table_layer.py` reads a table of contents instead of the
blob where there is one). What a layer says is what it holds itself: deletions are entries, nothing is merged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Protocol, TypeAlias

from slimstage.digest import Digest
from slimstage.oci.config import ImageConfig
from slimstage.values import dataclass

EntryKind: TypeAlias = Literal["file", "dir", "symlink", "whiteout", "opaque", "other"]
"""whiteout: the path is deleted. opaque: all that lower layers have below the directory is."""

Keeps: TypeAlias = Callable[[str, int], int]
"""How many of the first bytes of a file are wanted later, by its path and size: 0 for none, the size for all."""


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One path of one layer, below the root and without a leading slash, as `tree.entry.Entry` has it.

    size: bytes of content of a file, at each of its names. link: the same number (not 0) at all names of one file in the
    layer; 0 for a file with one name. target: of a symlink, as written.
    """

    path: str
    kind: EntryKind
    size: int = 0
    link: int = 0
    target: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What is known of a layer without looking into it.

    digest, compressed_bytes: of the blob; None for a layer that was built here and has no blob yet. tar_bytes: of the
    uncompressed tar, None where nobody says. created_by: of the history. stage, line: of the Dockerfile, where the store
    remembers the build. remark: what of the layer was not looked into, as the rest of a sentence.
    """

    diff_id: Digest | None = None
    digest: Digest | None = None
    compressed_bytes: int | None = None
    tar_bytes: int | None = None
    created_by: str = ""
    stage: str | None = None
    line: int | None = None
    remark: str = ""


class Content(Protocol):
    """The bytes of one file. Close it."""

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        ...

    def at(self, offset: int, count: int) -> bytes:
        """Exactly these bytes; fewer where the file ends, or where what was kept of it does."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


class Layer(Protocol):
    """One layer. Not for several threads at once. Raises FormatError for what is malformed, OSError, and as its source."""

    @property
    def facts(self) -> LayerFacts: ...

    @property
    def has_digests(self) -> bool:
        """True: digests of content are known without reading it."""
        ...

    def entries(self, keeps: Keeps) -> Iterator[LayerEntry]:
        """Every entry once, in an order that is the same each time. keeps: asked for each file, which a layer that passes
        by only once keeps content for.
        """
        ...

    def open(self, path: str) -> Content | None:
        """The content of a file of this layer after `entries` came to its end; None: not kept, or no regular file."""
        ...

    def digest(self, path: str) -> bytes | None:
        """SHA-256 of the whole content of a file of this layer, 32 bytes, after `entries` came to its end; None as `open`.

        A layer that passes by only once has it for files of `DIGESTED_BYTES` and more.
        """
        ...


DIGESTED_BYTES = 4096
"""Files of so many bytes are compared by content: smaller ones cost a block on disk whatever they hold."""


@dataclass(frozen=True, slots=True)
class ImageLayers:
    """An image, opened for analysis. name: what the user called it. id: the config's digest. digest: the manifest's.

    compressed_bytes: of all blobs of layers; None where a layer has none yet. layers: base first.
    """

    name: str
    id: Digest
    digest: Digest | None
    config: ImageConfig
    layers: tuple[Layer, ...]

    @property
    def compressed_bytes(self) -> int | None:
        known = [layer.facts.compressed_bytes for layer in self.layers]
        return None if None in known else sum(size for size in known if size is not None)


def read_all(content: Content, limit_bytes: int) -> bytes | None:
    """The whole content; None when it is larger than the limit, or not kept as a whole."""
    if content.size > limit_bytes:
        return None
    parts: list[bytes] = []
    at = 0
    while at < content.size and (data := content.at(at, content.size - at)):
        parts.append(data)
        at += len(data)
    return b"".join(parts) if at == content.size else None


def instructions(config: ImageConfig, count: int) -> list[str]:
    """What made each of the `count` layers, by the history; "" where it says nothing, or is of another length."""
    made = [entry.created_by for entry in config.history if not entry.empty_layer]
    return made if len(made) == count else [""] * count
