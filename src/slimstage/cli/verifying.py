"""`inspect --verify`: an image of the store against every invariant of an image, its layers' bytes included."""

from __future__ import annotations

from slimstage.cli.image_source import ready_source
from slimstage.diagnostics import Diagnostic
from slimstage.errors import SlimstageError
from slimstage.store.images import StoredImage
from slimstage.store.store import Store
from slimstage.store.verify import verify_image


def faults_of(store: Store, image: StoredImage) -> list[Diagnostic]:
    """All that is wrong with the image, in the order it is read; empty when it is sound.

    Layers that were never packed are packed for it, so that what is verified is what an output would hold.
    """
    try:
        source = ready_source(store, image)
        return verify_image(source)
    except SlimstageError as error:
        return list(error.diagnostics)
