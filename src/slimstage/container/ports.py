"""`-p`: ports of the host that lead to ports of a container.

A container with a network of its own is reached by a proxy process. One that shares the host's listens there itself: a
port published under its own number is open already, under another number the proxy leads to it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from slimstage.container.options import Publish
from slimstage.container.processes import started_at
from slimstage.errors import SandboxError
from slimstage.sandbox.portproxy import start_proxy
from slimstage.values import replace


def forward_ports(wanted: Sequence[Publish], pid: int, open_things: ExitStack) -> tuple[Publish, ...]:
    """Opens the ports and returns them with the numbers they got; `open_things` closes them.

    pid: of the first process inside. Raises SandboxError naming the port that is taken or not permitted.
    """
    return tuple(_forward(port, pid, open_things) for port in wanted)


def _forward(port: Publish, pid: int, open_things: ExitStack) -> Publish:
    if port.host_port == port.container_port and shares_network(pid):
        return port
    try:
        proxy = start_proxy(pid, port.host_address, port.host_port, port.container_port, port.protocol)
    except SandboxError:
        if started_at(pid) is None and not _is_taken(port):
            return port  # the command has ended already: there is nothing to lead to
        raise
    open_things.callback(proxy.stop)
    return replace(port, host_port=proxy.port)


def shares_network(pid: int) -> bool:
    """True when the process is in our own network namespace (or gone: then it does not matter)."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return True


def _is_taken(port: Publish) -> bool:
    import socket

    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in port.host_address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        try:
            probe.bind((port.host_address, port.host_port))
        except OSError:
            return True
    return False
