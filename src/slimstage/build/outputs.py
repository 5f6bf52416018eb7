"""The finished image, written wherever the request says: the store, OCI layouts, archives, directories, tars.

Of several platforms it is an index, in files a directory for each.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from slimstage.build.image import BuiltImage, annotations_of, index_of
from slimstage.build.packing import Times
from slimstage.build.request import BuildRequest, OutputResult, OutputSpec, PushedName
from slimstage.digest import Digest
from slimstage.errors import DISK_FULL, DISK_FULL_ERRNOS, StoreError, UsageError
from slimstage.events import Listener, OutputWritten
from slimstage.oci.manifest import Index, parse_document
from slimstage.oci.reference import parse_reference
from slimstage.store.files import create_exclusive, guarded
from slimstage.store.images import StoredImage, full_name
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.source import AnyExport, Export, IndexExport, StoreSource
from slimstage.store.space import saying_space
from slimstage.store.store import Store
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.build.attesting import Attestor


class Outputs:
    """Writes the outputs of one build, in the order of the request."""

    def __init__(
        self,
        request: BuildRequest,
        store: Store,
        listener: Listener,
        clock: Callable[[], float],
        cancel: threading.Event | None = None,
        attestor: Attestor | None = None,
    ) -> None:
        """cancel: ends a push when it is set. attestor: adds to each image that is written what belongs to it."""
        self._request, self._store, self._emit, self._clock = request, store, listener, clock
        self._cancel, self._attestor = cancel or threading.Event(), attestor

    def write(self, output: OutputSpec, images: Sequence[BuiltImage], times: Times) -> OutputResult:
        """Writes one output, of one image or those of several platforms; what was at its place before is there until the
        new one is whole.

        Raises UsageError: a bad destination. StoreError: a full disk, a blob that is gone. RegistryError: of a push.
        """
        if output.kind == "image":
            digest: Digest | None = self._into_store(output, images)
        elif output.destination in (None, "-"):
            digest = self._to_place(output, images, times)  # that a reader of stdout left is no failure of the disk
        else:
            place = str(output.destination)
            with saying_space(place), guarded(f'write the output "{place}"'):
                digest = self._to_place(output, images, times)
        self._emit(OutputWritten(self._clock(), output.kind, output.destination or "the store", digest))
        pushed = self._push(output, digest) if output.pushes and digest is not None else ()
        return OutputResult(output.kind, output.destination, digest, pushed)

    def _push(self, output: OutputSpec, digest: Digest) -> tuple[PushedName, ...]:
        """What the store has under the digest goes to the registries of its names; it stays in the store if that fails."""
        from slimstage.build.pushing import ImagePusher, ended_by  # HTTP, only for this kind of output

        names = [parse_reference(name).with_default_tag() for name in self._names(output)]
        if output.pushes_by_digest:
            names = list(dict.fromkeys(replace(name, tag=None) for name in names))
        document = parse_document(self._store.blobs.read(digest))
        index = document if isinstance(document, Index) else None
        digests = [entry.digest for entry in index.manifests] if index else [digest]
        sources = [StoreSource(self._store.blobs, each) for each in digests]
        pusher = ImagePusher(self._store, self._request.registries, self._emit, self._clock)
        with ended_by(pusher, self._cancel):
            return pusher.push(names, sources, index)

    def _to_place(self, output: OutputSpec, images: Sequence[BuiltImage], times: Times) -> Digest | None:
        if output.kind in ("oci", "docker"):
            return self._archive(output, images)
        self._files(output, images, times)
        return None

    def _names(self, output: OutputSpec) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._request.tags, *output.names]))

    def _into_store(self, output: OutputSpec, images: Sequence[BuiltImage]) -> Digest:
        """One image under the names, or several without a name and the index over them under the names.

        An image that is pushed and whose layers are only promised is no image of this store: what it would need may be in
        the registry alone.
        """
        names, members = self._names(output), []
        is_here = not output.pushes or all(map(self._is_here, images))
        for image in images:
            manifest = self._put(output, image)
            if is_here:
                stored = StoredImage(image.id, manifest, image.platform, image.layers, time.time())
                self._store.images.put(stored, names if len(images) == 1 else ())
            members.append(IndexMember(manifest, image.id, image.platform))
        if len(images) == 1:
            return members[0].manifest
        index = index_of(output, images)
        self._store.blobs.put(index.raw)
        if is_here:
            full = tuple(full_name(name) for name in names)
            self._store.indexes.put(StoredIndex(index.digest, tuple(members), time.time()), full)
        return index.digest

    def _is_here(self, image: BuiltImage) -> bool:
        return all(layer.layer is None or self._store.snapshots.has((layer.layer,)) for layer in image.layers)

    def _put(self, output: OutputSpec, image: BuiltImage) -> Digest:
        """Config and manifest into the store; the manifest's digest."""
        manifest = image.manifest(output)
        self._store.blobs.put(image.config_bytes)
        self._store.blobs.put(manifest.raw)
        if self._attestor is not None:
            self._attestor.attest(image, manifest)
        return manifest.digest

    def _export(self, output: OutputSpec, images: Sequence[BuiltImage]) -> AnyExport:
        sources = [StoreSource(self._store.blobs, self._put(output, image)) for image in images]
        artifacts = tuple(
            each for source in sources for each in self._store.referrers.sources(source.digest) if self._attestor
        )
        if len(images) == 1:
            (image,) = images
            annotations = annotations_of(output, "manifest-descriptor", image.platform)
            return Export(sources[0], self._names(output), annotations, image.platform, artifacts)
        index = index_of(output, images)
        return IndexExport(
            index, tuple(sources), self._names(output), annotations_of(output, "index-descriptor"), artifacts
        )

    def _archive(self, output: OutputSpec, images: Sequence[BuiltImage]) -> Digest:
        from slimstage.store.layout_sink import LayoutSink  # only for this kind of output
        from slimstage.store.save import ArchiveSink, write_archive

        export = self._export(output, images)
        beside = self._store.session.beside
        if output.kind == "oci" and not output.is_tar:
            LayoutSink(_destination(output, "DIRECTORY"), beside=beside).write([export])
        elif output.destination in (None, "-"):
            write_archive(sys.stdout.buffer, [export], is_docker=output.kind == "docker")
        else:
            ArchiveSink(_destination(output, "FILE"), is_docker=output.kind == "docker", beside=beside).write([export])
        return export.descriptor.digest

    def _files(self, output: OutputSpec, images: Sequence[BuiltImage], times: Times) -> None:
        from slimstage.build.export import (  # only for this kind of output
            Part,
            check_apart,
            export_directory,
            export_tar,
        )
        from slimstage.tree.union import UnionTree

        is_split = len(images) > 1 if output.splits_platforms is None else output.splits_platforms
        with ExitStack() as trees:
            parts = []
            for image in images:
                layers = tuple(layer.layer for layer in image.layers if layer.layer is not None)
                tree = trees.enter_context(UnionTree(self._store.snapshots.paths(layers)))
                parts.append(Part(str(image.platform), tree, is_split))
            check_apart(parts)
            if output.kind == "local":
                export_directory(parts, _destination(output, "DIRECTORY"), times, self._store.session.beside)
                return
            if output.destination in (None, "-"):
                export_tar(parts, sys.stdout.buffer.write, times)
                sys.stdout.buffer.flush()
                return
            with _replacing(str(output.destination), self._store.session.beside) as file:
                export_tar(parts, file.write, times)


def _destination(output: OutputSpec, what: str) -> str:
    if output.destination is None or output.destination == "-":
        raise UsageError(f"--output: type={output.kind} needs a place", code="bad-output", hint=f"add dest={what}")
    return output.destination


@contextmanager
def _replacing(path: str, beside: Callable[[str], str]) -> Iterator[IO[bytes]]:
    """A temporary file beside `path` that takes its place when all went well; a symlink there is replaced, not followed."""
    from slimstage.store.save import is_written_to  # only for this kind of output

    try:
        if is_written_to(path):
            with open(path, "wb") as file:
                yield file
            return
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        temporary = beside(path)
        fd = create_exclusive(temporary)
    except OSError as cause:
        raise _output_failed(path, cause) from cause
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as cause:
        _forget(temporary)
        raise _output_failed(path, cause) from cause
    except BaseException:
        _forget(temporary)
        raise


def _output_failed(path: str, cause: OSError) -> StoreError:
    is_disk = cause.errno in DISK_FULL_ERRNOS
    return StoreError(
        f'write "{path}": {(cause.strerror or str(cause)).lower()}', code=DISK_FULL if is_disk else "output-failed"
    )


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
