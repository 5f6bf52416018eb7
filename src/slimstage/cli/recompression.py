"""`--recompress KIND` of `save` and `push`: images of the store on their way out in another compression.

The store's own image stays as it is. What belongs to it (signatures, SBOMs, attestations in an index) is about its digest,
so it does not go along with an image that has another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from slimstage.cli.show import note
from slimstage.cli.values import one_of
from slimstage.cli.verb import option
from slimstage.digest import Digest

if TYPE_CHECKING:
    from slimstage.oci.manifest import Index, Manifest
    from slimstage.store.source import StoreSource
    from slimstage.store.store import Store
    from slimstage.tree.compress import Compression

KINDS = ("gzip", "zstd", "estargz", "zstd:chunked", "uncompressed")

recompress_option: Callable[[Any], Any] = option(
    "--recompress",
    metavar="KIND",
    help="Compress every layer anew: gzip, zstd, estargz, zstd:chunked or uncompressed [default: as in the store].",
)


def recompress_kind(text: str | None) -> Compression | None:
    """Raises UsageError for what is no kind."""
    return None if text is None else cast("Compression", one_of(text, KINDS, "--recompress"))


def recompressed_sources(
    store: Store, sources: Sequence[StoreSource], index: Index | None, kind: Compression
) -> tuple[tuple[StoreSource, ...], Index | None]:
    """The images, and the index that names them, with layers of that kind; each that has them already stays as it is.

    Says on stderr which layer is worked on. Raises StoreError, FormatError (see store/recompress.py).
    """
    from slimstage.store.recompress import recompressed_image, recompressed_index
    from slimstage.store.source import StoreSource

    made: dict[Digest, Manifest] = {}
    for source in sources:
        manifest = source.manifest()

        def told(done: int, total: int) -> None:
            note(f"compressing layer {done + 1} of {total} as {kind}")

        made[manifest.digest] = recompressed_image(store.blobs, manifest, kind, told=told)
    found = tuple(StoreSource(store.blobs, manifest.digest) for manifest in made.values())
    if index is None:
        return found, None
    new = recompressed_index(store.blobs, index, made)
    if left_out := len(index.manifests) - len(new.manifests):
        note(f"note: attestations of images in their old form stay behind: {left_out}")
    listed = {entry.digest for entry in new.manifests}
    return tuple(source for source in found if source.digest in listed), new
