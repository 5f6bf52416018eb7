"""What `run` is asked for, as values: made by `cli/`, kept as JSON beside a container for its supervisor."""

from __future__ import annotations

from typing import Literal

from slimstage.sandbox.spec import Limits
from slimstage.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Volume:
    """`-v`: an absolute path of the host, seen at an absolute path inside."""

    source: str
    target: str
    is_readonly: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """`-p`: a port of the host that leads to a port inside. `host_port` 0: any free one."""

    host_address: str
    host_port: int
    container_port: int
    protocol: Literal["tcp", "udp"] = "tcp"

    def __str__(self) -> str:
        address = f"[{self.host_address}]" if ":" in self.host_address else self.host_address
        return f"{address}:{self.host_port}->{self.container_port}/{self.protocol}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """All of one `slimstage run` but the image.

    command: replaces the image's CMD when not empty. entrypoint: None keeps the image's, () clears it.
    user, workdir: None keep the image's. stop_signal: a name or number, None the image's, else SIGTERM.
    """

    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[str, ...] = ()
    publish: tuple[Publish, ...] = ()
    workdir: str | None = None
    user: str | None = None
    is_interactive: bool = False
    has_terminal: bool = False
    is_readonly: bool = False
    is_privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    hostname: str | None = None
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    stop_signal: str | None = None
    stop_timeout_s: float = 10.0
    backend: Literal["native", "runc"] = "native"
    removes_itself: bool = False
