"""The one public entry of the engine: a request becomes an image.

    request ─open context, parse─▶ Dockerfile ─resolve bases, lower─▶ graph ─schedule─▶ layers ─assemble─▶ image ─▶ outputs

Each station is a module of its own; this one ties them together for one build and takes everything down again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from slimstage.build.executor import StepOutcome, ThreadExecutor
from slimstage.build.files import FileSteps
from slimstage.build.foreign import check_foreign
from slimstage.build.image import BuiltImage, ImageMaker, index_of
from slimstage.build.lasttimes import Memory
from slimstage.build.outcome import Happened, build_result
from slimstage.build.outputs import Outputs
from slimstage.build.packing import Packer
from slimstage.build.preparation import Prepared, prepare, with_defaults
from slimstage.build.request import (
    BuildRequest,
    BuildResult,
    CacheResult,
    OutputResult,
    OutputSpec,
    WarningResult,
)
from slimstage.build.run import key_values
from slimstage.build.running import RunSteps
from slimstage.build.sandboxes import SandboxOnce
from slimstage.build.scheduler import Progress, Scheduler
from slimstage.build.worker import Numbering, Worker
from slimstage.cache.local import Cache, LocalCache
from slimstage.context.open import OpenedContext, open_context
from slimstage.digest import Digest
from slimstage.events import BuildFinished, BuildStarted, CacheHit, Event, Listener, Warned, ignore
from slimstage.plan.graph import AnyStep, BaseStep, Graph, RunStep, StepId, WorkdirStep
from slimstage.store.promises import PromiseBroken
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store

if TYPE_CHECKING:
    from slimstage.build.attesting import Attestor
    from slimstage.build.caching import StepFact
    from slimstage.cache.remote import RemoteCache

FEWEST_JOBS = 4
"""Steps that run at once even on few cores: many wait for a network or a disk."""


Looker: TypeAlias = Callable[[OpenedContext, Prepared], None]
"""Is shown what a build has read, before anything runs; what it raises ends the build."""


def build(
    request: BuildRequest,
    store: Store,
    listener: Listener = ignore,
    cancel: threading.Event | None = None,
    looker: Looker | None = None,
) -> BuildResult:
    """Builds the target and writes every output, then the caches.

    Raises: every kind of SlimstageError; when it does, nothing of the build is left but cached steps.
    """
    with _opened(request, store, listener, cancel or threading.Event()) as job:
        while True:
            try:
                with _engine(job) as engine:
                    if looker is not None and not job.is_again:
                        looker(job.opened, engine.prepared)
                    return engine.build()
            except PromiseBroken:
                job.is_again = True  # without what does not come: what was done meanwhile is in the store


def plan(request: BuildRequest, store: Store, listener: Listener = ignore) -> tuple[Graph, dict[str, bool]]:
    """The graph of the request and, for each step, whether the cache has it. Runs no step."""
    with _opened(request, store, listener, threading.Event()) as job, _engine(job) as engine:
        return engine.prepared.graph, engine.scheduler.probe(engine.targets())


class _Job:
    """What stays the same however often a build has to be planned."""

    def __init__(self, request: BuildRequest, store: Store, listener: Listener, cancel: threading.Event) -> None:
        self._began = time.monotonic()
        self._listener = listener
        self.request, self.store, self.cancel = with_defaults(request), store, cancel
        self.warnings: list[WarningResult] = []
        self.is_again = False
        self.opened: OpenedContext
        self.remote: RemoteCache | None = None

    def clock(self) -> float:
        return time.monotonic() - self._began

    def emit(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(WarningResult(event.code, event.message, event.line))
        self._listener(event)


@contextmanager
def _opened(request: BuildRequest, store: Store, listener: Listener, cancel: threading.Event) -> Iterator[_Job]:
    job = _Job(request, store, listener, cancel)
    with ExitStack() as cleanup:
        job.opened = cleanup.enter_context(open_context(job.request, store.session.directory))
        if request.cache_from:
            from slimstage.build.caching import remote_cache  # few builds have such caches

            job.remote = remote_cache(job.request, store, job.emit, job.clock, cancel)
            cleanup.callback(job.remote.close)
        yield job


@contextmanager
def _engine(job: _Job) -> Iterator[_Engine]:
    with ExitStack() as cleanup:
        yield _Engine(job, cleanup)


class _Engine:
    """One build, from its request to its result."""

    def __init__(self, job: _Job, cleanup: ExitStack) -> None:
        self._job, store, cancel = job, job.store, job.cancel
        self._store, self._cancel = store, cancel
        self._emit, self._clock, remote = job.emit, job.clock, job.remote
        self._sizes: dict[StepId, int] = {}
        self._sources: dict[StepId, str] = {}
        self._is_over = True
        self.prepared = prepared = prepare(
            job.request, job.opened, store, self._emit, self._clock, cleanup, cancel, remote
        )
        self._request = request = prepared.request
        graph = prepared.graph
        self._jobs = request.jobs or max(FEWEST_JOBS, os.cpu_count() or 1)
        self._numbering = _number(prepared)
        self._stage_of = _stages(prepared)
        self._cache: Cache = LocalCache(store)
        if remote is not None:
            from slimstage.cache.remote import CombinedCache  # few builds have such caches

            self._cache = CombinedCache(self._cache, remote)
        self._packer = Packer(store, threads=os.cpu_count() or 1)
        cleanup.callback(self._packer.close)
        self._images = ImageMaker(store, self._packer, request)
        files = FileSteps(store, prepared.contexts, request, graph, prepared.spans, self._emit, self._clock)
        sandbox = SandboxOnce(request.backend)
        cleanup.callback(sandbox.close)
        worker = Worker(
            store=store,
            cache=self._cache,
            bases=prepared.bases,
            base_of=prepared.base_of,
            files=files,
            runs=RunSteps(
                store, sandbox, request, prepared.spans, self._emit, self._clock, cancel, self._mount_contents()
            ),
            numbering=self._numbering,
            listener=self._emit,
            clock=self._clock,
            extra=self._extra,
            cancel=cancel,
            spans=prepared.spans,
            promises_bases=remote is not None,
        )
        executor = ThreadExecutor(worker.work, self._jobs)
        cleanup.callback(executor.close)
        cleanup.callback(self._end)
        self.scheduler = Scheduler(
            graph,
            self._cache,
            executor,
            extra=self._extra,
            forced_by=self._forced_by,
            last_key=lambda step: self._memory.key(step),
            digests=files.context_digests,
            on_cached=self._on_cached,
            on_done=self._on_done,
            at_once=worker.at_once,
        )

    def build(self) -> BuildResult:
        graph, request = self.prepared.graph, self._request
        if not self._job.is_again:
            names, target = self._stage_names(), self.prepared.plans[0].target.name
            self._emit(BuildStarted(self._clock(), names, len(graph.steps), target))
            if request.splits_layers and request.source_date_epoch_s is None:
                self._warn(
                    "layers-vary",
                    "files that are installed again get new times, and so their layers change; --reproducible "
                    "lets a package that stays the same keep its layer",
                )
        try:
            if self._job.remote is not None:
                self._job.remote.load()  # not while nobody can prune
            with self._store.session.steady():
                self.scheduler.probe(self.targets())
            check_foreign(self.prepared, self.scheduler.undone(self.targets()))
            try:
                progress = self.scheduler.run(self.targets(), self._cancel)
            finally:
                self._memory.note(self.scheduler.record_keys())
            images, outputs = self._outputs(progress)
            caches = self._write_caches(progress) if request.cache_to else ()
        except BaseException as error:
            if not isinstance(error, PromiseBroken):
                self._emit(BuildFinished(self._clock(), None, 0, ok=False))
            self._is_over = not isinstance(error, PromiseBroken)
            raise
        happened = Happened(progress.outcomes, self._sizes, self._sources, tuple(self._job.warnings), self._clock())
        result = build_result(self.prepared, images, happened, outputs, caches, self._index_digest(images, outputs))
        self._remember(result, happened)
        self._emit(BuildFinished(self._clock(), result.image_id, result.size_bytes, ok=True))
        return result

    def _remember(self, result: BuildResult, happened: Happened) -> None:
        """How the images of the store came to be, unless all was cached and that is known."""
        if not any(output.kind == "image" for output in self._request.outputs):
            return
        has_run = any(outcome.status == "run" for outcome in happened.outcomes.values())
        if has_run or not all(self._store.builds.has(Digest(part.image_id)) for part in result.platforms):
            from slimstage.build.remembering import remember  # only when a step ran

            remember(self._store, self.prepared, result, happened, self.scheduler.records())

    def targets(self) -> list[StepId]:
        """The steps whose trees the build is asked for."""
        graph = self.prepared.graph
        wanted = [stage.last for stage in graph.stages if self._request.keeps_all_stages and stage.last]
        return [*wanted, *graph.target_steps()]

    def _stage_names(self) -> tuple[str, ...]:
        prepared = self.prepared
        if prepared.graph.targets:
            return tuple(dict.fromkeys(prepared.labels.values()))
        return tuple(stage.name for stage in prepared.graph.stages)

    def _write_caches(self, progress: Progress) -> tuple[CacheResult, ...]:
        from slimstage.build.caching import CacheWriter  # few builds write such caches

        writer = CacheWriter(
            self._request,
            self.prepared,
            self._store,
            self._packer,
            self._emit,
            self._clock,
            self._job.remote,
            self._cancel,
        )
        return writer.write(self._facts(progress))

    def _mount_contents(self) -> Callable[[str], Callable[[str], None] | None]:
        remote = self._job.remote
        if remote is None or not self._request.carries_cache_mounts:
            return lambda _: None
        from slimstage.cache.carried import CarriedMounts  # few builds have such caches

        return CarriedMounts(remote, self._emit, self._clock).filler

    def _facts(self, progress: Progress) -> list[StepFact]:
        from slimstage.build.caching import step_facts  # few builds write such caches

        remote = self._job.remote

        def keys_of(layer: LayerId) -> list[str]:
            return [*self._store.records.keys_of(layer, 8), *(remote.keys_of(layer) if remote is not None else ())]

        return step_facts(self.prepared.graph, progress.outcomes, self.scheduler.records(), keys_of)

    def _with_cache(self, image: BuiltImage, progress: Progress) -> BuiltImage:
        """With the inline cache in it that the request asks for."""
        if not any(target.place.kind == "inline" for target in self._request.cache_to):
            return image
        from slimstage.build.caching import with_inline_cache  # few builds write such caches

        return with_inline_cache(image, self._facts(progress), self._store.snapshots.size_bytes)

    def _end(self) -> None:
        """Whatever still runs has no use any more, unless all is planned once more."""
        if self._is_over:
            self._cancel.set()

    def _outputs(self, progress: Progress) -> tuple[tuple[BuiltImage, ...], tuple[OutputResult, ...]]:
        """Writes every output. The images that the result speaks of, one for each platform, are those of the first output
        that has blobs, else of the first.
        """
        prepared, request = self.prepared, self._request
        outputs = Outputs(request, self._store, self._emit, self._clock, self._cancel, self._attestor())
        written: list[OutputResult] = []
        made: list[tuple[BuiltImage, ...]] = []
        for output in request.outputs:
            images = [self._images.make(prepared, plan, progress, output) for plan in prepared.plans]
            made.append(tuple(self._with_cache(image, progress) for image in images))
            for image in made[-1]:
                self._bring(output, image)
            written.append(outputs.write(output, made[-1], self._images.times(output)))
        packed = (images for images in made if all(image.blobs and all(image.blobs) for image in images))
        return next(packed, made[0]), tuple(written)

    def _attestor(self) -> Attestor | None:
        request = self._request
        if not request.sbom and request.provenance is None:
            return None
        from slimstage.build.attesting import Attestor  # few builds attest

        names = dict.fromkeys([*request.tags, *(name for output in request.outputs for name in output.names)])
        return Attestor(
            self.prepared, self._store, self._job.opened.dockerfile_text, tuple(names), time.time() - self._clock()
        )

    def _index_digest(self, images: Sequence[BuiltImage], outputs: Sequence[OutputResult]) -> str | None:
        """Of several platforms; where no output wrote an index, of the one that the store would have."""
        if len(images) == 1:
            return None
        written = next((each.digest for each in outputs if each.digest), None)
        return written or index_of(OutputSpec("image"), images).digest

    def _bring(self, output: OutputSpec, image: BuiltImage) -> None:
        """What an output holds the bytes of has to be here before it begins: half of one cannot be taken back."""
        if output.pushes:
            return  # the registry may have all of it
        if output.kind in ("oci", "docker"):
            for blob in image.blobs:
                if blob is not None and self._store.blobs.gives(blob.digest):
                    self._store.blobs.path(blob.digest)
        else:
            self._store.snapshots.bring(tuple(layer.layer for layer in image.layers if layer.layer))

    # What the scheduler asks and tells ------------------------------------------------------------------------

    def _extra(self, step: AnyStep) -> Mapping[str, Any]:
        return key_values(step, self._request) if isinstance(step, RunStep) else {}

    def _forced_by(self, step: AnyStep) -> str:
        if isinstance(step, BaseStep | WorkdirStep):
            return ""
        if self._request.no_cache:
            return "--no-cache"
        return "--no-cache-filter" if self._stage_of[step.id] in self._request.no_cache_filter else ""

    @cached_property
    def _memory(self) -> Memory:
        return Memory(self._store.places, self.prepared)

    def _on_cached(self, step: AnyStep, record: Record | None) -> None:
        shown = self._numbering[step.id]
        size = self._store.snapshots.size_bytes(record.layer) if record and record.layer else 0
        self._sizes[step.id] = size
        source = self._sources[step.id] = record.source if record else ""
        self._emit(
            CacheHit(self._clock(), step.id, shown.stage, shown.number, shown.of, step.title, step.line, size, source)
        )

    def _on_done(self, step: AnyStep, outcome: StepOutcome) -> None:
        if step.id in self.prepared.image_steps and not isinstance(step, BaseStep):
            for layer in outcome.layers:
                self._images.begin(layer, step)

    # Telling --------------------------------------------------------------------------------------------------

    def _warn(self, code: str, message: str) -> None:
        self._emit(Warned(self._clock(), code, message))


def _number(prepared: Prepared) -> dict[StepId, Numbering]:
    """Each step's number in its stage: FROM, RUN, COPY, ADD and WORKDIR count, as in BuildKit's progress."""
    found: dict[StepId, Numbering] = {}
    for plan in prepared.plans:
        by_stage: dict[int, list[StepId]] = {}
        for step in plan.graph.steps.values():
            by_stage.setdefault(step.stage, []).append(step.id)
        for steps in by_stage.values():
            for number, each in enumerate(steps, 1):
                found.setdefault(each, Numbering(prepared.labels[each], number, len(steps)))
    return found


def _stages(prepared: Prepared) -> dict[StepId, str]:
    """The name of each step's stage, as the Dockerfile has it."""
    found: dict[StepId, str] = {}
    for plan in prepared.plans:
        names = {stage.index: stage.name for stage in plan.graph.stages}
        for step in plan.graph.steps.values():
            found.setdefault(step.id, names.get(step.stage, f"stage-{step.stage}"))
    return found
