"""What a build is asked for, and what comes back: plain values between `cli/` (or a caller of the library) and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from slimstage.cache.places import CacheKind, CachePlace, CacheTarget
from slimstage.oci.descriptor import Platform
from slimstage.sandbox.spec import Limits
from slimstage.values import dataclass, field

OutputKind: TypeAlias = Literal["image", "oci", "docker", "local", "tar"]
Compression: TypeAlias = Literal["gzip", "zstd", "uncompressed", "estargz", "zstd:chunked"]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One `--output`. `destination`: a path, "-" for stdout, None for the store (type=image)."""

    kind: OutputKind
    destination: str | None = None
    is_tar: bool = True
    """oci and docker: an archive (True) or a layout directory (`tar=false`)."""
    names: tuple[str, ...] = ()
    compression: Compression | None = None
    """None: gzip for oci and what is pushed, uncompressed for docker archives and the store."""
    compression_level: int | None = None
    forces_compression: bool = False
    rewrites_timestamps: bool = False
    annotations: tuple[tuple[str, str, str], ...] = ()
    """(where, key, value); where is manifest, manifest-descriptor, index or index-descriptor, the first two perhaps with a
    platform: `manifest[linux/arm64]`."""
    uses_docker_types: bool = False
    """`oci-mediatypes=false`."""
    splits_platforms: bool | None = None
    """local and tar: a directory for each platform; None: when there are several."""
    pushes: bool = False
    """image: goes to the registries of its names, too; its layers are gzip unless `compression` says otherwise."""
    pushes_by_digest: bool = False
    """It is pushed without its tags."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """`--secret id=…,src=…|env=…`. The value is read when a step needs it, and is never shown."""

    id: str
    path: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """All of one `slimstage build`, as values.

    context: a directory, `-` (stdin: a tar or a Dockerfile), a tar file, a git or http(s) URL.
    dockerfile: a path (relative to the working directory), `-` for stdin, None for Dockerfile in the context.
    dockerfile_text: the text itself; wins over `dockerfile`.
    named_contexts: name → value as given to `--build-context`.
    source_date_epoch_s: None when not asked for.
    """

    context: str
    dockerfile: str | None = None
    dockerfile_text: str | None = None
    target: str | None = None
    platform: Platform | None = None
    platforms: tuple[Platform, ...] = ()
    """Several platforms, each once: the result is an index. Then `platform` is None."""
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    """None: taken from the environment by the caller already and absent there."""
    named_contexts: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: tuple[tuple[str, str, str], ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    ssh: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """id → paths of agent sockets or keys; () is the agent of SSH_AUTH_SOCK."""
    no_cache: bool = False
    no_cache_filter: frozenset[str] = frozenset()
    pulls: bool = False
    jobs: int | None = None
    network: Literal["default", "none", "host"] = "default"
    extra_hosts: tuple[tuple[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    entitlements: frozenset[str] = frozenset()
    """`--allow`: network.host, security.insecure, device (all) and device=NAME."""
    uses_host_certs: bool = False
    is_reproducible: bool = False
    splits_layers: bool = False
    """`--layers by-package`: a COPY into the target becomes a layer for each big thing."""
    source_date_epoch_s: int | None = None
    backend: Literal["native", "runc"] = "native"
    registries: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """`[registry."HOST:PORT"]` of the settings: mirrors, plain-http, ca."""
    keeps_all_stages: bool = False
    cache_from: tuple[CachePlace, ...] = ()
    """Caches of other machines, asked in this order after the store's own."""
    cache_to: tuple[CacheTarget, ...] = ()
    sbom: bool = False
    """`--sbom`: bills of materials belong to the images that are written."""
    provenance: Literal["min", "max"] | None = None
    """`--provenance`: so does a statement of where they come from."""
    carries_cache_mounts: bool = False
    """`--cache-mounts`: what `RUN --mount=type=cache` directories hold travels with the cache."""


@dataclass(frozen=True, slots=True)
class LayerResult:
    digest: str | None
    """Of the blob in the first output that has blobs; None when only the store was written."""
    diff_id: str
    size_bytes: int
    created_by: str


@dataclass(frozen=True, slots=True)
class StageCopy:
    """What one stage took from another by COPY --from."""

    source: str
    paths: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StageResult:
    name: str
    index: int
    status: Literal["built", "cached", "skipped"]
    size_bytes: int
    """Of the stage's whole tree, base included; 0 when skipped."""
    why: str = ""
    copied_from: tuple[StageCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class StayedBehind:
    """What the stages that the image does not stand on hold and did not hand on to it, their own bases included."""

    size_bytes: int = 0
    stages: tuple[str, ...] = ()
    """Names of the stages that it stayed behind in, in file order."""


@dataclass(frozen=True, slots=True)
class StepResult:
    stage: str
    line: int
    instruction: str
    status: Literal["run", "cached"]
    duration_s: float
    layer_bytes: int
    why: str
    """For a step that ran: what changed since the last time. Empty for a cached one."""
    cached_from: str = ""
    """The cache of another machine that had a cached one; empty for this store."""


@dataclass(frozen=True, slots=True)
class WarningResult:
    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class BlobCount:
    """Blobs and their bytes."""

    count: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class PushedName:
    """One name in a registry. size_bytes: of its manifest or index. Several names share their blobs.

    sent, mounted, there: what became of the blobs: they went there, came from another repository of the registry, or
    were there before.
    """

    name: str
    digest: str
    media_type: str
    size_bytes: int
    sent: BlobCount
    mounted: BlobCount
    there: BlobCount


@dataclass(frozen=True, slots=True)
class OutputResult:
    type: OutputKind
    destination: str | None
    digest: str | None
    pushed: tuple[PushedName, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheResult:
    """One cache that was written. digest: of its manifest, of the image's own for an inline one; sent_bytes: of blobs."""

    type: CacheKind
    destination: str
    digest: str
    records: int
    layers: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class PlatformResult:
    """The image of one platform."""

    platform: str
    image_id: str
    manifest_digest: str
    size_bytes: int
    compressed_bytes: int | None
    layers: tuple[LayerResult, ...]
    stages: tuple[StageResult, ...]
    stayed_behind: StayedBehind = field(default_factory=StayedBehind)


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The document of `build --json`.

    Of several platforms, `image_id` and `manifest_digest` are the index' digest, `platform` names all of them with commas,
    layers, stages and sizes are those of all together, each layer once. `platforms` has one entry for each in either case.
    """

    image_id: str
    manifest_digest: str
    tags: tuple[str, ...]
    platform: str
    size_bytes: int
    compressed_bytes: int | None
    duration_s: float
    layers: tuple[LayerResult, ...]
    stages: tuple[StageResult, ...]
    steps: tuple[StepResult, ...]
    warnings: tuple[WarningResult, ...]
    outputs: tuple[OutputResult, ...]
    stayed_behind: StayedBehind = field(default_factory=StayedBehind)
    caches: tuple[CacheResult, ...] = ()
    platforms: tuple[PlatformResult, ...] = ()
