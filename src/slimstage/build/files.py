"""COPY, ADD, WORKDIR and what bind mounts show: sources opened, selected, digested; then written.

`read` says what a step reads and what its digest is, so that the cache can be asked; `copy` writes the layer. Between the
two nothing is looked up again: what was digested is what is copied.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from slimstage.build.chosen import Chosen
from slimstage.build.memory import StoreMemory
from slimstage.build.request import BuildRequest
from slimstage.context.changes import changed_since_opened
from slimstage.context.entry import ContextEntry
from slimstage.context.fingerprint import selection_digest
from slimstage.context.listing import Changed, Scratch
from slimstage.context.local import LocalContext
from slimstage.context.patterns import PatternMatcher
from slimstage.context.select import Selection, select
from slimstage.context.tree import SourceTree
from slimstage.diagnostics import Span
from slimstage.digest import Digest
from slimstage.dockerfile.gitref import without_credentials
from slimstage.errors import SlimstageError
from slimstage.events import Listener, TransferProgress, Warned
from slimstage.plan.graph import (
    AnyStep,
    BindMount,
    CacheMount,
    CopyStep,
    FileSource,
    FromContext,
    Git,
    Graph,
    RunStep,
    StepId,
    Url,
    WorkdirStep,
    parts_of,
)
from slimstage.store.files import remove_tree
from slimstage.store.snapshots import Draft
from slimstage.store.store import Store
from slimstage.tree.entry import Entry
from slimstage.tree.union import UnionTree
from slimstage.values import dataclass, field, replace

if TYPE_CHECKING:
    from slimstage.build.add import Source
    from slimstage.build.moments import Moments


@dataclass(slots=True)
class Reading:
    """What a step reads, opened and digested; leaving the `with` closes it.

    digests: in the order that the content key wants. parts: what was selected and what was fetched, in order; `brought`
    names the latter, with their digests. binds, seeds: see `RunInputs`; seeds fill a new cache mount, by its target.
    """

    digests: tuple[Digest, ...]
    parts: list[Chosen | Source] = field(default_factory=list)
    brought: list[tuple[str, str]] = field(default_factory=list)
    binds: tuple[tuple[tuple[str, ...], str], ...] = ()
    seeds: Mapping[str, Callable[[str], None]] = field(default_factory=dict)
    cleanup: ExitStack = field(default_factory=ExitStack)

    def explained(self) -> tuple[tuple[str, str], ...]:
        """(name, value) of each file that was read, as far as they are few enough to be remembered one by one."""
        chosen = (each for each in self.parts if isinstance(each, Chosen))
        return (*(pair for each in chosen for pair in each.pairs()), *self.brought)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup.close()


class FileSteps:
    """Reads and writes files for the steps of one build. Safe for several threads."""

    def __init__(
        self,
        store: Store,
        contexts: Mapping[str, LocalContext],
        request: BuildRequest,
        graph: Graph,
        spans: Mapping[StepId, Span],
        listener: Listener,
        clock: Callable[[], float],
    ) -> None:
        self._store, self._contexts, self._request, self._spans = store, contexts, request, spans
        self._names = source_names(graph)
        self._emit, self._clock = listener, clock
        self._memory = StoreMemory(store.digests)
        self._keep = Scratch(store.session.directory).keep
        self._lock = threading.Lock()
        self._early: dict[StepId, Reading] = {}
        self._warned: set[str] = set()

    # Reading --------------------------------------------------------------------------------------------------

    def context_digests(self, step: AnyStep) -> list[Digest]:
        """The digests of a COPY from a context, before the step is due; kept for when it is. Raises ContextError."""
        assert isinstance(step, CopyStep)
        reading = self.read(step, {})
        with self._lock:
            self._early[step.id] = reading
        return list(reading.digests)

    def read(self, step: CopyStep, stacks: Mapping[StepId, tuple[str, ...]]) -> Reading:
        """What a COPY or ADD reads. stacks: the layer directories of the stages and images that it may read from."""
        with self._lock:
            early = self._early.pop(step.id, None)
        if early is not None:
            return early
        reading = Reading(())
        try:
            with self._placed(step.id):
                self._read(step, stacks, reading)
        except BaseException:
            reading.cleanup.close()
            raise
        self._memory.flush()
        return reading

    def _read(self, step: CopyStep, stacks: Mapping[StepId, tuple[str, ...]], reading: Reading) -> None:
        if step.exclude:
            PatternMatcher(step.exclude)  # malformed ones are refused for a download or a heredoc as well
        for part in parts_of(step):
            if not isinstance(part, tuple):
                self._fetch(step, part, reading)
                continue
            tree, where = self._tree(step.source, stacks, reading.cleanup)
            selection = select(
                _bare(tree),
                part,
                excludes=step.exclude,
                keeps_parents=step.keeps_parents,
                where=where,
                keep=self._keep,
            )
            self._warn_of_changes(selection, tree, self._spans.get(step.id))
            self._choose(reading, selection, tree, "files", keeps_owners=step.from_is_stage and step.chown is None)

    def _fetch(self, step: CopyStep, part: Url | Git, reading: Reading) -> None:
        from slimstage.build.add import fetch_source  # only when something is fetched
        from slimstage.build.downloads import StoreDownloads

        work = self._store.session.temporary("add-")
        reading.cleanup.callback(remove_tree, work)
        os.mkdir(work, 0o700)
        source = fetch_source(
            part,
            work,
            reading.cleanup,
            excludes=step.exclude,
            revalidation=StoreDownloads(self._store),
            progress=lambda what, done, total: self._emit(TransferProgress(self._clock(), step.id, what, done, total)),
            made_ns=self._moments().of_checkout,
        )
        digest = selection_digest(source.selection, source.tree, self._memory)
        reading.parts.append(source)
        reading.digests += (digest,)
        name = without_credentials(part.url if isinstance(part, Url) else part.remote)
        reading.brought.append((f"what is at {name}", digest))

    def _choose(
        self, reading: Reading, selection: Selection, tree: SourceTree, name: str, *, keeps_owners: bool
    ) -> Chosen:
        chosen = Chosen(self._normal(selection), tree, name, self._memory, self._keep, keeps_owners=keeps_owners)
        reading.digests += (chosen.digest,)
        reading.parts.append(chosen)
        return chosen

    def read_binds(self, step: RunStep, stacks: Mapping[StepId, tuple[str, ...]]) -> Reading:
        """What the bind mounts of a RUN show, and what seeds its cache mounts."""
        reading = Reading(())
        seeds: dict[str, Callable[[str], None]] = {}
        try:
            with self._placed(step.id):
                for mount in step.mounts:
                    if isinstance(mount, BindMount):
                        self._bind(mount, stacks, reading)
                    elif isinstance(mount, CacheMount) and mount.source is not None:
                        tree, where = self._tree(mount.source, stacks, reading.cleanup)
                        from slimstage.build.binds import seed_directory  # only for such a mount

                        seeds[mount.target] = seed_directory(tree, where)
        except BaseException:
            reading.cleanup.close()
            raise
        reading.seeds = seeds
        self._memory.flush()
        return reading

    def _bind(self, mount: BindMount, stacks: Mapping[StepId, tuple[str, ...]], reading: Reading) -> None:
        tree, where = self._tree(mount.source, stacks, reading.cleanup)
        selection = select(_bare(tree), [mount.path], where=where, keep=self._keep)
        self._warn_of_changes(selection, tree, None)
        from_stage = not isinstance(mount.source, FromContext)
        if not from_stage:
            from slimstage.build.binds import shown  # only for such a mount

            selection = shown(selection)
        name = f"files at mount {mount.target}"
        chosen = self._choose(reading, selection, tree, name, keeps_owners=from_stage)
        if isinstance(mount.source, FromContext):
            from slimstage.build.binds import BindStore  # only for such a mount

            reading.binds += (BindStore(self._store).layer_of(chosen),)
        else:
            reading.binds += ((stacks[mount.source.step], mount.path),)

    def _tree(
        self, source: FileSource, stacks: Mapping[StepId, tuple[str, ...]], cleanup: ExitStack
    ) -> tuple[SourceTree, str]:
        """The tree, and what it is called in an error."""
        if isinstance(source, FromContext):
            context = self._contexts[source.name]
            return context, context.name
        return cleanup.enter_context(UnionTree(stacks[source.step])), self._names.get(source.step, "its source")

    def _warn_of_changes(self, selection: Selection, tree: SourceTree, span: Span | None) -> None:
        with self._lock:
            changed = [path for path in changed_since_opened(selection, tree) if path not in self._warned]
            self._warned.update(changed)
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            message = f'"{changed[0]}"{more} in the context changed after the build began; it is copied as it is now'
            self._emit(Warned(self._clock(), "context-changed", message, span.line if span else None))

    def _normal(self, selection: Selection) -> Selection:
        """With --reproducible, modes of context files as git records them: a checkout's umask is nobody's intention."""
        if not self._request.is_reproducible:
            return selection
        return tuple(
            replace(
                picked,
                entry=_as_recorded(picked.entry),
                below=Changed(picked.below, _as_recorded),
            )
            for picked in selection
        )

    # Writing --------------------------------------------------------------------------------------------------

    def copy(self, step: CopyStep, lowers: tuple[str, ...], reading: Reading, draft: Draft) -> int:
        """Writes the layer of a COPY or ADD; returns the bytes of its files. Raises ContextError, PlanError."""
        from slimstage.build.add import Source  # only when a step runs
        from slimstage.build.copy import copy_step

        unpacks, keeps_owner = step.unpack != "never", step.from_is_stage and step.chown is None
        with self._placed(step.id):
            sources = [
                Source(each.tree, each.selection(), unpacks, keeps_owner) if isinstance(each, Chosen) else each
                for each in reading.parts
            ]
            result = copy_step(step, lowers, sources, draft, memory=self._memory, made_ns=self._moments().of_heredoc)
        self._memory.flush()
        return result.size_bytes

    def _moments(self) -> Moments:
        from slimstage.build.moments import Moments  # only when a step runs

        return Moments(self._store)

    def make_directory(self, step: WorkdirStep, lowers: tuple[str, ...], draft: Draft) -> int:
        """Writes the layer of a WORKDIR; it holds no file."""
        from slimstage.build.workdir import workdir_step  # only when a step runs

        with self._placed(step.id):
            workdir_step(step, lowers, draft)
        return 0

    def _placed(self, step: StepId) -> _Placed:
        return _Placed(self._spans.get(step))


def _bare(tree: SourceTree) -> SourceTree:
    """Xattrs are asked for when something is not known by what `stat` says."""
    return tree.bare() if isinstance(tree, LocalContext) else tree


def source_names(graph: Graph) -> dict[StepId, str]:
    """What the trees that COPY and mounts read from are called in an error: stages, and images taken for their files.

    Stages that add nothing to another have its tree, so one tree may have several names.
    """
    stages: dict[StepId, list[str]] = {}
    for stage in graph.stages:
        if stage.last is not None:
            stages.setdefault(stage.last, []).append(f'"{stage.name}"')
    found = {
        step.id: f'the image "{step.title.removeprefix("FROM ")}"'
        for step in graph.steps.values()
        if step.parent is None
    }
    return found | {step: f"the stage {' or '.join(names)}" for step, names in stages.items()}


class _Placed:
    """Adds the step's place to an error that has none."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, SlimstageError) and self._span is not None:
            error.at(self._span)


def _as_recorded(entry: Entry) -> Entry:
    if not isinstance(entry, ContextEntry) or entry.kind not in ("file", "dir"):
        return entry
    return replace(entry, mode=0o755 if entry.kind == "dir" or entry.mode & 0o111 else 0o644)
