"""The finished image, written wherever the request says: the store, OCI layouts, archives, directories, tars."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from slimstage.build.image import BuiltImage
from slimstage.build.packing import Times
from slimstage.build.request import BuildRequest, OutputResult, OutputSpec
from slimstage.digest import Digest
from slimstage.errors import DISK_FULL, DISK_FULL_ERRNOS, StoreError, UsageError
from slimstage.events import Listener, OutputWritten
from slimstage.store.files import create_exclusive, guarded
from slimstage.store.images import StoredImage
from slimstage.store.source import Export, StoreSource
from slimstage.store.space import saying_space
from slimstage.store.store import Store


class Outputs:
    """Writes the outputs of one build, in the order of the request."""

    def __init__(self, request: BuildRequest, store: Store, listener: Listener, clock: Callable[[], float]) -> None:
        self._request, self._store, self._emit, self._clock = request, store, listener, clock

    def write(self, output: OutputSpec, image: BuiltImage, times: Times) -> OutputResult:
        """Writes one output; what was at its place before is there until the new one is whole.

        Raises UsageError: a bad destination. StoreError: a full disk, a blob that is gone.
        """
        if output.kind == "image":
            digest: Digest | None = self._into_store(output, image)
        elif output.destination in (None, "-"):
            digest = self._to_place(output, image, times)  # that a reader of stdout left is no failure of the disk
        else:
            place = str(output.destination)
            with saying_space(place), guarded(f'write the output "{place}"'):
                digest = self._to_place(output, image, times)
        self._emit(OutputWritten(self._clock(), output.kind, output.destination or "the store", digest))
        return OutputResult(output.kind, output.destination, digest)

    def _to_place(self, output: OutputSpec, image: BuiltImage, times: Times) -> Digest | None:
        if output.kind in ("oci", "docker"):
            return self._archive(output, image)
        self._files(output, image, times)
        return None

    def _names(self, output: OutputSpec) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._request.tags, *output.names]))

    def _into_store(self, output: OutputSpec, image: BuiltImage) -> Digest:
        manifest = image.manifest(output)
        self._store.blobs.put(image.config_bytes)
        self._store.blobs.put(manifest.raw)
        stored = StoredImage(image.id, manifest.digest, image.platform, image.layers, time.time())
        self._store.images.put(stored, self._names(output))
        return manifest.digest

    def _archive(self, output: OutputSpec, image: BuiltImage) -> Digest:
        from slimstage.store.layout_sink import LayoutSink  # only for this kind of output
        from slimstage.store.save import ArchiveSink, write_archive

        manifest = image.manifest(output)
        self._store.blobs.put(image.config_bytes)
        self._store.blobs.put(manifest.raw)
        annotations = {key: value for where, key, value in output.annotations if where == "manifest-descriptor"}
        export = Export(
            StoreSource(self._store.blobs, manifest.digest), self._names(output), annotations, image.platform
        )
        beside = self._store.session.beside
        if output.kind == "oci" and not output.is_tar:
            LayoutSink(_destination(output, "DIRECTORY"), beside=beside).write([export])
        elif output.destination in (None, "-"):
            write_archive(sys.stdout.buffer, [export], is_docker=output.kind == "docker")
        else:
            ArchiveSink(_destination(output, "FILE"), is_docker=output.kind == "docker", beside=beside).write([export])
        return manifest.digest

    def _files(self, output: OutputSpec, image: BuiltImage, times: Times) -> None:
        from slimstage.build.export import export_directory, export_tar  # only for this kind of output
        from slimstage.tree.union import UnionTree

        layers = tuple(layer.layer for layer in image.layers if layer.layer is not None)
        with UnionTree(self._store.snapshots.paths(layers)) as tree:
            if output.kind == "local":
                export_directory(tree, _destination(output, "DIRECTORY"), times, self._store.session.beside)
                return
            if output.destination in (None, "-"):
                export_tar(tree, sys.stdout.buffer.write, times)
                sys.stdout.buffer.flush()
                return
            with _replacing(str(output.destination), self._store.session.beside) as file:
                export_tar(tree, file.write, times)


def _destination(output: OutputSpec, what: str) -> str:
    if output.destination is None or output.destination == "-":
        raise UsageError(f"--output: type={output.kind} needs a place", code="bad-output", hint=f"add dest={what}")
    return output.destination


@contextmanager
def _replacing(path: str, beside: Callable[[str], str]) -> Iterator[IO[bytes]]:
    """A temporary file beside `path` that takes its place when all went well; a symlink there is replaced, not followed."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            raise UsageError(f'--output: "{path}" is a directory', code="bad-output")
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
