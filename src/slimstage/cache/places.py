"""Where a cache is read from and written to, as values: what `--cache-from` and `--cache-to` say.

Source: Docker's documentation, "Cache storage backends" (registry, local, inline, s3) and `docker buildx build`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.values import dataclass, field

CacheKind: TypeAlias = Literal["local", "inline", "registry", "s3"]
CacheMode: TypeAlias = Literal["min", "max"]
CacheCompression: TypeAlias = Literal["gzip", "zstd", "uncompressed"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in an S3 bucket. The three secrets are used for signing and shown nowhere; None: as the AWS tools find them."""

    bucket: str
    region: str | None = None
    endpoint_url: str | None = None
    prefix: str = ""
    blobs_prefix: str = "blobs/"
    manifests_prefix: str = "manifests/"
    uses_path_style: bool = False
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class CachePlace:
    """One place. reference: of `registry`. directory, tag, digest: of `local`. bucket, names: of `s3`.

    tag: the name of the cache in a directory. names: of its manifests in a bucket; the first one there is read.
    """

    kind: CacheKind
    reference: str = ""
    directory: str = ""
    tag: str = "latest"
    digest: str | None = None
    bucket: Bucket | None = None
    names: tuple[str, ...] = ("buildkit",)

    def __str__(self) -> str:
        """As it is shown to people."""
        if self.kind == "registry":
            return self.reference
        if self.kind == "local":
            return self.directory
        return f"{self.bucket}{self.names[0]}" if self.kind == "s3" else "the image itself"


@dataclass(frozen=True, slots=True)
class CacheTarget:
    """One `--cache-to`. compression None: what each layer has already, else gzip, in a directory or bucket zstd.

    ignores_errors: what goes wrong there is a warning.
    """

    place: CachePlace
    mode: CacheMode = "min"
    compression: CacheCompression | None = None
    compression_level: int | None = None
    forces_compression: bool = False
    ignores_errors: bool = False
