"""RUN: a step and the trees it sees → a sandbox spec. What happens in the sandbox is `sandbox/`'s.

The functions here compute values; only `leases` (cache mounts) touch the disk, and only through the store.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

from slimstage.build.lines import Redactor
from slimstage.build.request import BuildRequest, SecretSource
from slimstage.errors import PlanError, UsageError
from slimstage.oci.user import Identity
from slimstage.plan.graph import (
    SCRIPT_PATH,
    BindMount,
    CacheMount,
    RunStep,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from slimstage.sandbox.spec import (
    FileMount,
    HostPath,
    Limits,
    Mount,
    OverlayRoot,
    SandboxSpec,
    SocketMount,
    StackPath,
    Tmpfs,
)
from slimstage.values import dataclass, field, replace

HOST_CERTS_PATH = "/run/slimstage/host-certs.pem"
"""Where the host's CA bundle stands while a step runs with `--host-certs`."""

HOST_CERTS_VARIABLES = (
    "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO",
)  # fmt: skip

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)

DEFAULT_HOSTNAME = "buildkitsandbox"
"""BuildKit's: programs that look at it behave as they do there."""

_REQUIRED = ",required"
"""Behind the name of a device that a step cannot do without."""

_LARGEST_SECRET = 500 * 1024
"""Bytes; BuildKit's limit."""


@dataclass(frozen=True, slots=True)
class RunInputs:
    """What a RUN step needs beside its own values.

    lowers: layer directories of its parent. binds: for each bind mount, in order, the layer directories of what it shows
    and the path in them. caches: for each cache mount, in order, the host directory that serves it.
    """

    lowers: tuple[str, ...]
    identity: Identity
    binds: tuple[tuple[tuple[str, ...], str], ...] = ()
    caches: tuple[str, ...] = ()
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, str] = field(default_factory=dict)
    """ssh id → path of the agent's socket on the host."""


def sandbox_spec(step: RunStep, inputs: RunInputs, request: BuildRequest, upper: str, work: str) -> SandboxSpec:
    """The whole of the confined command, as a value; the new layer directory is `upper`."""
    environment = dict(step.env)
    mounts: list[Mount] = []
    binds, caches = iter(inputs.binds), iter(inputs.caches)
    agents = 0
    for mount in step.mounts:
        if isinstance(mount, BindMount):
            stack, path = next(binds)
            mounts.append(StackPath(mount.target, stack, path, is_writable=mount.is_writable))
        elif isinstance(mount, CacheMount):
            source = mount.path.lstrip("/") or "."
            mounts.append(HostPath(mount.target, source, beneath=next(caches), is_readonly=mount.is_readonly))
        elif isinstance(mount, TmpfsMount):
            mounts.append(Tmpfs(mount.target, mount.size_bytes))
        elif isinstance(mount, SecretMount):
            mounts += _secret(mount, inputs.secrets, environment)
        else:
            target = mount.target or f"/run/buildkit/ssh_agent.{agents}"
            agents += 1
            # Said of the first, also when no agent was given: as in BuildKit.
            environment.setdefault("SSH_AUTH_SOCK", mount.written or target)
            if mount.id in inputs.agents:
                mounts.append(SocketMount(target, inputs.agents[mount.id], mount.mode, mount.uid, mount.gid))
    if step.script is not None:
        mounts.append(FileMount(SCRIPT_PATH, step.script.encode("utf-8", "surrogateescape"), mode=0o755))
    for name, value in step.proxy_env:
        environment.setdefault(name, value)
    if request.uses_host_certs:
        mounts += _host_certs(environment)
    environment.setdefault("HOME", inputs.identity.home)
    if request.source_date_epoch_s is not None:
        environment.setdefault("SOURCE_DATE_EPOCH", str(request.source_date_epoch_s))
    network = step.network if step.network != "default" else request.network
    return SandboxSpec(
        root=OverlayRoot(inputs.lowers, upper, work),
        argv=step.argv,
        env=tuple(environment.items()),
        cwd=step.cwd,
        uid=inputs.identity.uid,
        gid=inputs.identity.gid,
        groups=inputs.identity.groups,
        mounts=tuple(mounts),
        network=network,
        hostname=request.build_args.get("BUILDKIT_SANDBOX_HOSTNAME") or DEFAULT_HOSTNAME,
        extra_hosts=request.extra_hosts,
        limits=_limits(request.limits, has_secrets=bool(inputs.secrets)),
        is_privileged=step.security == "insecure",
        devices=_devices(step.devices),
    )


