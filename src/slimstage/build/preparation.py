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
from slimstage.errors import SlimstageError
from slimstage.events import BaseResolved, Listener
from slimstage.oci.descriptor import Platform, host_platform
from slimstage.plan.contexts import LocalSource, classify
from slimstage.plan.graph import AnyStep, BaseStep, Graph, StepId
from slimstage.plan.lower import bases_needed, lower
from slimstage.plan.request import PlanRequest, ResolvedImage
from slimstage.store.store import Store
from slimstage.values import dataclass, replace

EARLIEST_S = 315_532_800
"""1980-01-01: the epoch of `--reproducible` when none was given. Zip files, so wheels too, know no earlier date."""

_AT_ONCE = 4
"""Bases resolved at the same time: each waits for a network or for mmdebstrap."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A build that can begin.

    name: of the Dockerfile, as part of what `--explain` remembers. request: with the epoch decided. target_chain: the
    indexes of the target stage and the stages it stands on: their layers are the image's.
    """

    name: str
    request: BuildRequest
    graph: Graph
    contexts: Mapping[str, LocalContext]
    bases: BaseResolver
    base_of: Mapping[StepId, Base]
    spans: Mapping[StepId, Span]
    target_chain: frozenset[int]
    target_base: Base | None


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
        platform=request.platform,
        build_args=request.build_args,
        labels=request.labels,
        contexts=request.named_contexts,
        network=request.network,
        entitlements=request.entitlements,
    )
    names = {value: name for name, value in request.named_contexts.items()}
    bases = Bases(store, request.registries, listener, clock, names=names, cancel=cancel, made_elsewhere=made_elsewhere)
    provider = _Provider(bases, request, listener, clock, names)
    provider.resolve_all(bases_needed(dockerfile, planned))
    graph = lower(dockerfile, planned, provider)
    if request.source_date_epoch_s is None and graph.source_date_epoch_s is not None:
        request = replace(request, source_date_epoch_s=graph.source_date_epoch_s)
    base_of = {step.id: provider.base_of(step) for step in graph.steps.values() if isinstance(step, BaseStep)}
    chain, first = _chain(graph)
    return Prepared(
        name=f"{Path(request.context).resolve() if opened.is_local else request.context}:{opened.dockerfile_name}",
        request=request,
        graph=graph,
        contexts=_contexts(graph, request, opened, store, cleanup),
        bases=bases,
        base_of=base_of,
        spans={step.id: _span(dockerfile, step) for step in graph.steps.values()},
        target_chain=chain,
        target_base=base_of.get(first) if first else None,
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
    """The request with the output and the epoch that it implies."""
    if not request.outputs:
        request = replace(request, outputs=(OutputSpec("image"),))
    if request.is_reproducible and request.source_date_epoch_s is None:
        return replace(request, source_date_epoch_s=EARLIEST_S)
    return request


def _chain(graph: Graph) -> tuple[frozenset[int], StepId | None]:
    """The stages whose layers the target's image has, and its base step."""
    step = graph.stage(graph.target).last
    stages = {graph.target}
    first: StepId | None = None
    while step is not None:
        stages.add(graph.steps[step].stage)
        first, step = step, graph.steps[step].parent
    return frozenset(stages), first if first and isinstance(graph.steps[first], BaseStep) else None


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
