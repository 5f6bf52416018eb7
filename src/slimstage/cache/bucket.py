"""`type=s3`: a cache in an S3 bucket, by boto3 (the extra `s3`).

PREFIX/manifests/NAME is the artifact's manifest, PREFIX/blobs/DIGEST each blob, as BuildKit lays them out. Credentials
come from where the AWS tools look for them, or from the options; they are used for signing and are in no message.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from slimstage.cache.artifact import CacheArtifact, read_artifact
from slimstage.cache.document import LIMIT_BYTES, CacheDocument
from slimstage.cache.places import Bucket, CachePlace
from slimstage.cache.sources import Progress
from slimstage.digest import VerifyingReader
from slimstage.errors import DigestMismatch, FormatError, RegistryError, UsageError
from slimstage.oci.descriptor import OCI_MANIFEST, Descriptor
from slimstage.oci.document import LIMIT_BYTES as DOCUMENT_BYTES
from slimstage.oci.manifest import parse_manifest
from slimstage.store.blobs import BLOCK_BYTES, Blobs
from slimstage.store.source import read_checked

_AT_ONCE = 4
"""Blobs that are sent at the same time."""
_PART_BYTES = 16 << 20
_ATTEMPTS = 5
"""Connections in which a blob may come; each goes on where the one before broke."""
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class _Client:
    """One bucket. Safe for several threads, as boto3's clients are."""

    def __init__(self, bucket: Bucket) -> None:
        """Raises UsageError: boto3 is not installed, or an option that it refuses."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError as cause:
            raise UsageError(
                "a cache of type=s3 needs boto3, which is not installed",
                code="extra-missing",
                hint='install it with: pip install "slimstage[s3]"',
            ) from cause
        self._bucket = bucket
        with self.failures("open"):
            session = boto3.session.Session(
                aws_access_key_id=bucket.access_key_id,
                aws_secret_access_key=bucket.secret_access_key,
                aws_session_token=bucket.session_token,
                region_name=bucket.region,
            )
            config = Config(
                s3={"addressing_style": "path" if bucket.uses_path_style else "auto"},
                retries={"mode": "standard", "max_attempts": _ATTEMPTS},
                connect_timeout=20,
                read_timeout=60,
                max_pool_connections=2 * _AT_ONCE,
            )
            self.raw: Any = session.client("s3", endpoint_url=bucket.endpoint_url, config=config)

    def manifest_key(self, name: str) -> str:
        return f"{self._bucket.prefix}{self._bucket.manifests_prefix}{name}"

    def blob_key(self, blob: Descriptor) -> str:
        return f"{self._bucket.prefix}{self._bucket.blobs_prefix}{blob.digest}"

    def get(self, key: str, start: int = 0) -> BinaryIO | None:
        """The object's bytes from an offset on; None when it is not there."""
        more = {"Range": f"bytes={start}-"} if start else {}
        with self.failures("read"):
            try:
                return cast(BinaryIO, self.raw.get_object(Bucket=self._bucket.bucket, Key=key, **more)["Body"])
            except self.raw.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def size(self, key: str) -> int | None:
        """Of an object in bytes; None when it is not there."""
        with self.failures("look at"):
            try:
                return int(self.raw.head_object(Bucket=self._bucket.bucket, Key=key)["ContentLength"])
            except self.raw.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def put(self, key: str, data: bytes, media_type: str) -> None:
        with self.failures("write"):
            self.raw.put_object(Bucket=self._bucket.bucket, Key=key, Body=data, ContentType=media_type)

    def send(self, key: str, stream: BinaryIO) -> None:
        """In parts; an object appears when all of them are there."""
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=2)
        with self.failures("write"):
            self.raw.upload_fileobj(stream, self._bucket.bucket, key, Config=config)

    @contextmanager
    def failures(self, doing: str) -> Iterator[None]:
        """boto3's errors as ours, without any value of an option that is secret."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            raise RegistryError(
                f'{doing} the bucket "{self._bucket.bucket}": {self._hidden(_code(error))}',
                status=status if isinstance(status, int) else None,
                code="bucket-refused",
                hint="check the credentials and the region" if status in (400, 401, 403) else None,
            ) from None
        except (BotoCoreError, ValueError) as error:
            text = self._hidden(str(error))
            raise RegistryError(f'{doing} the bucket "{self._bucket.bucket}": {text}', code="bucket-failed") from None

    def _hidden(self, text: str) -> str:
        bucket = self._bucket
        for secret in (bucket.access_key_id, bucket.secret_access_key, bucket.session_token):
            text = text.replace(secret, "***") if secret else text
        return text


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


class BucketSource:
    """The first of the names that the bucket has; a `CacheSource`."""

    def __init__(self, place: CachePlace) -> None:
        assert place.bucket is not None
        self._names, self._client = place.names, _Client(place.bucket)

    def read(self) -> CacheDocument | None:
        """Raises RegistryError, FormatError."""
        for name in self._names:
            body = self._client.get(self._client.manifest_key(name))
            if body is None:
                continue
            with body, self._client.failures("read"):
                data = body.read(DOCUMENT_BYTES + 1)
            if len(data) > DOCUMENT_BYTES:
                raise FormatError(f'the manifest "{name}" is too large', code="document-too-large")
            manifest = parse_manifest(data, OCI_MANIFEST)
            return read_artifact(manifest, self.read_blob(manifest.config, LIMIT_BYTES))
        return None

    def fetch(self, blob: Descriptor, blobs: Blobs, progress: Progress) -> None:
        key = self._client.blob_key(blob)
        with blobs.writer() as writer:
            writer.expects(blob.digest)
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    with self._opened(key, blob, writer.size_bytes) as body, self._client.failures("read"):
                        while block := body.read(BLOCK_BYTES):
                            if writer.size_bytes + len(block) > blob.size:
                                raise DigestMismatch(f"{blob.size} bytes", f"more than {blob.size} bytes")
                            writer.write(block)
                            progress(len(block))
                except RegistryError as error:
                    if error.code != "bucket-failed" or attempt == _ATTEMPTS:
                        raise
                if writer.size_bytes >= blob.size:
                    break
            writer.commit(blob.digest, blob.size)

    def read_blob(self, blob: Descriptor, limit_bytes: int) -> bytes:
        with self._opened(self._client.blob_key(blob), blob, 0) as body, self._client.failures("read"):
            return read_checked(body, blob, f'blob "{blob.digest}"', limit_bytes)

    def repository(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is held open between requests."""

    def _opened(self, key: str, blob: Descriptor, start: int) -> BinaryIO:
        body = self._client.get(key, start)
        if body is None:
            raise RegistryError(f'blob "{blob.digest}" is not in the bucket any more', status=404, code="blob-missing")
        return body


