"""Caches that travel, for one build: those of `--cache-from` opened, what the build made written to `--cache-to`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import BinaryIO

from slimstage.build.executor import StepOutcome
from slimstage.build.image import BuiltImage
from slimstage.build.packing import PACK_VERSION, LayerFormat, Packer
from slimstage.build.preparation import Prepared
from slimstage.build.request import BuildRequest, CacheResult
from slimstage.cache.artifact import INLINE, artifact
from slimstage.cache.carried import MountExports
from slimstage.cache.document import CachedLayer, CacheDocument, CachedRecord, CachedSystem, to_json
from slimstage.cache.opening import open_sink, open_source
from slimstage.cache.places import CacheTarget
from slimstage.cache.remote import RemoteCache
from slimstage.cache.sources import CacheSink
from slimstage.digest import Digest
from slimstage.errors import Interrupted, SlimstageError
from slimstage.events import CacheWritten, Listener, TransferProgress, Warned
from slimstage.oci.config import LIMIT_BYTES
from slimstage.oci.config import to_json as config_bytes
from slimstage.oci.descriptor import OCI_LAYER, Descriptor, host_platform
from slimstage.oci.reference import Reference, parse_reference
from slimstage.plan.graph import BaseStep, CacheMount, Graph, RunStep, StepId
from slimstage.store.caches import Sharing
from slimstage.store.packed import PackedLayer
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.tree.blocks import MEDIA_TYPES
from slimstage.tree.compress import Compression
from slimstage.tree.partial import is_estargz
from slimstage.values import dataclass, replace

_STRICTEST: tuple[Sharing, ...] = ("locked", "private", "shared")

_MOST_KEYS = 8
"""Of one result: those of this build, and the latest others that the store knows it by."""


def remote_cache(
    request: BuildRequest, store: Store, listener: Listener, clock: Callable[[], float], cancel: threading.Event
) -> RemoteCache:
    """The caches of the request; nothing is asked of them yet. Without a cache (`--no-cache`) there are none."""
    places = () if request.no_cache else request.cache_from
    platform = request.platform or host_platform()
    openers = [(str(place), partial(open_source, place, request.registries, platform)) for place in places]
    return RemoteCache(store, openers, packing=PACK_VERSION, listener=listener, clock=clock, cancel=cancel)


@dataclass(frozen=True, slots=True)
class StepFact:
    """What is known of one step after a build. layer None: nobody has it. in_image: it is one of the result's layers."""

    keys: tuple[str, ...]
    content_key: str
    layer: LayerId | None
    created_s: float
    in_image: bool


def step_facts(
    graph: Graph,
    outcomes: Mapping[StepId, StepOutcome],
    found: Mapping[StepId, Record],
    keys_of: Callable[[LayerId], Iterable[str]],
) -> list[StepFact]:
    """Of every step that was done, or was found and not needed, in the graph's order. keys_of: others of a layer."""
    image = {step for last in graph.target_steps() for step in _below(graph, last)}
    facts = []
    for step in graph.steps.values():
        outcome, record = outcomes.get(step.id), found.get(step.id)
        if isinstance(step, BaseStep) or (outcome is None and record is None):
            continue
        if outcome is not None:
            key, content, created_s = outcome.key, outcome.content_key, outcome.created_s
            layer = outcome.layers[0] if outcome.layers else None
        else:
            assert record is not None
            key, content, created_s, layer = record.key, record.content_key, record.created_s, record.layer
        others = keys_of(layer) if layer is not None else ()
        keys = tuple(sorted(list(dict.fromkeys([key, *others]))[:_MOST_KEYS]))
        facts.append(StepFact(keys, content, layer, created_s, step.id in image))
    return facts


def cache_mounts(graph: Graph) -> dict[str, Sharing]:
    """The IDs of the cache directories that the graph's steps mount, each with the strictest sharing."""
    found: dict[str, Sharing] = {}
    for step in graph.steps.values():
        for mount in step.mounts if isinstance(step, RunStep) else ():
            if isinstance(mount, CacheMount):
                found[mount.id] = min(found.get(mount.id, mount.sharing), mount.sharing, key=_STRICTEST.index)
    return found


def _in_image(graph: Graph) -> set[StepId]:
    """The steps whose layers the results have, of every platform."""
    return {step for target in graph.target_steps() for step in _below(graph, target)}


