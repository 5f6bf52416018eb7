"""The one public entry of the engine: a request becomes an image.

    request ─open context, parse─▶ Dockerfile ─resolve bases, lower─▶ graph ─schedule─▶ layers ─assemble─▶ image ─▶ outputs

Each station is a module of its own; this one ties them together for one build and takes everything down again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Any

from slimstage.build.executor import StepOutcome, ThreadExecutor
from slimstage.build.files import FileSteps
from slimstage.build.image import BuiltImage, ImageMaker
from slimstage.build.outputs import Outputs
from slimstage.build.packing import Packer
from slimstage.build.preparation import prepare
from slimstage.build.request import BuildRequest, BuildResult, OutputResult, OutputSpec, WarningResult
from slimstage.build.results import layer_results, stage_results, stayed_behind, step_results
from slimstage.build.run import key_values
from slimstage.build.running import RunSteps
from slimstage.build.sandboxes import SandboxOnce
from slimstage.build.scheduler import Progress, Scheduler
from slimstage.build.worker import Numbering, Worker
from slimstage.cache.lasttime import LastTime
from slimstage.cache.local import LocalCache
from slimstage.digest import digest_json
from slimstage.errors import StoreError
from slimstage.events import BuildFinished, BuildStarted, CacheHit, Event, Listener, Warned, ignore
from slimstage.plan.graph import AnyStep, BaseStep, Graph, RunStep, StepId, WorkdirStep
from slimstage.store.records import Record
from slimstage.store.store import Store
from slimstage.values import replace

FEWEST_JOBS = 4
"""Steps that run at once even on few cores: many wait for a network or a disk."""


def build(
    request: BuildRequest, store: Store, listener: Listener = ignore, cancel: threading.Event | None = None
) -> BuildResult:
    """Builds the target and writes every output.

    Raises: every kind of SlimstageError; when it does, nothing of the build is left but cached steps.
    """
    with _engine(request, store, listener, cancel or threading.Event()) as engine:
        return engine.build()


def plan(request: BuildRequest, store: Store, listener: Listener = ignore) -> tuple[Graph, dict[str, bool]]:
    """The graph of the request and, for each step, whether the cache has it. Runs no step."""
    with _engine(request, store, listener, threading.Event()) as engine:
        return engine.prepared.graph, engine.scheduler.probe()


@contextmanager
def _engine(request: BuildRequest, store: Store, listener: Listener, cancel: threading.Event) -> Iterator[_Engine]:
    with ExitStack() as cleanup:
        yield _Engine(request, store, listener, cancel, cleanup)


class _Engine:
    """One build, from its request to its result."""

    def __init__(
        self, request: BuildRequest, store: Store, listener: Listener, cancel: threading.Event, cleanup: ExitStack
    ) -> None:
        self._began = time.monotonic()
        self._store, self._cancel = store, cancel
        self._warnings: list[WarningResult] = []
        self._listener = listener
        self._sizes: dict[StepId, int] = {}
        self.prepared = prepared = prepare(request, store, self._emit, self._clock, cleanup, cancel)
        self._request = request = prepared.request
        graph = prepared.graph
        self._jobs = request.jobs or max(FEWEST_JOBS, os.cpu_count() or 1)
        self._numbering = _number(graph)
        self._place = digest_json(prepared.name)  # not the name: it may be a URL with credentials
        self._cache = LocalCache(store)
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
            runs=RunSteps(store, sandbox, request, prepared.spans, self._emit, self._clock, cancel),
            numbering=self._numbering,
            listener=self._emit,
            clock=self._clock,
            extra=self._extra,
            cancel=cancel,
            spans=prepared.spans,
        )
        executor = ThreadExecutor(worker.work, self._jobs)
        cleanup.callback(executor.close)
        cleanup.callback(cancel.set)
        self.scheduler = Scheduler(
            graph,
            self._cache,
            executor,
            extra=self._extra,
            forced_by=self._forced_by,
            last_key=lambda step: self._last_time.key(step),
            digests=files.context_digests,
            on_cached=self._on_cached,
            on_done=self._on_done,
            at_once=worker.at_once,
        )

    def build(self) -> BuildResult:
        graph, request = self.prepared.graph, self._request
        target = graph.stage(graph.target)
        names = tuple(stage.name for stage in graph.stages)
        self._emit(BuildStarted(self._clock(), names, len(graph.steps), target.name))
        for message in graph.warnings:
            self._warn("plan", message)
        try:
            with self._store.session.steady():
                self.scheduler.probe()
            wanted = [stage.last for stage in graph.stages if request.keeps_all_stages and stage.last]
            try:
                progress = self.scheduler.run([*wanted, *([target.last] if target.last else [])], self._cancel)
            finally:
                self._remember()
            image, outputs = self._outputs(progress)
        except BaseException:
            self._emit(BuildFinished(self._clock(), None, 0, ok=False))
            raise
        result = self._result(image, progress.outcomes, outputs)
        self._emit(BuildFinished(self._clock(), result.image_id, result.size_bytes, ok=True))
        return result

    def _outputs(self, progress: Progress) -> tuple[BuiltImage, tuple[OutputResult, ...]]:
        """Writes every output. The image that the result speaks of is the first one that has blobs, else the first."""
        prepared, request = self.prepared, self._request
        target = prepared.graph.stage(prepared.graph.target)
        outputs = Outputs(request, self._store, self._emit, self._clock)
        written: list[OutputResult] = []
        images: list[BuiltImage] = []
        for output in request.outputs:
            images.append(self._images.make(prepared, target, progress, output))
            written.append(outputs.write(output, images[-1], self._images.times(output)))
        image = next((each for each in images if each.blobs and all(each.blobs)), images[0])
        return image, tuple(written)

    def _result(
        self, image: BuiltImage, outcomes: Mapping[StepId, StepOutcome], outputs: tuple[OutputResult, ...]
    ) -> BuildResult:
        graph = self.prepared.graph
        prepared = self.prepared
        bases = {
            step: sum(layer.size_bytes for layer in prepared.bases.layers(base))
            for step, base in prepared.base_of.items()
        }
        blobs = image.blobs
        size_bytes = sum(layer.size_bytes for layer in image.layers)
        stages = stage_results(graph, outcomes, bases, self._sizes)
        return BuildResult(
            image_id=image.id,
            manifest_digest=next((each.digest for each in outputs if each.digest), None)
            or _digest_without_output(image),
            tags=tuple(dict.fromkeys([*self._request.tags, *(n for o in self._request.outputs for n in o.names)])),
            platform=str(image.platform),
            size_bytes=size_bytes,
            compressed_bytes=sum(blob.size for blob in blobs if blob) if all(blobs) else None,
            duration_s=round(self._clock(), 3),
            layers=layer_results(image.config, [layer.size_bytes for layer in image.layers], blobs),
            # The target's tree is the image: one size for both, that of the image's layers.
            stages=tuple(
                replace(each, size_bytes=size_bytes) if each.index == graph.target else each for each in stages
            ),
            steps=step_results(graph, outcomes, self._sizes),
            warnings=tuple(self._warnings),
            outputs=outputs,
            stayed_behind=stayed_behind(graph, outcomes, bases, self._sizes),
        )

    # What the scheduler asks and tells ------------------------------------------------------------------------

    def _extra(self, step: AnyStep) -> Mapping[str, Any]:
        return key_values(step, self._request) if isinstance(step, RunStep) else {}

    def _forced_by(self, step: AnyStep) -> str:
        if isinstance(step, BaseStep | WorkdirStep):
            return ""
        if self._request.no_cache:
            return "--no-cache"
        return "--no-cache-filter" if self._numbering[step.id].stage in self._request.no_cache_filter else ""

    @cached_property
    def _last_time(self) -> LastTime:
        return LastTime(self._store.places.get(self._place), self.prepared.graph)

    def _remember(self) -> None:
        """For the next `--explain`; what is as it was is not written again, what cannot be written is forgotten."""
        text = self._last_time.noted(self.scheduler.record_keys())
        if text is not None:
            with suppress(StoreError):
                self._store.places.put(self._place, text)

    def _on_cached(self, step: AnyStep, record: Record | None) -> None:
        shown = self._numbering[step.id]
        size = self._store.snapshots.size_bytes(record.layer) if record and record.layer else 0
        self._sizes[step.id] = size
        self._emit(CacheHit(self._clock(), step.id, shown.stage, shown.number, shown.of, step.title, step.line, size))

    def _on_done(self, step: AnyStep, outcome: StepOutcome) -> None:
        if step.stage in self.prepared.target_chain and not isinstance(step, BaseStep):
            for layer in outcome.layers:
                self._images.begin(layer)

    # Telling --------------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        return time.monotonic() - self._began

    def _emit(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._warnings.append(WarningResult(event.code, event.message, event.line))
        self._listener(event)

    def _warn(self, code: str, message: str) -> None:
        self._emit(Warned(self._clock(), code, message))


def _digest_without_output(image: BuiltImage) -> str:
    """Of the manifest that the store would have: for outputs that write none."""
    return image.manifest(OutputSpec("image")).digest


def _number(graph: Graph) -> dict[StepId, Numbering]:
    """Each step's number in its stage: FROM, RUN, COPY, ADD and WORKDIR count, as in BuildKit's progress."""
    by_stage: dict[int, list[StepId]] = {}
    for step in graph.steps.values():
        by_stage.setdefault(step.stage, []).append(step.id)
    names = {stage.index: stage.name for stage in graph.stages}
    return {
        step: Numbering(names.get(stage, f"stage-{stage}"), number, len(steps))
        for stage, steps in by_stage.items()
        for number, step in enumerate(steps, 1)
    }
