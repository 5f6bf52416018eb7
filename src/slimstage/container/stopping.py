"""Ends a running container from another process, through its runner."""

from __future__ import annotations

import json
import os
import signal

from slimstage.container.processes import wait_ended
from slimstage.container.records import STOP, ContainerRecord, Containers
from slimstage.errors import SandboxError
from slimstage.store.files import guarded, replace_file

_GRACE_S = 5.0
"""What the runner has, behind the container's own time, to clean up."""


def stop_container(
    containers: Containers, record: ContainerRecord, *, timeout_s: float | None = None, signal_number: int | None = None
) -> ContainerRecord | None:
    """Asks the container to end, kills it after `timeout_s`; its record afterwards, None when it removed itself.

    The container's own stop signal and time, unless others are given. One that does not run is left as it is.
    Raises SandboxError when its runner does not end.
    """
    if record.status != "running" or record.runner is None:
        return record
    descriptor = record.runner.open()
    if descriptor is None:
        return containers.find(record.id)
    timeout = record.stop_timeout_s if timeout_s is None else timeout_s
    wanted = {"signal": signal_number or record.stop_signal, "timeout_s": timeout}
    try:
        with guarded("ask a container to stop"):
            path = os.path.join(containers.directory(record.id), STOP)
            replace_file(path, json.dumps(wanted).encode(), is_durable=False)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if not wait_ended(descriptor, timeout + _GRACE_S):
            # Its children die with it: they hold on to it by PR_SET_PDEATHSIG.
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            if not wait_ended(descriptor, _GRACE_S):
                raise SandboxError(f'container "{record.name}" does not end', code="stop-failed")
    except ProcessLookupError:
        pass  # it ended meanwhile
    finally:
        os.close(descriptor)
    return containers.find(record.id)
