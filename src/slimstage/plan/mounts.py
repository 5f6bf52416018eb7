"""`RUN --mount` → mounts with everything resolved.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert_runmount.go, convert_secrets.go, convert_ssh.go; dockerfile.md
§1.3 and §4 (56 to 63).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import FlagText
from slimstage.dockerfile.mounts import MountOptions, parse_mount
from slimstage.errors import DockerfileError, PlanError
from slimstage.plan import paths
from slimstage.plan.graph import (
    BindMount,
    CacheMount,
    FileSource,
    FromContext,
    RunMount,
    SecretMount,
    SshMount,
    TmpfsMount,
)

_SECRETS = "/run/secrets/"
_CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"


def lower_mount(
    flag: FlagText,
    expand: Callable[[str], str],
    working_dir: str,
    find: Callable[[str, Span], FileSource],
    build_args: Mapping[str, str],
) -> RunMount:
    """The mount of one flag.

    expand: replaces variables. find: where the files of `from=NAME` come from.
    Raises: PlanError, DockerfileError, at the flag.
    """
    try:
        options = parse_mount(flag.value, expand)
    except DockerfileError as error:
        error.at(flag.span)
        raise
    if options.type == "secret":
        return _secret(options, working_dir)
    if options.type == "ssh":
        if options.source:
            raise PlanError('an ssh mount takes no "source"', code="bad-mount", span=flag.span)
        target = paths.absolute(options.target, working_dir) if options.target else None
        return SshMount(
            id=options.id or "default",
            target=target,
            is_required=options.is_required,
            mode=0o600 if options.mode is None else options.mode,
            uid=options.uid or 0,
            gid=options.gid or 0,
            written=options.target if target and options.target != target else None,
        )
    target = paths.absolute(options.target or "", working_dir)
    if target == "/":
        raise PlanError(
            "a mount cannot be at /",
            code="mount-target",
            span=flag.span,
            notes=() if options.target else ("without a target it is at the working directory",),
            hint="write target=DIRECTORY",
        )
    if options.type == "tmpfs":
        if paths.absolute(options.source or "") != "/":
            # BuildKit finds out when the step is to run: there is nothing in an empty file system.
            raise PlanError('a tmpfs mount takes no "source"', code="bad-mount", span=flag.span)
        return TmpfsMount(target, options.size_bytes)
    path = paths.absolute(options.source or "")
    source = find(options.from_, flag.span) if options.from_ else None
    if options.type == "bind":
        return BindMount(target, source or FromContext(""), path, not options.is_readonly)
    return _cache(options, target, source, path, flag, build_args)


def _cache(
    options: MountOptions,
    target: str,
    source: FileSource | None,
    path: str,
    flag: FlagText,
    build_args: Mapping[str, str],
) -> CacheMount:
    if not options.target and not options.id:
        raise PlanError("a cache mount needs a target", code="mount-target", span=flag.span)
    # The id is the target as written, cleaned: BuildKit does not join WORKDIR here.
    name = options.id or posixpath.normpath(options.target or "")
    namespace = build_args.get(_CACHE_NAMESPACE)
    return CacheMount(
        target=target,
        id=f"{namespace}/{name}" if namespace else name,
        sharing=options.sharing or "shared",
        source=source,
        path=path,
        is_readonly=options.is_readonly,
        mode=0o755 if options.mode is None else options.mode,
        uid=options.uid or 0,
        gid=options.gid or 0,
    )


def _secret(options: MountOptions, working_dir: str) -> SecretMount:
    name = options.source or options.id or posixpath.basename(options.target or "")
    target = options.target
    if not target and options.env is None:
        target = _SECRETS + posixpath.basename(name)
    return SecretMount(
        id=name,
        target=paths.absolute(target, working_dir) if target else None,
        env=options.env,
        is_required=options.is_required,
        mode=0o400 if options.mode is None else options.mode,
        uid=options.uid or 0,
        gid=options.gid or 0,
    )
