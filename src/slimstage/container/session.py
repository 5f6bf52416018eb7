"""One container from start to end: its root is put together, its command started, its output and exit status kept.

The runner is the process that calls this: `slimstage run` itself, or the supervisor of a detached container. It is the
only writer of the container's record while it lives.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any, Self

from slimstage.container.logs import LogWriter
from slimstage.container.options import RunOptions
from slimstage.container.ports import forward_ports
from slimstage.container.processes import this_process
from slimstage.container.records import LOG, STOP, UPPER, WORK, ContainerRecord, Containers
from slimstage.container.spec import container_spec, missing_directories, user_of, working_directory
from slimstage.errors import SlimstageError, StoreError
from slimstage.oci.config import ImageConfig
from slimstage.oci.user import GROUP, PASSWD, Identity, resolve_user
from slimstage.sandbox.spec import Output, OverlayRoot, PlainRoot, Running, Sandbox, SandboxSpec
from slimstage.store.files import guarded, read_small
from slimstage.store.snapshots import Stack
from slimstage.store.store import Store
from slimstage.tree.union import UnionTree
from slimstage.values import replace


class ContainerSession:
    """Runs one container in the calling process, which has to be the main thread's (signals are its way to be told)."""

    def __init__(
        self, store: Store, record: ContainerRecord, config: ImageConfig, options: RunOptions, stack: Stack
    ) -> None:
        self._store, self._config, self._options, self._stack = store, config, options, stack
        self._containers = Containers(store.root)
        self._directory = self._containers.directory(record.id)
        self.record = record

    def run(
        self,
        sandbox: Sandbox,
        output: Output | None,
        *,
        stdin: int | None = None,
        on_start: Callable[[ContainerRecord], None] = lambda record: None,
    ) -> int:
        """Starts the command, waits for it, and returns its exit status; the record tells each change.

        output: where its output goes beside the log; None: it has our own terminal, and there is no log.
        on_start: called once it runs, with the record. Raises SlimstageError when it cannot be started.
        """
        log = LogWriter(os.path.join(self._directory, LOG))
        try:
            self._note(status="created", runner=this_process())
            spec = self._spec()
            with ExitStack() as open_things:
                told = open_things.enter_context(_SignalDesk(self._stop_request))
                running = sandbox.start(spec, _both(log, output), stdin)
                open_things.callback(running.kill)
                told.serve(running)
                self._note(status="running", started_s=time.time(), pid=running.pid)
                ports = forward_ports(self._options.publish, running.pid, open_things)
                self._note(ports=ports)
                on_start(self.record)
                ended = running.wait()
        except SlimstageError as error:
            self._note(
                status="exited", finished_s=time.time(), exit_status=125, pid=None, runner=None, error=error.message
            )
            raise
        finally:
            log.close()
        self._note(
            status="exited",
            finished_s=time.time(),
            exit_status=ended.status,
            # Where no control group tells, a kill for memory is guessed from the host's count: not when we killed it.
            is_out_of_memory=ended.is_out_of_memory and not told.has_killed,
            pid=None,
            runner=None,
        )
        return ended.status

    def close(self) -> None:
        """Removes the container when it was to remove itself."""
        if self.record.removes_itself:
            self._containers.remove(self.record.id)

    def _note(self, **changes: object) -> None:
        self.record = replace(self.record, **changes)  # type: ignore[arg-type] # names are checked by replace itself
        self._containers.write(self.record)

    def _spec(self) -> SandboxSpec:
        if not self._store.snapshots.has(self._stack):
            raise StoreError("the image's layers are not in the store any more", code="layers-gone")
        lowers = self._store.snapshots.paths(self._stack)
        upper, work = (os.path.join(self._directory, part) for part in (UPPER, WORK))
        with UnionTree(lowers) as tree:
            identity = resolve_user(
                user_of(self._config, self._options), _text(tree.read(PASSWD)), _text(tree.read(GROUP))
            )
            root_entry = tree.lstat("")
            if root_entry is not None:
                os.chmod(upper, root_entry.mode)
                if os.geteuid() == 0:
                    os.chown(upper, root_entry.uid, root_entry.gid)
            is_plain = self._store.snapshots.is_plain()
            if is_plain:
                from slimstage.tree.plain import PlainTree  # few hosts need it

                with guarded("copy the image for the container"):
                    PlainTree(lowers, upper).fill()
            if not self._options.is_readonly:
                workdir = working_directory(self._config, self._options)
                self._make_directory(tree, upper, workdir, identity, is_plain=is_plain)
        root = PlainRoot(upper) if is_plain else OverlayRoot(lowers, upper, work)
        return container_spec(self._config, self._options, root, identity, container_id=self.record.id)

    def _make_directory(self, tree: UnionTree, upper: str, path: str, identity: Identity, *, is_plain: bool) -> None:
        """Makes the working directory where the image has none, as Docker does.

        In the upper directory, which nothing of an image has written to yet: names joined to it lead nowhere else.
        """
        resolved = tree.resolve(path)
        parts = resolved.strip("/").split("/")
        parents = ["/".join(parts[: count + 1]) for count in range(len(parts))] if parts != [""] else []
        existing = [parent for parent in parents if tree.lstat(parent) is not None]
        if len(existing) == len(parents):
            return
        for parent in existing:
            entry = tree.lstat(parent)
            if entry is None or entry.kind != "dir":
                return  # a file is in the way: the sandbox says so in its own words
            if is_plain:
                continue  # it was copied
            os.mkdir(os.path.join(upper, parent))
            os.chmod(os.path.join(upper, parent), entry.mode)
            if os.geteuid() == 0:
                os.chown(os.path.join(upper, parent), entry.uid, entry.gid)
        for parent in missing_directories(resolved, existing):
            os.mkdir(os.path.join(upper, parent), 0o755)
            if os.geteuid() == 0:
                os.chown(os.path.join(upper, parent), identity.uid, identity.gid)

    def _stop_request(self) -> tuple[int, float]:
        """(signal, seconds until it is killed) of `slimstage stop`, else the container's own."""
        try:
            wanted = json.loads(read_small(os.path.join(self._directory, STOP)))
            return int(wanted["signal"]), float(wanted["timeout_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return self.record.stop_signal, self.record.stop_timeout_s


class _SignalDesk:
    """Takes the runner's signals from before the container starts, and hands them on once it runs.

    SIGTERM stops the container: its stop signal, SIGKILL after a while. SIGINT, SIGHUP and SIGQUIT go on to it; a second
    SIGINT ends it at once.
    """

    def __init__(self, stop_request: Callable[[], tuple[int, float]]) -> None:
        self._stop_request = stop_request
        self._running: Running | None = None
        self._waiting: list[int] = []
        self._interrupts = 0
        self.has_killed = False
        """Whether it sent SIGKILL."""
        self._timers: list[threading.Timer] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for timer in self._timers:
            timer.cancel()

    def serve(self, running: Running) -> None:
        """From now on signals go to this container; those that came before go first."""
        self._running = running
        waiting, self._waiting = self._waiting, []
        for number in waiting:
            self._hand_on(running, number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._running is None:
            self._waiting.append(number)
        else:
            self._hand_on(self._running, number)

    def _hand_on(self, running: Running, number: int) -> None:
        if number == signal.SIGTERM:
            wanted, timeout_s = self._stop_request()
            running.signal(wanted)
            timer = threading.Timer(timeout_s, self._kill, (running,))
            timer.daemon = True
            timer.start()
            self._timers.append(timer)
            return
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            self._kill(running)
        else:
            running.signal(number)

    def _kill(self, running: Running) -> None:
        self.has_killed = True
        running.kill()


def _both(log: LogWriter, output: Output | None) -> Output | None:
    if output is None:
        return None

    def write(stream: int, data: bytes) -> None:
        log(stream, data)
        output(stream, data)

    return write


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "surrogateescape")
