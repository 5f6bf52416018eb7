"""Everything that is known before a step runs: context opened, Dockerfile read, bases resolved, graph lowered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from slimstage.bases.base import Base, BaseResolver, Systems
from slimstage.bases.resolve import Bases
from slimstage.build.request import BuildRequest, OutputSpec
from slimstage.context.local import LocalContext
from slimstage.context.open import OpenedContext, open_context
from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.instructions import Dockerfile
from slimstage.dockerfile.parse import parse
from slimstage.errors import SlimstageError, UsageError
from slimstage.events import BaseResolved, Listener
from slimstage.oci.descriptor import Platform, host_platform
from slimstage.plan.contexts import LocalSource, classify
from slimstage.plan.graph import AnyStep, BaseStep, Graph, StagePlan, StepId
from slimstage.plan.lower import bases_needed, lower
from slimstage.plan.platforms import PlatformGraph, join
from slimstage.plan.request import PlanRequest, ResolvedImage
from slimstage.store.store import Store
from slimstage.values import dataclass, replace

EARLIEST_S = 315_532_800
"""1980-01-01: the epoch of `--reproducible` when none was given. Zip files, so wheels too, know no earlier date."""

_AT_ONCE = 4
"""Bases resolved at the same time: each waits for a network or for mmdebstrap."""


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One image that a build makes. graph: what it needs. base: the image that the target stands on."""

    platform: Platform
    graph: Graph
    base: Base | None

    @property
    def target(self) -> StagePlan:
        return self.graph.stage(self.graph.target)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A build that can begin.

    name: of the Dockerfile, as part of what `--explain` remembers. request: with the epoch decided. graph: what has to be
    done, for all platforms; `labels`: what the stage of each of its steps is called. plans: the image of each platform.
    """

    name: str
    request: BuildRequest
    graph: Graph
    labels: Mapping[StepId, str]
    plans: tuple[ImagePlan, ...]
    contexts: Mapping[str, LocalContext]
    bases: BaseResolver
    base_of: Mapping[StepId, Base]
    spans: Mapping[StepId, Span]
    image_steps: frozenset[StepId]
    """Those whose layers an image has."""


def prepare(
    request: BuildRequest,
    opened: OpenedContext,
    store: Store,
    listener: Listener,
    clock: Callable[[], float],
    cleanup: ExitStack,
    cancel: threading.Event | None = None,
    made_elsewhere: Systems | None = None,
) -> Prepared:
    """Reads and resolves all that the target needs, and nothing else. `cleanup` closes what was opened.

    opened: the request's context. made_elsewhere: see `Bases`.
    Raises UsageError, DockerfileError, PlanError, ContextError, RegistryError, SandboxError.
    """
    dockerfile = parse(opened.dockerfile_text, opened.dockerfile_name)
    planned = PlanRequest(
        build_platform=host_platform(),
        target=request.target,
        build_args=request.build_args,
        labels=request.labels,
        contexts=request.named_contexts,
        network=request.network,
        entitlements=request.entitlements,
    )
    names = {value: name for name, value in request.named_contexts.items()}
    bases = Bases(store, request.registries, listener, clock, names=names, cancel=cancel, made_elsewhere=made_elsewhere)
    provider = _Provider(bases, request, listener, clock, names)
    wanted = [replace(planned, platform=platform) for platform in request.platforms or (request.platform,)]
    provider.resolve_all([base for each in wanted for base in bases_needed(dockerfile, each)])
    joined = join([(each.target_platform, lower(dockerfile, each, provider)) for each in wanted])
    graph = joined.graph
    if request.source_date_epoch_s is None and graph.source_date_epoch_s is not None:
        request = replace(request, source_date_epoch_s=graph.source_date_epoch_s)
    base_of = {step.id: provider.base_of(step) for step in graph.steps.values() if isinstance(step, BaseStep)}
    chains = [_chain(each) for each in joined.platforms]
    return Prepared(
        name=f"{Path(request.context).resolve() if opened.is_local else request.context}:{opened.dockerfile_name}",
        request=request,
        graph=graph,
        labels=joined.labels,
        plans=tuple(
            ImagePlan(each.platform, each.graph, base_of.get(chain[0]) if chain else None)
            for each, chain in zip(joined.platforms, chains, strict=True)
        ),
        contexts=_contexts(graph, request, opened, store, cleanup),
        bases=bases,
        base_of=base_of,
        spans={step.id: _span(dockerfile, step) for step in graph.steps.values()},
        image_steps=frozenset(step for chain in chains for step in chain),
    )


class _Provider:
    """Serves planning with base images, each resolved once."""

    def __init__(
        self,
        bases: BaseResolver,
        request: BuildRequest,
        listener: Listener,
        clock: Callable[[], float],
        names: Mapping[str, str],
    ) -> None:
        self._names = names
        self._bases, self._request, self._emit, self._clock = bases, request, listener, clock
        self._known: dict[tuple[str, str], Base | SlimstageError] = {}

    def resolve_all(self, wanted: Sequence[tuple[str, Platform, Span]]) -> None:
        """All at the same time; a failure is raised when planning asks for that base, at its place."""
        todo = {(reference, str(platform)): (reference, platform) for reference, platform, _ in wanted}
        if len(todo) < 2:
            return
        from concurrent.futures import ThreadPoolExecutor  # only for several bases

        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="base") as pool:
            for key, found in zip(todo, pool.map(lambda each: self._attempt(*each), todo.values()), strict=True):
                self._known[key] = found

    def image(self, reference: str, platform: Platform, span: Span) -> ResolvedImage:
        key = (reference, str(platform))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._attempt(reference, platform)
        if isinstance(found, SlimstageError):
            raise found.at(span)
        return ResolvedImage(reference, found.id, found.config, len(found.layers))

    def base_of(self, step: BaseStep) -> Base:
        found = self._known[step.reference, step.platform]
        assert isinstance(found, Base)
        return found

    def _attempt(self, reference: str, platform: Platform) -> Base | SlimstageError:
        try:
            base = self._bases.resolve(reference, platform, pull=self._request.pulls)
        except SlimstageError as error:
            return error
        self._emit(BaseResolved(self._clock(), "", self._names.get(reference, reference), base.manifest))
        return base


def with_defaults(request: BuildRequest) -> BuildRequest:
    """The request with the output and the epoch that it implies, and annotations where they go. Raises UsageError."""
    outputs = request.outputs or (OutputSpec("image"),)
    if len(request.platforms) > 1 and any(output.kind == "docker" for output in outputs):
        raise UsageError(
            "docker exporter does not currently support exporting manifest lists",
            code="docker-output-of-several-platforms",
            hint="use type=oci, or build one platform",
        )
    request = replace(request, outputs=tuple(_annotated(output, request) for output in outputs))
    if request.is_reproducible and request.source_date_epoch_s is None:
        return replace(request, source_date_epoch_s=EARLIEST_S)
    return request


def _annotated(output: OutputSpec, request: BuildRequest) -> OutputSpec:
    """With the annotations that were asked for all outputs. Raises UsageError: of an index where there is none."""
    if output.kind in ("local", "tar"):
        return output
    annotations = (*request.annotations, *output.annotations)
    if len(request.platforms) < 2 and any(where in ("index", "index-descriptor") for where, _, _ in annotations):
        raise UsageError(
            "index annotations not supported for single platform export",
            code="annotation-without-index",
            hint="annotate the manifest, or build for several platforms",
        )
    return replace(output, annotations=annotations)


def _chain(plan: PlatformGraph) -> list[StepId]:
    """The steps whose layers the target's image has, base first."""
    found: list[StepId] = []
    step = plan.target.last
    while step is not None:
        found.append(step)
        step = plan.graph.steps[step].parent
    return found[::-1]


def _contexts(
    graph: Graph, request: BuildRequest, opened: OpenedContext, store: Store, cleanup: ExitStack
) -> dict[str, LocalContext]:
    """Only those that a step reads."""
    found: dict[str, LocalContext] = {}
    for name in graph.contexts:
        if not name:
            found[name] = opened.context
            continue
        value = request.named_contexts[name]
        assert isinstance(classify(name, value), LocalSource)
        named = replace(request, context=value, dockerfile=None, dockerfile_text="FROM scratch\n")
        found[name] = cleanup.enter_context(open_context(named, store.session.directory)).context
    return found


def _span(dockerfile: Dockerfile, step: AnyStep) -> Span:
    """All lines of the step's instruction; a trigger's place is that of the FROM that fired it."""
    source: Source = dockerfile.source
    last = source.line(step.end_line) or ""
    return Span(source, step.line, 1, step.end_line, len(last) + 1)