class BucketSink:
    """Puts a cache under all of its names; a `CacheSink`."""

    def __init__(self, place: CachePlace) -> None:
        assert place.bucket is not None
        self._names, self._client = place.names, _Client(place.bucket)

    def write(self, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO], progress: Progress) -> int:
        """See `CacheSink.write`. Raises RegistryError, StoreError."""
        from concurrent.futures import ThreadPoolExecutor

        def send(blob: Descriptor) -> int:
            key = self._client.blob_key(blob)
            if self._client.size(key) == blob.size:
                return 0
            with open_blob(blob) as stream:
                # Verified as it goes by: under a digest lies nothing else, and a stream that ends too early sends nothing.
                self._client.send(
                    key, cast(BinaryIO, _Counted(VerifyingReader(stream, blob.digest, blob.size), progress))
                )
            return blob.size

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="s3") as pool:
            sent = sum(pool.map(send, cache.blobs))
        config = cache.manifest.config
        self._client.send(self._client.blob_key(config), io.BytesIO(cache.data))
        for name in self._names:
            self._client.put(self._client.manifest_key(name), cache.manifest.raw, OCI_MANIFEST)
        return sent


class _Counted:
    """A reader that tells how many bytes went. Fewer than asked for only at the end, which is then verified."""

    def __init__(self, stream: VerifyingReader, progress: Progress) -> None:
        self._stream, self._progress = stream, progress

    def read(self, count: int = -1) -> bytes:
        parts: list[bytes] = []
        total = 0
        while total != count and (data := self._stream.read(BLOCK_BYTES if count < 0 else count - total)):
            parts.append(data)
            total += len(data)
        self._progress(total)
        return b"".join(parts)
