"""`--cache-from` and `--cache-to` as values."""

from __future__ import annotations

import pytest

from slimstage.cache.places import Bucket, CachePlace, CacheTarget
from slimstage.cli.cache_places import parse_cache_from, parse_cache_to
from slimstage.errors import UsageError


def test_a_bare_name_is_an_image_of_a_registry() -> None:
    place = CachePlace("registry", reference="ghcr.io/me/app:cache")
    assert parse_cache_from("ghcr.io/me/app:cache", {}) == place
    assert parse_cache_from("type=registry,ref=ghcr.io/me/app:cache", {}) == place
    assert parse_cache_to("ghcr.io/me/app:cache", {}) == CacheTarget(place, "min")


def test_a_directory_has_src_and_dest() -> None:
    digest = "sha256:" + "a" * 64
    assert parse_cache_from(f"type=local,src=/c,tag=x,digest={digest}", {}) == CachePlace(
        "local", directory="/c", tag="x", digest=digest
    )
    assert parse_cache_to("type=local,dest=/c,mode=max", {}) == CacheTarget(CachePlace("local", directory="/c"), "max")


def test_options_of_writing() -> None:
    text = "type=registry,ref=a/b,mode=max,compression=zstd,compression-level=9,force-compression=true,ignore-error=1"
    assert parse_cache_to(f"{text},oci-mediatypes=true,image-manifest=true", {}) == CacheTarget(
        CachePlace("registry", reference="a/b"), "max", "zstd", 9, forces_compression=True, ignores_errors=True
    )
    assert parse_cache_to("type=inline", {}) == CacheTarget(CachePlace("inline"))


def test_a_bucket_takes_its_region_from_the_environment_and_shows_no_secret() -> None:
    text = (
        "type=s3,bucket=b,endpoint_url=http://127.0.0.1:9,prefix=p/,name=a;b,use_path_style=true,"
        "access_key_id=AKIDX,secret_access_key=SECRETX,session_token=TOKENX"
    )
    place = parse_cache_from(text, {"AWS_REGION": "eu-1"})
    assert place.bucket == Bucket(
        "b", "eu-1", "http://127.0.0.1:9", "p/", uses_path_style=True,
        access_key_id="AKIDX", secret_access_key="SECRETX", session_token="TOKENX",
    )  # fmt: skip
    assert place.names == ("a", "b")
    shown = f"{place} {place!r}"
    assert not any(secret in shown for secret in ("AKIDX", "SECRETX", "TOKENX"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("type=gha", "GitHub's cache service"),
        ("type=azblob,name=x", "Azure"),
        ("type=registry", "ref is missing"),
        ("type=local", "dest is missing"),
        ("type=local,src=/c", 'no option "src"'),
        ("type=local,dest=/c,dest=/d", "given twice"),
        ("dest=/c", "type is missing"),
        ("type=ftp", "is not known"),
        ("a,b", "not one image name"),
        ("type=inline,mode=max", "image's own layers only"),
        ("type=registry,ref=a/b,mode=most", "is not known"),
        ("type=registry,ref=a/b,compression=zip", "is not known"),
        ("type=registry,ref=a/b,compression=zstd,compression-level=99", "not in 0 to 22"),
        ("type=registry,ref=a/b,compression=uncompressed,compression-level=1", "makes no sense"),
        ("type=registry,ref=a/b,image-manifest=false", "every registry takes"),
        ("type=registry,ref=a/b,ignore-error=perhaps", "neither true nor false"),
        ("type=registry,ref=a b", "--cache-to"),
        (f"type=registry,ref=a/b@sha256:{'a' * 64}", "has a digest"),
        ("type=s3,region=x", "bucket is missing"),
        ("type=s3,bucket=b,access_key_id=x", "belong together"),
    ],
)
def test_a_fault_is_named(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_cache_to(text, {})


def test_an_inline_cache_is_read_by_the_name_of_its_image() -> None:
    with pytest.raises(UsageError) as raised:
        parse_cache_from("type=inline", {})
    assert "type=registry" in (raised.value.hint or "")
