"""`inspect --verify`: an image of the store against every invariant of an image, its layers' bytes included."""

from __future__ import annotations

from slimstage.cli.image_source import ready_index, ready_source
from slimstage.diagnostics import Diagnostic
from slimstage.errors import SlimstageError
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.store import Store
from slimstage.store.verify import verify_image, verify_stored


def faults_of(store: Store, image: StoredImage | StoredIndex) -> list[Diagnostic]:
    """All that is wrong with the image, or with any of an index, in the order it is read; empty when it is sound.

    Layers that were never packed are packed for it, so that what is verified is what an output would hold.
    """
    try:
        if isinstance(image, StoredIndex):
            document, sources = ready_index(store, image)
            faults = [fault for source in sources for fault in verify_image(source)]
            return faults or verify_stored(store.blobs, document.descriptor())
        return verify_image(ready_source(store, image))
    except SlimstageError as error:
        return list(error.diagnostics)