def _below(graph: Graph, step: StepId | None) -> Iterable[StepId]:
    while step is not None:
        yield step
        step = graph.steps[step].parent


def with_inline_cache(image: BuiltImage, facts: Sequence[StepFact], size_bytes: Callable[[LayerId], int]) -> BuiltImage:
    """The image with the cache in its config. size_bytes: of a layer's files.

    Only its own layers are in it, by their places; of other steps it holds the content keys, and so of those whose layer
    was split, or has files of eStargz in it that the step did not make.
    """
    diff_ids = {
        layer.layer: layer.diff_id
        for layer in image.layers
        if layer.layer is not None and not (layer.blob is not None and is_estargz(layer.blob.annotations))
    }
    sizes = {layer.diff_id: layer.size_bytes for layer in image.layers}
    layers: dict[LayerId, CachedLayer] = {}
    for fact in facts:
        if fact.layer is not None and fact.in_image and fact.layer in diff_ids:
            diff_id = diff_ids[fact.layer]
            # Named by its diff ID: only the place is written, and the manifest is not made yet.
            blob = Descriptor(OCI_LAYER, diff_id, sizes[diff_id])
            layers[fact.layer] = CachedLayer(diff_id, sizes[diff_id], size_bytes(fact.layer), blob)
    places = {layer: place for place, layer in enumerate(layers)}
    records = tuple(
        CachedRecord(fact.keys, fact.content_key, places.get(fact.layer) if fact.layer else None, fact.created_s)
        for fact in facts
    )
    document = CacheDocument(PACK_VERSION, tuple(layers.values()), records)
    text = to_json(document, [layer.diff_id for layer in image.layers]).decode()
    others = tuple(pair for pair in image.config.extra if pair[0] != INLINE)
    config = replace(image.config, extra=(*others, (INLINE, text)))
    return replace(image, config=config, config_bytes=config_bytes(config))


