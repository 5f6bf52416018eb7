"""`--cache-from` and `--cache-to`: buildx's CSV to the values of `cache/places.py`.

Source: Docker's documentation, "Cache storage backends" and its pages registry, inline, local and s3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, cast

from slimstage.cache.places import Bucket, CacheCompression, CacheKind, CacheMode, CachePlace, CacheTarget
from slimstage.cli.values import one_of, parse_bool, split_csv, split_pair
from slimstage.diagnostics import did_you_mean
from slimstage.errors import FormatError, UsageError

FROM, TO = "--cache-from", "--cache-to"

_BUCKET_KEYS = frozenset({
    "bucket", "region", "endpoint_url", "prefix", "blobs_prefix", "manifests_prefix", "name", "use_path_style",
    "access_key_id", "secret_access_key", "session_token",
})  # fmt: skip
_FROM_KEYS: Mapping[str, frozenset[str]] = {
    "registry": frozenset({"ref"}),
    "local": frozenset({"src", "tag", "digest"}),
    "s3": _BUCKET_KEYS,
}
_EXPORT = frozenset({
    "mode", "compression", "compression-level", "force-compression", "ignore-error", "oci-mediatypes", "image-manifest",
})  # fmt: skip
_TO_KEYS: Mapping[str, frozenset[str]] = {
    "registry": _EXPORT | {"ref"},
    "local": _EXPORT | {"dest", "tag"},
    "inline": frozenset({"mode", "ignore-error"}),
    "s3": _EXPORT | _BUCKET_KEYS,
}
_LEVELS = {"gzip": range(10), "zstd": range(23)}

_ELSEWHERE = {
    "gha": "GitHub's cache service is not spoken here",
    "azblob": "Azure's storage is not spoken here",
}
_INSTEAD = (
    "use type=registry,ref=ghcr.io/OWNER/REPO/cache,mode=max, or type=local with actions/cache around it "
    "(docs/caching.md has both)"
)


def parse_cache_from(text: str, environment: Mapping[str, str]) -> CachePlace:
    """The place of one `--cache-from`; a bare image name is `type=registry`.

    environment: for the bucket of `type=s3`. Raises UsageError naming the key and what would be right.
    """
    kind, options = _fields(text, FROM, _FROM_KEYS)
    return _place(kind, options, FROM, environment)


def parse_cache_to(text: str, environment: Mapping[str, str]) -> CacheTarget:
    """The target of one `--cache-to`. Raises UsageError as `parse_cache_from`."""
    kind, options = _fields(text, TO, _TO_KEYS)
    mode = cast(CacheMode, one_of(options.get("mode", "min"), ("min", "max"), f"{TO} mode"))
    if kind == "inline" and mode == "max":
        raise UsageError(
            f"{TO}: an inline cache lies in the image, so it holds the image's own layers only",
            hint="leave mode=max out, or write a cache of its own with type=registry,ref=…,mode=max",
        )
    _check_form(options)
    compression, level = _compression(options)
    return CacheTarget(
        _place(kind, options, TO, environment),
        mode,
        compression,
        level,
        forces_compression=_flag(options, "force-compression"),
        ignores_errors=_flag(options, "ignore-error"),
    )


def _fields(text: str, what: str, known: Mapping[str, frozenset[str]]) -> tuple[CacheKind, dict[str, str]]:
    """(type, the other options)."""
    fields = split_csv(text, what)
    if all("=" not in field for field in fields):
        if len(fields) > 1:
            raise UsageError(f'{what}: "{text}" is not one image name', hint=f"give {what} once for each cache")
        return "registry", {"ref": text}
    options: dict[str, str] = {}
    for field in fields:
        key, value = split_pair(field, what)
        key = key.lower()
        if key in options:
            raise UsageError(f'{what}: "{key}" is given twice')
        options[key] = value
    kind = options.pop("type", None)
    if kind is None:
        raise UsageError(f"{what}: the type is missing", hint=f'begin with "type={next(iter(known))}"')
    if kind in _ELSEWHERE:
        raise UsageError(f"{what}: type={kind} is not offered: {_ELSEWHERE[kind]}", code="bad-cache", hint=_INSTEAD)
    if kind == "inline" and what == FROM:
        raise UsageError(
            f"{what}: an inline cache is read from its image", hint=f"write {what} type=registry,ref=IMAGE"
        )
    one_of(kind, known, f"{what} type")
    for key in options:
        if key not in known[kind]:
            elsewhere = [other for other, keys in known.items() if key in keys]
            raise UsageError(
                f'{what}: type={kind} has no option "{key}"',
                hint=f"it belongs to type={elsewhere[0]}" if elsewhere else did_you_mean(key, known[kind]),
                notes=(f"it has {', '.join(sorted(known[kind]))}",),
            )
    return cast(CacheKind, kind), options


def _place(kind: CacheKind, options: Mapping[str, str], what: str, environment: Mapping[str, str]) -> CachePlace:
    if kind == "inline":
        return CachePlace("inline")
    if kind == "registry":
        return CachePlace("registry", reference=_reference(options.get("ref") or _missing(what, "ref", "IMAGE"), what))
    if kind == "local":
        key = "src" if what == FROM else "dest"
        directory = options.get(key) or _missing(what, key, "DIRECTORY")
        return CachePlace("local", directory=directory, tag=options.get("tag", "latest"), digest=_digest(options, what))
    bucket = options.get("bucket") or environment.get("AWS_BUCKET") or _missing(what, "bucket", "NAME")
    place = Bucket(
        bucket,
        region=options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"),
        endpoint_url=options.get("endpoint_url"),
        prefix=options.get("prefix", ""),
        blobs_prefix=options.get("blobs_prefix", "blobs/"),
        manifests_prefix=options.get("manifests_prefix", "manifests/"),
        uses_path_style=_flag(options, "use_path_style"),
        access_key_id=options.get("access_key_id"),
        secret_access_key=options.get("secret_access_key"),
        session_token=options.get("session_token"),
    )
    if (place.access_key_id is None) != (place.secret_access_key is None):
        raise UsageError(f"{what}: access_key_id and secret_access_key belong together")
    names = tuple(name for name in options.get("name", "buildkit").split(";") if name)
    return CachePlace("s3", bucket=place, names=names or _missing(what, "name", "NAME"))


def _missing(what: str, key: str, value: str) -> NoReturn:
    raise UsageError(f"{what}: {key} is missing", hint=f"add {key}={value}")


def _reference(text: str, what: str) -> str:
    from slimstage.oci.reference import parse_reference

    try:
        reference = parse_reference(text)
    except FormatError as error:
        raise UsageError(f"{what}: {error.message}", hint=error.hint) from error
    if reference.digest and what == TO:
        raise UsageError(f'{what}: "{text}" has a digest', hint="a cache is written under a tag")
    return text


def _digest(options: Mapping[str, str], what: str) -> str | None:
    from slimstage.digest import parse_digest

    if "digest" not in options:
        return None
    try:
        return parse_digest(options["digest"])
    except FormatError as error:
        raise UsageError(f"{what}: {error.message}", hint=error.hint) from error


def _flag(options: Mapping[str, str], key: str) -> bool:
    return parse_bool(options[key], key) if key in options else False


def _check_form(options: Mapping[str, str]) -> None:
    """The two options that say what the cache looks like in a registry: here it is always an OCI image manifest."""
    for key in ("oci-mediatypes", "image-manifest"):
        if key in options and not parse_bool(options[key], f"{TO} {key}"):
            raise UsageError(
                f"{TO}: {key}=false is not offered: a cache is an OCI image manifest, which every registry takes",
                hint=f"leave {key} out",
            )


def _compression(options: Mapping[str, str]) -> tuple[CacheCompression | None, int | None]:
    kind: CacheCompression | None = None
    if "compression" in options:
        allowed = ("gzip", "zstd", "uncompressed")
        kind = cast(CacheCompression, one_of(options["compression"], allowed, f"{TO} compression"))
    if "compression-level" not in options:
        return kind, None
    text = options["compression-level"]
    if kind == "uncompressed":
        raise UsageError(f"{TO}: compression-level makes no sense with compression=uncompressed")
    levels = _LEVELS[kind or "gzip"]
    if not text.isdigit() or int(text) not in levels:
        raise UsageError(f'{TO}: compression-level "{text}" is not in {levels.start} to {levels.stop - 1}')
    return kind or "gzip", int(text)
