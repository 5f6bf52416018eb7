"""RUN steps, performed: the spec is made, its leases are taken, the sandbox runs it, its failure becomes an error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from slimstage.build.files import Reading
from slimstage.build.lines import Lines
from slimstage.build.request import BuildRequest
from slimstage.build.run import DISK_HINT, RunInputs, hint_for, redactor, sandbox_spec, wanted_agents, wanted_secrets
from slimstage.diagnostics import Span
from slimstage.errors import SandboxError, SlimstageError, StepFailed
from slimstage.events import Listener, LogLine, Warned
from slimstage.oci.user import GROUP, PASSWD, resolve_user
from slimstage.plan.graph import CacheMount, RunStep, StepId
from slimstage.sandbox.refusal import OVERLAY_REFUSED
from slimstage.sandbox.spec import Exit, Sandbox, SandboxSpec
from slimstage.store.snapshots import Draft
from slimstage.store.space import space
from slimstage.store.store import Store
from slimstage.tree.paths import DIRECTORY, open_in_root
from slimstage.tree.union import UnionTree

PLAIN_COPIES = (
    "overlays cannot be mounted on the store's file system: each RUN copies the whole tree first, which is slow; "
    "a store on ext4, xfs, btrfs or tmpfs (--root, SLIMSTAGE_ROOT, a volume of the container) does without"
)

_STRICTEST = ("locked", "private", "shared")
_NOT_STARTED = 125
"""The status of a command that was never started, as `docker run` has it."""


class RunSteps:
    """Performs the RUN steps of one build. Safe for several threads."""

    def __init__(
        self,
        store: Store,
        sandbox: Callable[[], Sandbox],
        request: BuildRequest,
        spans: Mapping[StepId, Span],
        listener: Listener,
        clock: Callable[[], float],
        cancel: threading.Event,
        contents: Callable[[str], Callable[[str], None] | None] = lambda _: None,
    ) -> None:
        """contents: what fills a cache directory that is not here yet, by its ID: it comes from another machine."""
        self._contents = contents
        self._store, self._sandbox, self._request, self._spans = store, sandbox, request, spans
        self._emit, self._clock, self._cancel = listener, clock, cancel
        self._lock, self._is_told = threading.Lock(), False
        self._renewing: dict[str, threading.Lock] = {}
        self._renewed: set[str] = set()
        """Caches that `--no-cache` emptied in this build: once, as its steps share them."""

    def perform(
        self, step: RunStep, lowers: tuple[str, ...], reading: Reading, draft: Draft, *, is_fresh: bool
    ) -> None:
        """Runs the command; its changes are in the draft. Raises StepFailed, PlanError, SandboxError, Interrupted."""
        span = self._spans.get(step.id)
        try:
            with ExitStack() as leases:
                self._perform(step, lowers, reading, draft, leases, is_fresh)
        except SlimstageError as error:
            if span:
                error.at(span)
            raise

    def _perform(
        self, step: RunStep, lowers: tuple[str, ...], reading: Reading, draft: Draft, leases: ExitStack, is_fresh: bool
    ) -> None:
        with UnionTree(lowers) as tree:
            identity = resolve_user(step.user, _text(tree.read(PASSWD)), _text(tree.read(GROUP)))
        secrets = wanted_secrets(step, self._request.secrets)
        inputs = RunInputs(
            lowers=lowers,
            identity=identity,
            binds=reading.binds,
            caches=self._caches(step, reading, leases, is_fresh),
            secrets=secrets,
            agents=wanted_agents(step, self._request.ssh),
        )
        lines = Lines(lambda stream, text: self._say(step, stream, text), redactor(secrets))
        spec = sandbox_spec(step, inputs, self._request, draft.path, draft.work)
        exit_ = self._run(spec, lines, draft)
        lines.flush()
        if exit_.status:
            hint = hint_for(step, exit_.status, exit_.is_out_of_memory, tuple(lines.last))
            raise StepFailed(
                f'"{step.title}" ended with exit status {exit_.status}',
                status=exit_.status,
                last_lines=tuple(lines.last),
                notes=(space(str(self._store.root)),) if hint is DISK_HINT else (),
                hint=hint,
            )

    def _run(self, spec: SandboxSpec, lines: Lines, draft: Draft) -> Exit:
        """Over an overlay, or where there is none over copies."""
        if not self._store.snapshots.is_plain():
            try:
                return self._sandbox().run(spec, lines, self._cancel)
            except SandboxError as error:
                if error.code != OVERLAY_REFUSED:
                    raise
                self._store.snapshots.become_plain()
        from slimstage.build.plain import run_on_copies  # few hosts need it

        with self._lock:
            is_told, self._is_told = self._is_told, True
        if not is_told:
            self._emit(Warned(self._clock(), "plain-copies", PLAIN_COPIES))
        return run_on_copies(spec, draft, lambda spec: self._sandbox().run(spec, lines, self._cancel))

    def _caches(self, step: RunStep, reading: Reading, leases: ExitStack, is_fresh: bool) -> tuple[str, ...]:
        """The host directories that serve the cache mounts, held until the step has ended.

        Mounts of one cache in one step are one directory, shared as the strictest of them says: they must not wait for each
        other. Taken in the order of their names, so that two steps do not wait for each other either.
        """
        mounts = [mount for mount in step.mounts if isinstance(mount, CacheMount)]
        first: dict[str, CacheMount] = {}
        for mount in sorted(mounts, key=lambda mount: (mount.id, _STRICTEST.index(mount.sharing))):
            first.setdefault(mount.id, mount)
        places = {name: self._cache(mount, reading, leases, is_fresh) for name, mount in first.items()}
        for mount in mounts:
            _require_source(mount, places[mount.id])
        return tuple(places[mount.id] for mount in mounts)

    def _cache(self, mount: CacheMount, reading: Reading, leases: ExitStack, is_fresh: bool) -> str:
        """is_fresh: the step runs though the cache of steps knows it. What an earlier build left is then not shown."""
        with self._lock:
            renewing = self._renewing.setdefault(mount.id, threading.Lock())
        # Who comes second waits until the first one's is there: it is to be shared.
        with renewing:
            seed = reading.seeds.get(mount.target)
            lease = self._store.caches.acquire(
                mount.id,
                mount.sharing,
                mode=mount.mode,
                uid=mount.uid,
                gid=mount.gid,
                seed=seed if is_fresh else _first_of(self._contents(mount.id), seed),
                is_fresh=is_fresh and mount.id not in self._renewed,
                cancel=self._cancel,
            )
            leases.enter_context(lease)
            if is_fresh:
                self._renewed.add(mount.id)
        return os.fspath(lease.path)

    def _say(self, step: RunStep, stream: int, text: str) -> None:
        self._emit(LogLine(self._clock(), step.id, stream, text))


def _first_of(
    carried: Callable[[str], None] | None, seed: Callable[[str], None] | None
) -> Callable[[str], None] | None:
    """What fills a new cache directory: what another machine left in it, else what the mount itself names."""
    if carried is None:
        return seed

    def fill(directory: str) -> None:
        carried(directory)
        if seed is not None and not os.listdir(directory):
            seed(directory)

    return fill


def _require_source(mount: CacheMount, directory: str) -> None:
    """What a cache holds is the work of earlier commands: a source that is not in it is their failure, not the host's.

    The sandbox opens it once more, as strictly: another step may change it in between. Raises StepFailed.
    """
    path = mount.path.strip("/")
    if not path:
        return
    root = os.open(directory, DIRECTORY)
    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        raise StepFailed(
            f'"{path}" is not in the cache "{mount.id}": {os.strerror(error.errno or 0).lower()}',
            status=_NOT_STARTED,
            code="cache-source-missing",
            notes=("symlinks in a cache lead nowhere outside of it",),
            hint="an earlier step with the whole cache mounted has to make it",
        ) from None
    finally:
        os.close(root)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogateescape")
