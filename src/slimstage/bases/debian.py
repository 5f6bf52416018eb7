"""`debian://SUITE?include=PKG,PKG&variant=minbase`: a base system made by mmdebstrap, once, and kept in the store.

A machine that reaches a Debian mirror and no registry can build everything with it. The mirror is the one that this host's
apt is set up for; nothing of it is in the image's config or history. Made like Debian's official slim images: no manuals,
no documentation but copyright files.

Parameters, each at most once unless said:
    include      packages, with commas between them
    variant      mmdebstrap's: minbase (default), buildd, important, standard, essential, apt, custom
    components   default main
    env          NAME=VALUE of the config, may be repeated
    cmd          words of the config's Cmd, with commas; default bash, or python3 where that is included

With python3 the image behaves as the python images do: there is a `python`, and pip installs for the whole system.
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
from urllib.parse import parse_qsl

from slimstage.bases.aptsources import sources_of
from slimstage.diagnostics import did_you_mean
from slimstage.digest import digest_json
from slimstage.errors import PlanError, SandboxError
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.values import dataclass

SCHEME = "debian://"
VERSION = 1
"""Raised when the same parameters give another system than before."""

EPOCH_S = 1_577_836_800
"""2020-01-01: later times in the packages become this one, so that two machines make the same layer."""
_CREATED = "2020-01-01T00:00:00Z"

VARIANTS = ("minbase", "buildd", "important", "standard", "essential", "apt", "custom")
_PARAMETERS = ("include", "variant", "components", "env", "cmd")
_SUITE = re.compile(r"[a-z][a-z0-9.-]{1,40}\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+(:[a-z0-9]+)?(/[a-z0-9.-]+)?(=[A-Za-z0-9.+:~-]+)?\Z")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MISSING = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")

_WITHOUT = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/groff/*",
    "path-exclude=/usr/share/lintian/*", "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*", "path-include=/usr/share/locale/locale.alias",
)  # fmt: skip

_TIDY = r"""set -e
cd "$1"
rm -rf var/cache/apt/* var/cache/debconf/*-old var/lib/dpkg/*-old var/log/* var/lib/apt/lists/* tmp/* run/*
rm -f etc/hostname etc/resolv.conf etc/machine-id var/lib/dbus/machine-id etc/.pwd.lock
rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow-
mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt
: > etc/machine-id
if [ -x usr/bin/python3 ]; then
  [ -e usr/bin/python ] || [ -e usr/local/bin/python ] || ln -s /usr/bin/python3 usr/local/bin/python
  rm -f usr/lib/python3*/EXTERNALLY-MANAGED
fi
"""


@dataclass(frozen=True, slots=True)
class DebianSpec:
    """What a `debian://` reference asks for, in a canonical form: equal specs make equal systems."""

    suite: str
    include: tuple[str, ...] = ()
    variant: str = "minbase"
    components: tuple[str, ...] = ("main",)
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the system in the store."""
        values = [VERSION, self.suite, self.include, self.variant, self.components, self.env, self.cmd]
        return digest_json(values)[7:]


def parse_debian(reference: str) -> DebianSpec:
    """The spec that a reference means. Raises PlanError: bad suite, parameter, variant or package name."""
    suite, _, query = reference.removeprefix(SCHEME).partition("?")
    if not _SUITE.match(suite):
        raise _bad(f'"{suite}" is not a Debian suite', "for example debian://bookworm?include=python3")
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS:
            hint = did_you_mean(name, _PARAMETERS) or f"there are {', '.join(_PARAMETERS)}"
            raise _bad(f'debian:// has no parameter "{name}"', hint)
        if name in found and name != "env":
            raise _bad(f'the parameter "{name}" of debian:// is given twice', None)
        found.setdefault(name, []).append(value)
    include = _list(found, "include")
    for package in include:
        if not _PACKAGE.match(package):
            raise _bad(f'"{package}" is not the name of a Debian package', "separate packages with commas")
    variant = found.get("variant", ["minbase"])[0]
    if variant not in VARIANTS:
        hint = did_you_mean(variant, VARIANTS) or f"there are {', '.join(VARIANTS)}"
        raise _bad(f'"{variant}" is not a variant of mmdebstrap', hint)
    for each in found.get("env", []):
        if "=" not in each:
            raise _bad(f'the parameter env of debian:// needs NAME=VALUE, got "{each}"', None)
    components = _list(found, "components") or ("main",)
    return DebianSpec(
        suite, tuple(sorted(set(include))), variant, components, tuple(found.get("env", ())), _list(found, "cmd")
    )