class CacheWriter:
    """Writes the caches of one build."""

    def __init__(
        self,
        request: BuildRequest,
        prepared: Prepared,
        store: Store,
        packer: Packer,
        listener: Listener,
        clock: Callable[[], float],
        remote: RemoteCache | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """remote: has cache directories that are not here. cancel: ends waiting for those in use."""
        self._cancel = cancel or threading.Event()
        self._mounts = MountExports(store, remote, self._cancel)
        self._request, self._prepared, self._store, self._packer = request, prepared, store, packer
        self._emit, self._clock = listener, clock

    def write(self, facts: Sequence[StepFact]) -> tuple[CacheResult, ...]:
        """Writes all targets but inline ones, which are in the image. Raises SlimstageError unless errors are ignored."""
        targets = [target for target in self._request.cache_to if target.place.kind != "inline"]
        if targets and self._request.carries_cache_mounts:
            self._mounts.pack(cache_mounts(self._prepared.graph))
        if len(targets) < 2:
            results = [self._written(target, facts) for target in targets]
        else:
            from concurrent.futures import ThreadPoolExecutor  # only for several caches

            for target in targets:  # the packer is begun from one thread
                self._begin(target, facts)
            with ThreadPoolExecutor(len(targets), thread_name_prefix="cache") as pool:
                results = [done.result() for done in [pool.submit(self._written, each, facts) for each in targets]]
        return tuple(each for each in results if each is not None)

    def _written(self, target: CacheTarget, facts: Sequence[StepFact]) -> CacheResult | None:
        try:
            return self._write(target, open_sink(target, self._request.registries, self._origins), facts)
        except SlimstageError as error:
            if not target.ignores_errors or isinstance(error, Interrupted):
                raise
            text = f"the cache was not written to {target.place}: {error.message}"
            self._emit(Warned(self._clock(), "cache-not-written", text))
            return None

    def _origins(self, blob: Digest) -> list[Reference]:
        """Where in a registry a blob may be: wherever it was seen, and where this build just pushed to."""
        names = [*self._request.tags, *(name for output in self._request.outputs for name in output.names)]
        pushed = [Reference(each.registry, each.repository) for each in map(parse_reference, names)]
        return list(dict.fromkeys([*self._store.origins.of(blob), *pushed]))

    def _write(self, target: CacheTarget, sink: CacheSink, facts: Sequence[StepFact]) -> CacheResult:
        self._begin(target, facts)
        document = self._document(target, facts)
        cache = artifact(document)
        total, done = sum(blob.size for blob in cache.blobs), 0

        def progress(count: int) -> None:
            nonlocal done
            if self._cancel.is_set():
                raise Interrupted("the transfer was called off")
            done += count
            self._emit(TransferProgress(self._clock(), "", f"cache to {target.place}", done, total))

        sent = sink.write(cache, self._open, progress)
        if target.place.kind == "registry":
            place = parse_reference(target.place.reference)
            self._store.origins.put(
                Reference(place.registry, place.repository), [layer.blob.digest for layer in document.layers]
            )
        result = CacheResult(
            target.place.kind,
            str(target.place),
            cache.manifest.digest,
            len(document.records),
            len(document.layers),
            sent,
        )
        self._emit(CacheWritten(self._clock(), result.destination, result.digest, result.records, result.layers, sent))
        return result

    def _open(self, blob: Descriptor) -> BinaryIO:
        return self._mounts.open(blob) or self._store.blobs.open(blob.digest)

    # What it says ---------------------------------------------------------------------------------------------

    def _carried(self, target: CacheTarget, facts: Iterable[StepFact]) -> list[LayerId]:
        """The layers whose bytes go into the cache."""
        return [fact.layer for fact in facts if fact.layer and (target.mode == "max" or fact.in_image)]

    def _begin(self, target: CacheTarget, facts: Sequence[StepFact]) -> None:
        """Packs what is not packed yet, several layers at a time."""
        systems = [layer for _, _, layer in self._systems(target)]
        for layer in [*self._carried(target, facts), *systems]:
            if self._packed(target, layer) is None:
                self._packer.begin(layer, _format(target), wants_blob=True)

    def _document(self, target: CacheTarget, facts: Sequence[StepFact]) -> CacheDocument:
        layers: dict[Digest, CachedLayer] = {}
        places: dict[Digest, int] = {}
        carried = set(self._carried(target, facts))

        def place_of(layer: LayerId) -> int:
            packed = self._packed(target, layer) or self._packer.result(layer, _format(target), wants_blob=True)
            assert packed.blob is not None
            blob = Descriptor(packed.blob.media_type, packed.blob.digest, packed.blob.size)
            size = self._store.snapshots.size_bytes(layer)
            layers.setdefault(packed.diff_id, CachedLayer(packed.diff_id, packed.size_bytes, size, blob))
            return places.setdefault(packed.diff_id, len(places))

        records = tuple(
            CachedRecord(
                fact.keys,
                fact.content_key,
                place_of(fact.layer) if fact.layer is not None and fact.layer in carried else None,
                fact.created_s,
            )
            for fact in facts
        )
        systems = tuple(CachedSystem(key, text, place_of(layer)) for key, text, layer in self._systems(target))
        return CacheDocument(PACK_VERSION, tuple(layers.values()), records, systems, self._mounts.packed)

    def _systems(self, target: CacheTarget) -> list[tuple[str, str, LayerId]]:
        """(key, config, layer) of the base systems that were made for the build: no registry has them."""
        prepared = self._prepared
        graph = prepared.graph
        image = {step for last in graph.target_steps() for step in _below(graph, last)}
        found = {}
        for step, base in prepared.base_of.items():
            key = prepared.bases.system_key(base)
            if key is None or (target.mode == "min" and step not in image):
                continue
            layer = prepared.bases.layers(base)[0].layer
            if layer is not None:
                found[key] = (key, self._store.blobs.read(base.id, LIMIT_BYTES).decode(), layer)
        return list(found.values())

    def _packed(self, target: CacheTarget, layer: LayerId) -> PackedLayer | None:
        """The layer as it is packed already, when that will do."""
        forms = self._store.packed.blobs(layer, version=PACK_VERSION)
        wanted = MEDIA_TYPES[_format(target).compression]
        same = [form for form in forms if form.blob and form.blob.media_type == wanted]
        if target.forces_compression or (target.compression is not None and wanted == OCI_LAYER):
            return same[0] if same and target.compression_level is None else None
        compressed = [form for form in forms if form.blob and form.blob.media_type != OCI_LAYER]
        return next(iter([*same, *compressed]), None)


def _format(target: CacheTarget) -> LayerFormat:
    compression: Compression = "zstd" if target.place.kind in ("local", "s3") else "gzip"
    compression = target.compression or compression
    return LayerFormat(compression, target.compression_level if compression != "uncompressed" else None)
