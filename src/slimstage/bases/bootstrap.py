"""Runs mmdebstrap: a Debian system, as a tar on a pipe.

The same spec gives the same tar from the same packages: times are clamped, and what differs between two runs or two
hosts (logs, caches, machine IDs, the host's name and resolver) is taken out before the tar is made.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from slimstage.bases.aptsources import AptSources, sources_of
from slimstage.bases.debian import EPOCH_S, DebianSpec, check_architecture
from slimstage.bases.workspace import in_memory
from slimstage.errors import Interrupted, PlanError, SandboxError
from slimstage.oci.descriptor import Platform
from slimstage.regex import pattern

_DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*", "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*", "path-include=/usr/share/locale/locale.alias",
    # Not one sync to disk for each file: a system that is cut off is thrown away, here and in a RUN step.
    "force-unsafe-io",
)  # fmt: skip
"""They stay in the image, so packages that a RUN step installs are as small."""

_PASSED_ON = pattern(
    r"(?:PATH|HOME|USER|LOGNAME|TERM|TMPDIR|TZ|APT_CONFIG|GNUPGHOME|SSL_CERT_FILE|SSL_CERT_DIR|(?i:\w+_proxy))\Z"
)
"""Variables that mmdebstrap and apt heed. Scripts of packages see them too, so nothing else of the user's is there."""

# Named as in Debian's own images, where Dockerfiles with a cache mount for apt expect it and remove it.
_APT_CLEAN = r"""
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
"""

_TIDY = r"""set -e
cd "$1"
rm -rf var/cache/apt/* var/cache/debconf/*-old var/cache/ldconfig/* var/lib/dpkg/*-old var/log/* var/lib/apt/lists/* tmp/* run/*
rm -f etc/hostname etc/resolv.conf etc/machine-id var/lib/dbus/machine-id etc/.pwd.lock
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt usr/local/bin usr/sbin
: > etc/machine-id
if [ -d etc/apt/apt.conf.d ]; then printf '%s' '@APT_CLEAN@' > etc/apt/apt.conf.d/docker-clean; fi
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
if [ -x usr/bin/python3 ]; then
  [ -e usr/bin/python ] || [ -L usr/bin/python ] || [ -L usr/local/bin/python ] || ln -s /usr/bin/python3 usr/local/bin/python
  rm -f usr/lib/python3*/EXTERNALLY-MANAGED
fi
link() {
  for place in usr/local/bin usr/bin bin usr/sbin sbin; do
    if [ -e "$place/$1" ] || [ -L "$place/$1" ]; then ln -sfn "/$place/$1" "usr/local/bin/$2"; return; fi
  done
  echo "E: slimstage: there is no program $1 to link" >&2
  exit 1
}
"""
"""Run by mmdebstrap with the system's directory as argument, outside of it: nothing of it is executed."""

NO_ROOM = "no-room-for-system"
"""The code of the error when the place where a system is put together is full."""

_DOING = (
    ("running apt-get update", "reading package lists"),
    ("downloading packages", "downloading packages"),
    ("extracting archives", "unpacking the essential packages"),
    ("installing essential packages", "installing the essential packages"),
    ("installing remaining packages", "installing packages"),
    ("creating tarball", "taking the files over"),
)
"""What mmdebstrap says of itself, and what a user is told."""

