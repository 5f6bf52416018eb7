"""An image's config and what `run` asks for become a sandbox spec. Pure: files of the image come in as text.

Source: OCI image-spec v1.1, conversion.md ("Verbatim Fields", "Annotation Fields"); `docker run`'s reference.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from slimstage.container.options import RunOptions
from slimstage.errors import UsageError
from slimstage.oci.config import ImageConfig
from slimstage.oci.user import Identity
from slimstage.sandbox.spec import DEFAULT_CAPABILITIES, HostPath, Mount, Root, SandboxSpec, Tmpfs
from slimstage.values import replace

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Docker's, for an image that sets none."""


def command_of(config: ImageConfig, options: RunOptions) -> tuple[str, ...]:
    """The argv: entrypoint and command, the given ones over the image's.

    A given entrypoint drops the image's CMD, as in Docker. Raises UsageError when nothing is left to run.
    """
    if options.entrypoint is not None:
        argv = (*options.entrypoint, *options.command)
    else:
        argv = (*(config.entrypoint or ()), *(options.command or config.cmd or ()))
    if not argv or not argv[0]:
        raise UsageError(
            "the image has no command to run", code="no-command", hint="give one: slimstage run IMAGE COMMAND [ARG…]"
        )
    return argv


def environment_of(config: ImageConfig, options: RunOptions, home: str, hostname: str) -> tuple[tuple[str, str], ...]:
    """PATH, HOSTNAME, TERM and HOME as Docker sets them, the image's variables over them, then the given ones."""
    found = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.has_terminal:
        found["TERM"] = "xterm"
    for text in config.env:
        name, _, value = text.partition("=")
        found[name] = value
    found |= dict(options.env)
    if not found.get("HOME"):
        found["HOME"] = home
    return tuple(found.items())


def working_directory(config: ImageConfig, options: RunOptions) -> str:
    """Absolute and clean. Raises UsageError for a relative `-w`."""
    given = options.workdir
    if given is not None and not given.startswith("/"):
        raise UsageError(f'--workdir: "{given}" is not an absolute path')
    return posixpath.normpath("/" + (given or config.working_dir or "/").lstrip("/"))


def mounts_of(options: RunOptions) -> tuple[Mount, ...]:
    """Volumes, then temporary file systems."""
    volumes = (HostPath(v.target, v.source, is_readonly=v.is_readonly) for v in options.volumes)
    return (*volumes, *(Tmpfs(target) for target in options.tmpfs))


def capabilities_of(options: RunOptions) -> tuple[str, ...]:
    """Docker's default set, with what is to be added and without what is to be dropped (ALL: every one of it)."""
    added = [_capability(name) for name in options.add_capabilities]
    dropped = {_capability(name) for name in options.drop_capabilities}
    kept = () if "CAP_ALL" in dropped else DEFAULT_CAPABILITIES
    return tuple(name for name in dict.fromkeys((*kept, *added)) if name not in dropped or name in added)


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def container_spec(
    config: ImageConfig, options: RunOptions, root: Root, identity: Identity, *, container_id: str
) -> SandboxSpec:
    """The whole of what the sandbox is to run.

    identity: of `user_of(config, options)` in the image's passwd and group. Raises UsageError.
    """
    hostname = options.hostname or container_id[:12]
    return SandboxSpec(
        root=root,
        argv=command_of(config, options),
        env=environment_of(config, options, identity.home, hostname),
        cwd=working_directory(config, options),
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        mounts=mounts_of(options),
        network=options.network,
        hostname=hostname,
        extra_hosts=options.extra_hosts,
        limits=options.limits,
        capabilities=capabilities_of(options),
        is_privileged=options.is_privileged,
        is_readonly_root=options.is_readonly,
        has_terminal=options.has_terminal,
    )


def user_of(config: ImageConfig, options: RunOptions) -> str:
    return config.user if options.user is None else options.user


def without_terminal(options: RunOptions) -> RunOptions:
    """The options for a command that nobody sits in front of."""
    return replace(options, has_terminal=False, is_interactive=False)


def missing_directories(path: str, existing: Sequence[str]) -> list[str]:
    """The directories to be made for `path`, outermost first; `existing`: those of its parents that are there."""
    known, found, current = set(existing), [], ""
    for part in path.strip("/").split("/"):
        current = f"{current}/{part}" if current else part
        if part and current not in known:
            found.append(current)
    return found
