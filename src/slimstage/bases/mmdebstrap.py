"""Runs mmdebstrap: a `DebianSpec` → the tar of a new system.

Where memory is plentiful the system is put together in a tmpfs of its own, which only that process sees and which is gone
with it: dpkg writes and syncs tens of thousands of small files, and on a disk that takes longer than all else.

The result behaves as Debian's official slim images do, with the same small files in `etc` that make it so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from slimstage.bases.aptsources import sources_of
from slimstage.bases.debian import EPOCH_S, DebianSpec
from slimstage.errors import PlanError, SandboxError
from slimstage.oci.descriptor import Platform

NO_ROOM = "no-room-for-system"
"""The code of the error when the place where a system is put together is full."""

_ENOUGH = 6 << 30
"""Bytes of free memory from which on half of them may hold a system while it is made."""

_MISSING = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")
_FULL = re.compile(r"No space left on device|You don't have enough free space")

_DPKG = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*", "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*", "path-include=/usr/share/locale/locale.alias",
)  # fmt: skip

_APT = (
    'Acquire::Languages "none";',
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };',
    'Dir::Cache::pkgcache "";',
    'Dir::Cache::srcpkgcache "";',
    'Apt::AutoRemove::SuggestsImportant "false";',
)
"""In the new system: `apt-get install` in a RUN leaves no packages and no caches in the layer."""

_TIDY = r"""set -e
cd "$1"
rm -rf var/cache/apt/* var/cache/debconf/*-old var/lib/dpkg/*-old var/log/* var/lib/apt/lists/* tmp/* run/*
rm -f etc/hostname etc/resolv.conf etc/machine-id var/lib/dbus/machine-id etc/.pwd.lock
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow-
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt
: > etc/machine-id
if [ -d etc/apt/apt.conf.d ]; then
  cp "$(dirname "$0")/apt.conf" etc/apt/apt.conf.d/container
  chmod 644 etc/apt/apt.conf.d/container
fi
if [ -x usr/bin/python3 ]; then
  [ -e usr/bin/python ] || [ -e usr/local/bin/python ] || ln -s /usr/bin/python3 usr/local/bin/python
  rm -f usr/lib/python3*/EXTERNALLY-MANAGED
fi
"""

_IN_MEMORY = 'mount -t tmpfs -o "mode=0755,size=$1" slimstage "$2"; shift 2; exec "$@"'
"""A mount that fails costs only time: the directory is there all the same."""

_DOING = (
    ("running apt-get update", "reading package lists"),
    ("downloading packages", "downloading packages"),
    ("extracting archives", "unpacking the essential packages"),
    ("installing essential packages", "installing the essential packages"),
    ("installing remaining packages", "installing packages"),
    ("creating tarball", "taking the files over"),
)
"""What mmdebstrap says of itself, and what a user is told."""


def make_system(
    spec: DebianSpec,
    platform: Platform,
    take: Callable[[IO[bytes]], None],
    say: Callable[[str], None],
    memory_bytes: int = 0,
) -> None:
    """Runs mmdebstrap; `take` reads the tar of the new system from a stream to its end, `say` hears what it is doing.

    memory_bytes: how much memory the system may fill while it is made; 0: it is made on the disk.
    Raises PlanError: a package that does not exist. SandboxError: mmdebstrap is missing or fails; with the code
    `NO_ROOM` when its place was full.
    """
    program = shutil.which("mmdebstrap")
    if program is None:
        raise SandboxError(
            "debian:// needs mmdebstrap, which is not installed",
            code="no-mmdebstrap",
            hint="apt-get install mmdebstrap",
        )
    last: deque[str] = deque(maxlen=40)
    with tempfile.TemporaryDirectory(prefix="slimstage-debian-", ignore_cleanup_errors=True) as work:
        place = os.path.join(work, "system")
        os.mkdir(place)
        command = _command(program, spec, platform, work)
        process = subprocess.Popen(
            [*_memory(memory_bytes, place), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_S), "LC_ALL": "C.UTF-8", "TMPDIR": place},
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        reader = _follow(process.stderr, last, say)
        failure: BaseException | None = None
        try:
            take(process.stdout)
        except BaseException as error:
            failure = error
            process.terminate()
        finally:
            process.stdout.close()
            status = process.wait()
            reader()
    if status and (failure is None or isinstance(failure, Exception)):
        raise _failed(spec, status, list(last)) from failure
    if failure is not None:
        raise failure


def spare_memory() -> int:
    """Bytes of memory that making a system may fill: half of what is free, 0 when that is little or cannot be told."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return 0
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 0
    for limit, used in _LIMITS:
        try:
            with open(limit, encoding="ascii") as limit_file, open(used, encoding="ascii") as used_file:
                free = min(free, int(limit_file.read()) - int(used_file.read()))
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return free // 2 if free >= _ENOUGH else 0


_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""What a container around us may have, and has."""


def _memory(size_bytes: int, place: str) -> list[str]:
    """The words in front of a command that give it a tmpfs at `place`."""
    if not size_bytes:
        return []
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _IN_MEMORY, "sh", str(size_bytes), place]


def _command(program: str, spec: DebianSpec, platform: Platform, work: str) -> list[str]:
    command = [program, f"--variant={spec.variant}", "--format=tar", f"--architectures={_architecture(platform)}"]
    command += [f"--dpkgopt={option}" for option in _DPKG]
    if spec.include:
        command.append(f"--include={','.join(spec.include)}")
    hook = os.path.join(work, "tidy.sh")
    for path, text in ((hook, _TIDY), (os.path.join(work, "apt.conf"), "\n".join(_APT) + "\n")):
        with open(path, "w") as file:
            file.write(text)
    command += [f"--components={','.join(spec.components)}", f'--customize-hook=sh {hook} "$1"', spec.suite, "-"]
    return [*command, *sources_of(spec.suite, spec.components)]


def _follow(stream: IO[bytes], last: deque[str], say: Callable[[str], None]) -> Callable[[], None]:
    """Reads progress lines in a thread; the returned call waits for its end."""
    import threading

    def read() -> None:
        for raw in stream:
            line = raw.decode(errors="replace").rstrip().rsplit("\r", 1)[-1]
            if line:
                last.append(line)
                if doing := _doing(line):
                    say(doing)
        stream.close()

    thread = threading.Thread(target=read, name="mmdebstrap", daemon=True)
    thread.start()
    return thread.join


def _doing(line: str) -> str | None:
    if line.startswith("I: "):
        for theirs, ours in _DOING:
            if line.startswith(theirs, 3):
                return ours
    return None


def _failed(spec: DebianSpec, status: int, lines: Sequence[str]) -> PlanError | SandboxError:
    for line in lines:
        if found := _MISSING.search(line):
            package = found.group(1) or found.group(2)
            return PlanError(
                f'there is no package "{package}" in Debian {spec.suite}',
                code="no-such-package",
                hint=f"see apt-cache search {package}",
            )
    is_full = any(_FULL.search(line) for line in lines)
    return SandboxError(
        f"mmdebstrap could not make debian://{spec.suite} (exit status {status})",
        code=NO_ROOM if is_full else "mmdebstrap-failed",
        notes=[line for line in lines if line.startswith(("E:", "W:")) or "rror" in line][-5:] or list(lines)[-3:],
        hint="the disk that holds the temporary directory is full; TMPDIR names another one" if is_full else None,
    )


_ARCHITECTURES = {"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mips64le": "mips64el"}


def _architecture(platform: Platform) -> str:
    return _ARCHITECTURES.get(platform.architecture, platform.architecture)
