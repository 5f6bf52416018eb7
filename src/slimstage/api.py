"""slimstage as a library: one typed call that builds, with what happens told as events.

    import slimstage

    result = slimstage.build("app", tags=["app:1"])
    print(result.image_id, result.size_bytes)

Arguments have the names of the command's flags. Nothing is read but what they say: no settings file, no environment
(except `root`, which falls back to SLIMSTAGE_ROOT as the command does).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from slimstage.build.builder import build as build_request
from slimstage.build.request import BuildRequest, BuildResult, OutputSpec, SecretSource
from slimstage.cache.places import CachePlace, CacheTarget
from slimstage.errors import UsageError
from slimstage.events import Listener, ignore
from slimstage.oci.descriptor import Platform, parse_platform
from slimstage.oci.reference import parse_reference
from slimstage.store.store import Store, default_root

AnyPath = str | os.PathLike[str]


def build(
    context: AnyPath = ".",
    *,
    file: AnyPath | None = None,
    dockerfile: str | None = None,
    target: str | None = None,
    tags: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    build_contexts: Mapping[str, str] | None = None,
    platform: str | Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    outputs: Sequence[OutputSpec] = (),
    secrets: Mapping[str, SecretSource] | None = None,
    no_cache: bool = False,
    no_cache_filter: Sequence[str] = (),
    cache_from: Sequence[CachePlace] = (),
    cache_to: Sequence[CacheTarget] = (),
    cache_mounts: bool = False,
    pull: bool = False,
    jobs: int | None = None,
    network: Literal["default", "none", "host"] = "default",
    host_certs: bool = False,
    reproducible: bool = False,
    layers: Literal["by-instruction", "by-package"] = "by-instruction",
    source_date_epoch_s: int | None = None,
    root: AnyPath | None = None,
    listener: Listener = ignore,
    cancel: threading.Event | None = None,
) -> BuildResult:
    """Builds an image as `slimstage build` does and returns what `build --json` prints.

    context: a directory, a tar file, a git or http(s) URL. file: the Dockerfile's path; None: `Dockerfile` in the context.
    dockerfile: the text of one, instead of a file. platform: one, or several for an index. build_contexts: name → value as
    for `--build-context`. cache_from, cache_to, cache_mounts: caches of other machines, as values of `cache.places`.
    outputs: none means the store, under `tags`. secrets: id → where its value is read from.
    root: where the store is.
    listener: called with each event of `slimstage.events`, from several threads, never two at once. cancel: once set, the
    build ends its steps and raises `Interrupted`.

    Safe to call from several threads and processes on one store: a step that two of them need runs once.
    Raises: SlimstageError of every kind (see `slimstage.errors`); nothing is printed, and what ran stays cached.
    """
    if os.geteuid() != 0:
        raise UsageError(
            "a build as a library needs root",
            code="needs-root",
            hint="the command `slimstage build` makes itself a user namespace; a library cannot do that to its program",
        )
    if file is not None and dockerfile is not None:
        raise UsageError("file and dockerfile are given", hint="give the path of a Dockerfile, or the text of one")
    if isinstance(tags, str):
        raise UsageError(f'tags is one text, "{tags}"', hint=f'write tags=["{tags}"]')
    for tag in tags:
        if parse_reference(tag).digest:
            raise UsageError(f'the tag "{tag}" has a digest', hint="the digest comes from the build")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}, and has to be 1 or more")
    platforms = _platforms(platform)
    request = BuildRequest(
        context=os.fspath(context),
        dockerfile=None if file is None else os.fspath(file),
        dockerfile_text=dockerfile,
        target=target,
        platform=platforms[0] if len(platforms) == 1 else None,
        platforms=platforms if len(platforms) > 1 else (),
        build_args=dict(build_args or {}),
        named_contexts=dict(build_contexts or {}),
        tags=tuple(tags),
        labels=dict(labels or {}),
        outputs=tuple(outputs) or (OutputSpec("image", names=tuple(tags)),),
        secrets=dict(secrets or {}),
        no_cache=no_cache,
        no_cache_filter=frozenset(name.lower() for name in no_cache_filter),
        cache_from=tuple(cache_from),
        cache_to=tuple(cache_to),
        carries_cache_mounts=cache_mounts,
        pulls=pull,
        jobs=jobs,
        network=network,
        uses_host_certs=host_certs,
        splits_layers=layers == "by-package",
        is_reproducible=reproducible,
        source_date_epoch_s=source_date_epoch_s,
    )
    with Store.open(Path(os.path.abspath(root)) if root is not None else default_root()) as store:
        return build_request(request, store, listener, cancel)


def _platforms(given: str | Sequence[str] | None) -> tuple[Platform, ...]:
    texts = [given] if isinstance(given, str) else given or ()
    return tuple(dict.fromkeys(parse_platform(each) for text in texts for each in text.split(",") if each.strip()))
