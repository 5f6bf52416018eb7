"""What this host allows a sandbox, and what to do where it does not. For `slimstage doctor`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from slimstage.sandbox import cgroup
from slimstage.sandbox.emulation import HINT, MACHINES, runs
from slimstage.sandbox.rootless import planned_mappings
from slimstage.values import dataclass

_MAIN = "import sys; sys.path.append({!r}); from slimstage.sandbox.probe import main; main()"
_PROBE_TIMEOUT_S = 30
_SETTINGS = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns for slimstage"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
)  # fmt: skip
"""Settings that forbid user namespaces: file, the value that forbids, what to do."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a sandbox uses. is_required: without it no RUN step works; `hint` says what to do when missing."""

    name: str
    is_available: bool
    detail: str
    hint: str | None = None
    is_required: bool = False


def examine() -> list[Capability]:
    """Everything, in the order to be shown. Takes a tenth of a second; changes nothing on the host. Raises nothing."""
    problems = _probe()
    is_root = os.geteuid() == 0
    release = os.uname().release
    found = [
        Capability("kernel", _version(release) >= (5, 12), f"Linux {release}", "Linux 5.12 or newer is needed", True),
        _tried(problems, "namespaces", "mount, PID, IPC, UTS, network and cgroup namespaces", _namespace_hint(), True),
        _tried(problems, "mount-api", "fsopen, open_tree, move_mount, mount_setattr", "Linux 5.12 or newer", True),
        _tried(problems, "openat2", "paths that cannot leave a directory", "Linux 5.6 or newer", True),
        _tried(problems, "overlay", "layers stacked by the kernel", "load the module: modprobe overlay", True),
        _tried(problems, "seccomp", "system calls filtered", "a kernel with CONFIG_SECCOMP_FILTER", True),
        _tried(problems, "user-namespaces", "builds without root", _namespace_hint(), not is_root),
        _subordinate_ids(),
        *_controllers(),
        _program("runc", "the second backend, --sandbox runc", "apt-get install runc"),
        _program("newuidmap", "maps more than one id without root", "apt-get install uidmap"),
        Capability(
            "fuse", os.path.exists("/dev/fuse"), "/dev/fuse", "not needed by slimstage itself: modprobe fuse", False
        ),
        *_platforms(),
    ]
    return [
        Capability(
            each.name, each.is_available, each.detail, None if each.is_available else each.hint, each.is_required
        )
        for each in found
    ]


def _probe() -> Mapping[str, str]:
    packages = str(Path(__file__).resolve().parents[2])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MAIN.format(packages)],
            capture_output=True, timeout=_PROBE_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        answers = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _Failed(str(error))
    return {str(name): str(words) for name, words in answers.items()}


class _Failed(dict[str, str]):
    """Every trial failed for one reason: the trials could not be started."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    def __missing__(self, _name: str) -> str:
        return f"could not be tried: {self._reason}"


def _tried(problems: Mapping[str, str], name: str, use: str, hint: str, is_required: bool) -> Capability:
    problem = problems[name]
    return Capability(name, not problem, problem or use, hint, is_required)


def _namespace_hint() -> str:
    for path, forbidding, remedy in _SETTINGS:
        try:
            value = Path(path).read_text().strip()
        except OSError:
            continue
        if value == forbidding:
            return remedy
    return "run as root, or in a container that allows user namespaces (Podman's do), or docker run --privileged"


def _subordinate_ids() -> Capability:
    """How many ids a build without root can use. Root needs none."""
    if os.geteuid() == 0:
        return Capability("subordinate-ids", True, "not needed by root")
    users, _ = planned_mappings(os.getuid(), os.getgid())
    count = sum(each.count for each in users)
    return Capability(
        "subordinate-ids", count > 1, f"{count} user ids can be mapped",
        "add a line USER:100000:65536 to /etc/subuid and /etc/subgid, and install uidmap",
    )  # fmt: skip


def _controllers() -> list[Capability]:
    trees = cgroup.layout()
    result = []
    for name, flag in (("memory", "--memory"), ("cpu", "--cpus"), ("pids", "--pids-limit")):
        point, is_v2 = trees.get(name, ("", False))
        is_writable = bool(point) and os.access(point, os.W_OK)
        where = f"cgroup version {2 if is_v2 else 1} at {point}" if point else "no such controller"
        detail = where if is_writable or not point else f"{where}, not writable"
        result.append(Capability(f"cgroup-{name}", is_writable, detail, f"only {flag} needs it: run as root"))
    return result


def _program(name: str, use: str, hint: str) -> Capability:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
    return Capability(name, path is not None, f"{path}: {use}" if path else f"not found: {use}", hint)


def _platforms() -> list[Capability]:
    """For each architecture whether RUN steps of it work here, this host's own among them."""
    return [
        Capability(f"run linux/{name}", each.is_runnable, each.by, HINT.format(architecture=name), False)
        for name, each in runs(MACHINES).items()
    ]


def _version(release: str) -> tuple[int, int]:
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)
