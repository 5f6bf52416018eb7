"""What `run` is given becomes an image whose files are unpacked in the store: found there, or pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimstage.container.images import config_of, find_image, wanted_platform
from slimstage.diagnostics import Diagnostic
from slimstage.errors import FormatError, PlanError, RegistryError, SandboxError, UsageError
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import Platform, host_platform
from slimstage.oci.reference import parse_reference
from slimstage.oci.select import fits
from slimstage.store.images import StoredImage
from slimstage.store.snapshots import Stack
from slimstage.store.store import Store
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.cli.program import Session


@dataclass(frozen=True, slots=True)
class Runnable:
    """`stack`: the layer directories, held from now on."""

    image_id: str
    config: ImageConfig
    stack: Stack


def find_runnable(store: Store, image: str, *, pulls: bool, platform: str | None, session: Session) -> Runnable:
    """The image of that name, ID or beginning of an ID; one that is not in the store is pulled, and kept.

    platform: which image of an index; None: this host's. Raises UsageError: no image and no name of one. PlanError,
    RegistryError: it cannot be pulled.
    """
    asked = wanted_platform(platform)
    wanted = asked or host_platform()
    found = None if pulls else find_image(store, image, asked)
    if found is not None and (asked is None or fits(found.platform, asked) is not None):
        stack = unpacked(store, found)
        if stack is not None:
            return Runnable(found.id, config_of(store, found.id), stack)
    try:
        parse_reference(image)
    except FormatError as error:
        raise UsageError(error.message, code="no-such-image", hint="see: slimstage images") from error
    return _pulled(store, image, wanted, pulls=pulls, session=session)


def check_runs(image: str, config: ImageConfig) -> None:
    """Raises SandboxError when the image's programs are of an architecture that nothing runs here."""
    host = host_platform()
    if config.platform.architecture == host.architecture:
        return
    from slimstage.sandbox.emulation import HINT, runs  # only for foreign images

    architecture = config.platform.architecture
    answer = runs([architecture])[architecture]
    if not answer.is_runnable:
        raise SandboxError(
            f'image "{image}" is for "{config.platform}", which does not run on this host, "{host}"',
            code="no-emulation",
            notes=[answer.by],
            hint=HINT.format(architecture=architecture),
        )


def unpacked(store: Store, image: StoredImage) -> Stack | None:
    """The image's layers, unpacked now where they were not; None when neither directory nor bytes are here."""
    layers = [layer.layer for layer in image.layers]
    stack = tuple(layer for layer in layers if layer is not None)
    if len(stack) == len(layers) and store.snapshots.has(stack):
        return stack
    if not all(layer.blob is not None and store.blobs.has(layer.blob.digest) for layer in image.layers):
        return None
    from slimstage.bases.base import Base
    from slimstage.bases.resolve import Bases
    from slimstage.events import ignore

    config = config_of(store, image.id)
    base = Base(image.id, image.id, image.manifest, config, image.platform, image.layers)
    fetched: Stack = Bases(store, {}).fetch(base, ignore, "")
    return fetched


def _pulled(store: Store, image: str, platform: Platform, *, pulls: bool, session: Session) -> Runnable:
    import sys

    from slimstage.bases.pulling import pull_base
    from slimstage.bases.resolve import Bases
    from slimstage.cli.progress.transfer import transfer_progress
    from slimstage.cli.registries import registries

    bases = Bases(store, registries(), is_build=False)
    progress = transfer_progress(sys.stderr, session.colour)
    try:
        try:
            base = bases.resolve(image, platform, pull=pulls)
        except (PlanError, RegistryError) as error:
            raise _not_here(error, image) from error
        stored = pull_base(bases, base, progress)
    finally:
        progress.close()
    stack = tuple(layer.layer for layer in stored.layers if layer.layer is not None)
    return Runnable(base.id, base.config, stack)


def _not_here(error: PlanError | RegistryError, image: str) -> PlanError | RegistryError:
    """The error with what someone can do who wants to run an image: build it."""
    first = error.diagnostics[0]
    notes = (
        f'the store has no image "{image}"; it is here when it was built: slimstage build -t {image} .',
        *first.notes,
    )
    error.diagnostics = (Diagnostic(first.code, first.message, first.span, notes, first.hint, first.severity),)
    return error