def _devices(wanted: Sequence[str]) -> tuple[str, ...]:
    """The devices below /dev that are there; one that is not is an error when it is required, else left out.

    A name that is no path is one of CDI, of which there are none here.
    """
    found = []
    for text in wanted:
        name = text.removesuffix(_REQUIRED)
        if name.startswith("/dev/") and os.path.exists(name):
            found.append(name)
        elif name != text:
            raise PlanError(
                f'device "{name}": not found',
                code="device-missing",
                hint=None if name.startswith("/") else "a device is named by its path below /dev; CDI is not offered",
            )
    return tuple(found)


def _limits(limits: Limits, *, has_secrets: bool) -> Limits:
    """A step with secrets leaves no core file, which would be in the layer, unless the user says so (`--ulimit core`).

    The limit is 1 byte where it may be: unlike 0, it also holds for a program that the host has set up to take cores.
    Source: the kernel's fs/coredump.c.
    """
    if not has_secrets or any(name == "core" for name, _, _ in limits.ulimits):
        return limits
    most = 0 if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else 1
    return replace(limits, ulimits=(*limits.ulimits, ("core", most, most)))


def key_values(step: RunStep, request: BuildRequest) -> dict[str, object]:
    """What of the request can change the result of a RUN step, for its key."""
    values: dict[str, object] = {}
    if request.extra_hosts:
        values["--add-host"] = [list(each) for each in request.extra_hosts]
    if request.source_date_epoch_s is not None:
        values["SOURCE_DATE_EPOCH"] = request.source_date_epoch_s
    if hostname := request.build_args.get("BUILDKIT_SANDBOX_HOSTNAME"):
        values["hostname"] = hostname
    if step.network == "default" and request.network != "default":
        values["--network"] = request.network
    if request.limits.shm_bytes != Limits().shm_bytes:
        values["--shm-size"] = request.limits.shm_bytes
    if request.limits.ulimits:
        values["--ulimit"] = [list(each) for each in sorted(request.limits.ulimits)]
    return values


def read_secret(source: SecretSource) -> bytes:
    """The secret's value. Raises UsageError: no such file or variable, larger than 500 KiB."""
    if source.env is not None:
        value = os.environ.get(source.env)
        if value is None:
            raise UsageError(
                f'secret "{source.id}": the environment variable "{source.env}" is not set', code="secret-missing"
            )
        data = os.fsencode(value)
    else:
        path = Path(source.path or source.id).expanduser()
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST_SECRET + 1)
        except OSError as error:
            raise UsageError(
                f'secret "{source.id}": cannot read "{path}": {error.strerror}', code="secret-missing"
            ) from error
    if len(data) > _LARGEST_SECRET:
        raise UsageError(f'secret "{source.id}" is larger than {_LARGEST_SECRET >> 10} KiB', code="secret-too-large")
    return data


def wanted_secrets(step: RunStep, sources: Mapping[str, SecretSource]) -> dict[str, bytes]:
    """The values of the secrets that the step mounts. Raises PlanError when a required one was not given."""
    found: dict[str, bytes] = {}
    for mount in step.mounts:
        if isinstance(mount, SecretMount):
            source = sources.get(mount.id)
            if source is not None:
                found[mount.id] = read_secret(source)
            elif mount.is_required:
                raise PlanError(
                    f'secret "{mount.id}": not found',
                    code="secret-missing",
                    hint=f"give it with --secret id={mount.id},src=FILE or --secret id={mount.id},env=VARIABLE",
                )
    return found


