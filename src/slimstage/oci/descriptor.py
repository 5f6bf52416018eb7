"""Media types, platforms and descriptors.

Source: OCI image-spec v1.1, descriptor.md and image-index.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.regex import pattern
from slimstage.values import dataclass, field

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
AS_DOCKER: Mapping[str, str] = {
    OCI_LAYER: DOCKER_LAYER,
    OCI_LAYER_GZIP: DOCKER_LAYER_GZIP,
    OCI_LAYER_ZSTD: DOCKER_LAYER_ZSTD,
}
"""The types of layers, as Docker calls the same thing."""
AS_OCI: Mapping[str, str] = {docker: oci for oci, docker in AS_DOCKER.items()}


@dataclass(frozen=True, slots=True)
class Platform:
    """`os/architecture[/variant]` in Go's names, normalised (x86_64 is amd64, arm64/v8 is arm64)."""

    os: str
    architecture: str
    variant: str | None = None
    os_version: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


_ALIASES = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", None),
    "i686": ("386", None),
}
_PART = pattern(r"[A-Za-z0-9_.-]+\Z")


def parse_platform(text: str) -> Platform:
    """The platform of `linux/amd64`, `linux/arm/v7`, `arm64`. Raises FormatError for anything else."""
    parts = text.strip().lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(_PART.match(part) for part in parts):
        raise FormatError(f'"{text}" is not a platform', code="bad-platform", hint='write it like "linux/amd64"')
    if len(parts) == 1:
        if parts[0] == "local":
            return host_platform()
        if parts[0] in {"linux", "windows", "darwin", "freebsd"}:
            host = host_platform()
            return Platform(parts[0], host.architecture, host.variant)
        parts = ["linux", parts[0]]
    architecture, variant = _ALIASES.get(parts[1], (parts[1], None))
    return normalised(Platform(parts[0], architecture, parts[2] if len(parts) == 3 else variant))


def normalised(platform: Platform) -> Platform:
    """The platform in Go's names, with the variant that is implied taken away (arm64, amd64) or put there (arm).

    Source: containerd/platforms, database.go.
    """
    architecture, implied = _ALIASES.get(platform.architecture.lower(), (platform.architecture.lower(), None))
    variant = platform.variant.lower() if platform.variant else implied
    if architecture in ("arm", "arm64") and variant and variant[0].isdigit():
        variant = "v" + variant
    if architecture in ("arm", "arm64") and variant and variant.endswith(".0"):
        variant = variant.removesuffix(".0")
    if (architecture, variant) in {("arm64", "v8"), ("amd64", "v1")}:
        variant = None
    if architecture == "arm" and variant is None:
        variant = "v7"
    return Platform(platform.os.lower(), architecture, variant, platform.os_version)


def host_platform() -> Platform:
    """What RUN steps run on without emulation."""
    architecture, variant = _ALIASES.get(os.uname().machine, (os.uname().machine, None))
    if architecture.startswith("armv"):
        architecture, variant = "arm", "v" + architecture[4]
    return Platform("linux", architecture, variant)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at exact bytes. `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
