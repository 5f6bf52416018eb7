"""What commands that copy, sign and verify share: a `Copier` for this command line, ended by Ctrl-C, and its progress."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimstage.cli.program import Session
from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import parse_reference

if TYPE_CHECKING:
    from slimstage.cli.registries import Registries
    from slimstage.events import Listener
    from slimstage.store.store import Store
    from slimstage.transfer.copying import Copier
    from slimstage.transfer.source import Source


@contextmanager
def copier(session: Session, known: Registries | None = None) -> Iterator[Copier]:
    """Closed at the end. The store is opened only when a place is in it. known: settings; None: those of this directory."""
    from slimstage.cli.interrupts import closed_by_signals
    from slimstage.cli.registries import registries
    from slimstage.transfer.copying import Copier

    made = Copier(registries() if known is None else known, session.store, stored_source)
    with closed_by_signals(made.close, threading.Event()):
        yield made


def stored_source(store: Store, name: str | None) -> Source:
    """An image or index of the store, its layers packed. Raises UsageError: none of that name."""
    from slimstage.cli.image_source import ready_index, ready_source
    from slimstage.container.images import get_image
    from slimstage.transfer.source import StoredSource

    if name is None:
        raise UsageError("store: names no image", code="bad-place", hint="write store:NAME")
    full = _full_name(name)
    index = store.images.index(name)
    if index is not None:
        document, _ = ready_index(store, index, has_others=True)
        return StoredSource(store, document.descriptor(), document.raw, full if full in index.names else None)
    image = get_image(store, name)
    manifest = ready_source(store, image).manifest()
    return StoredSource(store, manifest.descriptor(), manifest.raw, full if full in image.names else None)


def _full_name(name: str) -> str | None:
    try:
        return str(parse_reference(name).with_default_tag())
    except FormatError:
        return None  # an ID


@contextmanager
def transfer_shown(session: Session, *, is_quiet: bool) -> Iterator[Listener]:
    """The listener for transfers, on stderr."""
    from slimstage.cli.progress.transfer import transfer_progress

    progress = transfer_progress(sys.stderr, session.colour, is_quiet=is_quiet)
    try:
        yield progress
    finally:
        progress.close()