def wanted_agents(step: RunStep, sources: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The agent sockets that the step's ssh mounts forward. Raises PlanError when a required one is not there."""
    found: dict[str, str] = {}
    for mount in step.mounts:
        if isinstance(mount, SshMount):
            paths = sources.get(mount.id)
            socket = (paths[0] if paths else os.environ.get("SSH_AUTH_SOCK")) if paths is not None else None
            if socket:
                found[mount.id] = socket
            elif mount.is_required:
                raise PlanError(
                    f'ssh agent "{mount.id}": not forwarded',
                    code="ssh-missing",
                    hint="give it with --ssh default (and run ssh-agent), or --ssh ID=SOCKET",
                )
    return found


def _secret(mount: SecretMount, values: Mapping[str, bytes], environment: dict[str, str]) -> list[Mount]:
    value = values.get(mount.id)
    if value is None:
        if mount.env is not None:
            environment[mount.env] = ""  # as in BuildKit: a variable without a value is there
        return []
    if mount.env is not None:
        environment[mount.env] = value.decode("utf-8", "surrogateescape")
    if mount.target is None:
        return []
    return [FileMount(mount.target, value, mode=mount.mode, uid=mount.uid, gid=mount.gid)]


def host_bundle() -> str | None:
    """The host's CA bundle, by its usual variables and places; None when there is none."""
    named = [os.environ.get(name, "") for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")]
    return next((path for path in [*named, *_BUNDLES] if path and os.path.isfile(path)), None)


def _host_certs(environment: dict[str, str]) -> list[Mount]:
    bundle = host_bundle()
    if bundle is None:
        raise UsageError(
            "--host-certs: this host has no CA bundle", code="no-host-certs", hint="apt-get install ca-certificates"
        )
    for name in HOST_CERTS_VARIABLES:
        environment.setdefault(name, HOST_CERTS_PATH)
    return [FileMount(HOST_CERTS_PATH, Path(bundle).read_bytes(), mode=0o444)]


# What to say when it fails ---------------------------------------------------------------------------------------

DISK_HINT = "the disk under the store is full (slimstage prune, or --root), or /dev/shm or a tmpfs mount of the step"
"""What `hint_for` says when a step found no room."""

_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("temporary failure resolving", "temporary failure in name resolution", "could not resolve host",
         "network is unreachable", "name or service not known", "bad address"),
        "there is no network in this step: is it run with --network=none, or is a proxy needed?",
    ),
    (
        ("certificate verify failed", "self-signed certificate", "self signed certificate", "certificate is not trusted"),
        "this host may have a CA of its own: build with --host-certs",
    ),
    (("no space left on device", "disk quota exceeded"), DISK_HINT),
    (("externally-managed-environment",), "make a virtual environment, or pip install --break-system-packages"),
)  # fmt: skip


def hint_for(step: RunStep, status: int, is_out_of_memory: bool, lines: Sequence[str]) -> str | None:
    """What commonly lies behind such an end, or None."""
    said = "\n".join(lines[-40:]).lower()
    if is_out_of_memory:
        return "the kernel killed it for memory: raise --memory, or make the step smaller (fewer parallel jobs)"
    if status == 137:
        return "it was killed (signal 9): often for memory"
    for phrases, hint in _HINTS:
        if any(phrase in said for phrase in phrases):
            return hint
    if status == 127 or "not found" in said.rsplit("\n", 1)[-1]:
        return "the command is not in this stage: install it here, or copy it from the stage that has it"
    if status == 126:
        return "the file is there but cannot be executed: chmod +x, or another architecture or interpreter"
    return None


def redactor(secrets: Mapping[str, bytes]) -> Redactor:
    """Replaces the values of secrets in output; values under 4 bytes are left, they would mask ordinary text."""
    pieces = {piece.strip() for value in secrets.values() for piece in (value, *value.splitlines())}
    return Redactor(sorted((piece for piece in pieces if len(piece) >= 4), key=len, reverse=True))
