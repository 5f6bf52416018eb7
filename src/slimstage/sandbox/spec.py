"""One confined command, as values: what a RUN step or a container is, before anything happens.

Pure. Made by `build/run.py` and `container/`, applied by a backend (`native.py`, `runc.py`). Paths of the host are
absolute; paths inside are absolute in the new root.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from slimstage.values import dataclass, field


@dataclass(frozen=True, slots=True)
class OverlayRoot:
    """The root is an overlay: `lowers` base first, `upper` receives the changes, `work` is empty, on upper's file system.

    With `upper` None the root is read-only. Without overlayfs on this host the backend is given a `PlainRoot` instead.
    """

    lowers: tuple[str, ...]
    upper: str | None
    work: str | None


@dataclass(frozen=True, slots=True)
class PlainRoot:
    """The root is this directory itself."""

    path: str


Root: TypeAlias = OverlayRoot | PlainRoot


@dataclass(frozen=True, slots=True)
class HostPath:
    """A directory or file of the host, mounted at `target`.

    `beneath`: when given, `source` is relative to this host directory and is resolved without leaving it (a cache or
    a stage may hold hostile symlinks). `is_discarded`: writable, but the writes go to a throw-away overlay.
    """

    target: str
    source: str
    beneath: str | None = None
    is_readonly: bool = False
    is_discarded: bool = False


@dataclass(frozen=True, slots=True)
class StackPath:
    """A path inside a stack of layer directories (a bind mount from a stage), mounted at `target`.

    `path` is resolved inside the stack as its own root. Writes, when `is_writable`, are thrown away.
    """

    target: str
    lowers: tuple[str, ...]
    path: str = "/"
    is_writable: bool = False


@dataclass(frozen=True, slots=True)
class Tmpfs:
    target: str
    size_bytes: int | None = None
    mode: int = 0o1777


@dataclass(frozen=True, slots=True)
class FileMount:
    """A small file that exists only for the step's duration (secret, hosts, resolv.conf, script); never on disk."""

    target: str
    content: bytes = field(repr=False)
    mode: int = 0o400
    uid: int = 0
    gid: int = 0
    is_readonly: bool = True


@dataclass(frozen=True, slots=True)
class SocketMount:
    """A UNIX socket of the host (an ssh agent), reachable at `target`."""

    target: str
    source: str
    mode: int = 0o600
    uid: int = 0
    gid: int = 0


Mount: TypeAlias = HostPath | StackPath | Tmpfs | FileMount | SocketMount

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip
"""Docker's default set."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None: not limited by us. `ulimits`: (name as in `ulimit`, soft, hard), -1 is unlimited."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    shm_bytes: int = 64 << 20
    ulimits: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """The whole of one confined command.

    mounts: applied in order of their targets' depth; mount points that had to be made are removed afterwards.
    user: numeric, resolved by the caller inside the image. network "default" is decided by the backend (host.py).
    """

    root: Root
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    hostname: str = "buildkitsandbox"
    extra_hosts: tuple[tuple[str, str], ...] = ()
    """(host name, address) lines for /etc/hosts."""
    limits: Limits = field(default_factory=Limits)
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    is_privileged: bool = False
    """--security=insecure: all capabilities, no seccomp, nothing masked."""
    has_new_privileges: bool = True
    """True as Docker's default: setuid programs work; False sets no_new_privs."""
    is_readonly_root: bool = False
    has_terminal: bool = False
    """Run on a pseudo-terminal (`run -t`)."""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended: `status` 0..255, 128 + N for signal N; `is_out_of_memory` when the kernel killed it for memory."""

    status: int
    is_out_of_memory: bool = False


Output: TypeAlias = Callable[[int, bytes], None]
"""Receives (1 or 2, bytes as they come); called from one thread."""


class Running(Protocol):
    """A command that was started."""

    @property
    def pid(self) -> int:
        """On the host, of the first process inside."""
        ...

    def wait(self) -> Exit:
        """Blocks to the end; all descendants are gone and nothing is mounted when it returns. Idempotent."""
        ...

    def signal(self, number: int) -> None:
        """To the first process inside; nothing happens when it has ended."""
        ...

    def kill(self) -> None:
        """Ends it and all descendants at once; `wait` returns within a second."""
        ...


class Sandbox(Protocol):
    """Runs one command, confined. Safe to call from several threads at once."""

    name: str

    def start(self, spec: SandboxSpec, output: Output | None, stdin: int | None = None) -> Running:
        """Starts it. `output` None: the command inherits our stdin, stdout and stderr (`run -it`).

        Raises SandboxError naming what this host refused; an argv[0] that does not exist gives Exit(127), one that is
        not executable Exit(126), with a sentence on stream 2.
        """
        ...

    def run(self, spec: SandboxSpec, output: Output, cancel: threading.Event) -> Exit:
        """Starts it and waits; when `cancel` is set meanwhile it is killed and Interrupted is raised."""
        ...