def debian_config(spec: DebianSpec, platform: Platform) -> ImageConfig:
    """The image's config but for its diff ID. Nothing in it names a mirror or this host."""
    cmd = spec.cmd or (("python3",) if any(p == "python3" for p in spec.include) else ("bash",))
    return ImageConfig(
        architecture=platform.architecture,
        os="linux",
        variant=platform.variant,
        created=_CREATED,
        env=(_PATH, *spec.env),
        cmd=cmd,
        history=(HistoryEntry(_CREATED, f"debian {spec.suite} {spec.variant} {' '.join(spec.include)}".strip()),),
    )


def make_system(
    spec: DebianSpec, platform: Platform, take: Callable[[IO[bytes]], None], say: Callable[[str], None]
) -> None:
    """Runs mmdebstrap; `take` reads the tar of the new system from a stream to its end, `say` gets its progress lines.

    Raises PlanError: a package that does not exist. SandboxError: mmdebstrap is missing or fails.
    """
    program = shutil.which("mmdebstrap")
    if program is None:
        raise SandboxError(
            "debian:// needs mmdebstrap, which is not installed",
            code="no-mmdebstrap",
            hint="apt-get install mmdebstrap",
        )
    last: deque[str] = deque(maxlen=40)
    with tempfile.TemporaryDirectory(prefix="slimstage-debian-") as work:
        process = subprocess.Popen(
            _command(program, spec, platform, work),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_S), "LC_ALL": "C.UTF-8", "TMPDIR": work},
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


def _command(program: str, spec: DebianSpec, platform: Platform, work: str) -> list[str]:
    command = [program, f"--variant={spec.variant}", "--format=tar", f"--architectures={_architecture(platform)}"]
    command += [f"--dpkgopt={option}" for option in _WITHOUT]
    if spec.include:
        command.append(f"--include={','.join(spec.include)}")
    hook = os.path.join(work, "tidy.sh")
    with open(hook, "w") as file:
        file.write(_TIDY)
    command += [f"--components={','.join(spec.components)}", f'--customize-hook=sh {hook} "$1"', spec.suite, "-"]
    sources = sources_of(spec.suite, spec.components)
    return [*command, *sources] if sources else command


def _follow(stream: IO[bytes], last: deque[str], say: Callable[[str], None]) -> Callable[[], None]:
    """Reads progress lines in a thread; the returned call waits for its end."""
    import threading

    def read() -> None:
        for raw in stream:
            line = raw.decode(errors="replace").rstrip().rsplit("\r", 1)[-1]
            if line:
                last.append(line)
                if line.startswith(("I:", "E:", "W:")):
                    say(line)
        stream.close()

    thread = threading.Thread(target=read, name="mmdebstrap", daemon=True)
    thread.start()
    return thread.join


def _failed(spec: DebianSpec, status: int, lines: Sequence[str]) -> PlanError | SandboxError:
    for line in lines:
        if found := _MISSING.search(line):
            package = found.group(1) or found.group(2)
            return PlanError(
                f'there is no package "{package}" in Debian {spec.suite}',
                code="no-such-package",
                hint=f"see apt-cache search {package}",
            )
    return SandboxError(
        f"mmdebstrap could not make debian://{spec.suite} (exit status {status})",
        code="mmdebstrap-failed",
        notes=[line for line in lines if line.startswith(("E:", "W:")) or "rror" in line][-5:] or list(lines)[-3:],
    )


_ARCHITECTURES = {"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mips64le": "mips64el"}


def _architecture(platform: Platform) -> str:
    return _ARCHITECTURES.get(platform.architecture, platform.architecture)


def _list(found: dict[str, list[str]], name: str) -> tuple[str, ...]:
    return tuple(each for each in re.split(r"[,\s]+", found.get(name, [""])[0]) if each)


def _bad(message: str, hint: str | None) -> PlanError:
    return PlanError(message, code="bad-base", hint=hint)