_FULL = pattern(r"No space left on device|You don't have enough free space")
_MISSING = pattern(r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate")
_NO_PROGRAM = pattern(r"slimstage: there is no program (\S+)")
_POLL_S = 0.2
_GRACE_S = 2.0


def make_system(
    spec: DebianSpec,
    platform: Platform,
    take: Callable[[IO[bytes]], None],
    say: Callable[[str], None],
    work: str,
    cancel: threading.Event | None = None,
    memory_bytes: int = 0,
    *,
    unpacks: bool = False,
) -> None:
    """`take` reads the tar of the new system from a stream to its end, `say` gets a line for each phase.

    work: an existing directory for the system while it is made (used by root; others use the default of TMPDIR, which
    the sub-IDs of a user namespace can enter). memory_bytes: how much memory may hold the system meanwhile; 0: it is
    made on the disk. unpacks: nothing of the system is run.
    Raises PlanError: a package or suite that does not exist. SandboxError: mmdebstrap is missing or fails; with the code
    `NO_ROOM` when its place was full. Interrupted.
    """
    architecture = check_architecture(spec, platform)
    program = shutil.which("mmdebstrap")
    if program is None:
        raise SandboxError(
            "debian:// needs mmdebstrap, which is not installed",
            code="no-mmdebstrap",
            hint="apt-get install mmdebstrap",
        )
    environ = {name: value for name, value in os.environ.items() if _PASSED_ON.match(name)}
    environ |= {"SOURCE_DATE_EPOCH": str(EPOCH_S), "LC_ALL": "C.UTF-8"}
    if os.geteuid() == 0:
        environ["TMPDIR"] = work
    sources = sources_of(spec.suite, spec.components)
    arguments = mmdebstrap_arguments(spec, architecture, sources, unpacks=unpacks)
    process = subprocess.Popen(
        in_memory([program, *arguments], work, memory_bytes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ,
        # Ctrl-C is ours to hear; and its whole family can be ended at once.
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=60)
    ended = threading.Event()
    threads = [threading.Thread(target=_follow, args=(process, last, say), name="mmdebstrap", daemon=True)]
    if cancel is not None:
        threads.append(
            threading.Thread(target=_watch, args=(process, cancel, ended), name="mmdebstrap-end", daemon=True)
        )
    for thread in threads:
        thread.start()
    failure: BaseException | None = None
    assert process.stdout is not None
    try:
        take(process.stdout)
    except BaseException as error:
        failure = error
        _end(process)
    finally:
        process.stdout.close()
        status = process.wait()
        ended.set()
        for thread in threads:
            thread.join()
    if cancel is not None and cancel.is_set():
        raise Interrupted(f"interrupted while making debian://{spec.suite}") from failure
    if failure is not None and not isinstance(failure, Exception):
        raise failure
    # A tar that is cut off is a consequence: the cause is what mmdebstrap said.
    if status > 0:
        raise explained(spec, status, list(last)) from failure
    if failure is not None:
        raise failure
    if status:
        raise explained(spec, status, list(last))


def mmdebstrap_arguments(
    spec: DebianSpec, architecture: str, sources: AptSources, *, unpacks: bool = False
) -> list[str]:
    """The whole command line but the program. unpacks: packages are unpacked only, those of the variant among them."""
    links = "".join(f"link '{target}' '{name}'\n" for target, name in spec.links)
    unpacks = unpacks or spec.variant == "extract"
    variant = "extract" if unpacks else spec.variant
    arguments = [f"--variant={variant}", "--format=tar", f"--architectures={architecture}"]
    # Whether its programs run was asked before, of the kernel; mmdebstrap would want another program to ask.
    arguments.append("--skip=check/qemu")
    arguments += [f"--dpkgopt={option}" for option in _DPKG_OPTIONS]
    if sources.keyring:
        arguments.append(f"--keyring={sources.keyring}")
    if spec.include:
        arguments.append(f"--include={','.join(spec.include)}")
    arguments.append(f"--components={','.join(spec.components)}")
    tidy = f"{_TIDY.replace('@APT_CLEAN@', _APT_CLEAN)}{links}"
    if unpacks:
        from slimstage.bases.unpacked import set_up_hook, unpacked_hook, wanted_packages  # only for these

        arguments += [f"--include={each}" for each in wanted_packages(spec.variant)]
        arguments += [f"--setup-hook={set_up_hook(architecture)}", f"--extract-hook={unpacked_hook()}{tidy}"]
    else:
        arguments.append(f"--customize-hook={tidy}")
    return [*arguments, spec.suite, "-", *sources.lines]


def explained(spec: DebianSpec, status: int, lines: Sequence[str]) -> PlanError | SandboxError:
    """What went wrong, from the last lines that mmdebstrap wrote."""
    for line in lines:
        if found := _MISSING.search(line):
            package = found[1] or found[2]
            return PlanError(
                f'there is no package "{package}" in Debian {spec.suite}',
                code="no-such-package",
                hint=f'names change between releases: search with "apt-cache search {package}"',
            )
        if found := _NO_PROGRAM.search(line):
            return PlanError(
                f'debian:// is asked to link the program "{found[1]}", which no included package has',
                code="bad-base",
                hint="include the package that has it",
            )
        if "does not have a Release file" in line or "404  Not Found" in line:
            return PlanError(
                f'the Debian mirror of this host has no suite "{spec.suite}"',
                code="no-such-suite",
                notes=[line],
                hint="for example bookworm, trixie or sid",
            )
    is_full = any(_FULL.search(line) for line in lines)
    told = [line for line in lines if line.startswith(("E:", "Err:")) or "rror" in line]
    return SandboxError(
        f"mmdebstrap could not make debian://{spec.suite}: it ended with status {status}",
        code=NO_ROOM if is_full else "mmdebstrap-failed",
        notes=told[:5] or list(lines)[-3:],
        hint="the disk of the temporary directory is full; TMPDIR names another one" if is_full else None,
    )


def _follow(process: subprocess.Popen[bytes], last: deque[str], say: Callable[[str], None]) -> None:
    """Reads what mmdebstrap says to its end."""
    assert process.stderr is not None
    with process.stderr as stream:
        for raw in stream:
            line = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
            if line:
                last.append(line)
                if doing := doing_of(line):
                    say(doing)


def doing_of(line: str) -> str | None:
    """A few words for a line that begins a phase, else None."""
    return next((ours for theirs, ours in _DOING if line.startswith(f"I: {theirs}")), None)


def _watch(process: subprocess.Popen[bytes], cancel: threading.Event, ended: threading.Event) -> None:
    """Ends it when the build is called off."""
    while not ended.wait(_POLL_S):
        if cancel.is_set():
            _end(process)
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it and all that it started; it is given a moment to remove what it made."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
