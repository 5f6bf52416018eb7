"""Resolving names to images: what a registry may get wrong, and what is said of what is not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, PlanError, RegistryError, SlimstageError
from slimstage.oci.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform
from slimstage.oci.manifest import Index, build_index, build_manifest
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.pull import Puller
from slimstage.registry.retry import Backoff, Pauses
from support.fake_registry import Answer, FakeRegistry, Request, error_body, fake_registry
from support.images import MemoryImage, memory_image

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@pytest.fixture
def puller(registry: FakeRegistry) -> Iterator[Puller]:
    made = quick_puller({})
    yield made
    made.close()


def quick_puller(settings: dict[str, dict[str, object]]) -> Puller:
    """One that does not wait between attempts, and finds no credentials."""
    pauses = Pauses(Backoff(attempts=3), wait=lambda _: None)
    return Puller(settings, client=RegistryClient(settings, environ={"HOME": "/nonexistent"}, pauses=pauses))


def name(registry: FakeRegistry, rest: str = "team/app:1") -> Reference:
    return parse_reference(f"{registry.host}/{rest}")


def code_of(do: Callable[[], object], kind: type[SlimstageError] = RegistryError) -> str:
    with pytest.raises(kind) as caught:
        do()
    return caught.value.code


def put(registry: FakeRegistry, image: MemoryImage, platform: Platform | None) -> Descriptor:
    """Serves the image by digest; its entry in an index."""
    registry.blobs |= {str(digest): data for digest, data in image.blobs.items()}
    manifest = image.manifest()
    registry.put_manifest(manifest.media_type, manifest.raw)
    return manifest.descriptor(platform)


def put_index(registry: FakeRegistry, *entries: Descriptor, tag: str | None = "1") -> Index:
    index = build_index(entries)
    registry.put_manifest(index.media_type, index.raw, tag)
    return index


# What is there ----------------------------------------------------------------------------------------------------


def test_a_tag_gives_the_manifest_and_config_as_the_registry_has_them(registry: FakeRegistry, puller: Puller) -> None:
    image = memory_image()
    registry.add(image)
    pulled = puller.resolve(name(registry), AMD64)
    assert pulled.manifest.raw == image.manifest().raw
    assert digest_bytes(pulled.config_bytes) == image.manifest().config.digest
    assert pulled.repository == Reference(registry.host, "team/app")
    accept = registry.requests[0].headers["accept"]
    assert all(media_type in accept for media_type in (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))


def test_a_name_without_a_tag_is_latest(registry: FakeRegistry, puller: Puller) -> None:
    registry.add(memory_image(), "latest")
    puller.resolve(name(registry, "app"), AMD64)
    assert registry.requests[0].path == "/v2/app/manifests/latest"


def test_a_digest_is_asked_for_even_beside_a_tag(registry: FakeRegistry, puller: Puller) -> None:
    image = memory_image()
    registry.add(image)
    digest = image.manifest().digest
    assert puller.resolve(name(registry, f"app:other@{digest}"), AMD64).manifest.digest == digest


def test_a_sha512_digest_is_checked_too(registry: FakeRegistry, puller: Puller) -> None:
    raw = memory_image().manifest().raw
    registry.add(memory_image())
    digest = "sha512:" + hashlib.sha512(raw).hexdigest()
    registry.on("GET", "manifests/sha512:", Answer(body=raw, headers={"Content-Type": OCI_MANIFEST}))
    assert puller.resolve(name(registry, f"app@{digest}"), AMD64).manifest.raw == raw
    wrong = "sha512:" + "0" * 128
    assert code_of(lambda: puller.resolve(name(registry, f"app@{wrong}"), AMD64)) == "digest-mismatch"


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain; charset=utf-8", f"{OCI_MANIFEST}; a=b"])
def test_a_content_type_that_says_little_does_no_harm(
    registry: FakeRegistry, puller: Puller, content_type: str
) -> None:
    image = memory_image()
    registry.add(image)
    registry.on("GET", "manifests/1", Answer(body=image.manifest().raw, headers={"Content-Type": content_type}))
    assert puller.resolve(name(registry), AMD64).manifest.media_type == OCI_MANIFEST


@pytest.mark.parametrize(("platform", "position"), [(AMD64, 0), (ARM64, 1)])
def test_an_index_is_resolved_to_the_platform(
    registry: FakeRegistry, puller: Puller, platform: Platform, position: int
) -> None:
    entries = [
        put(registry, memory_image({"a": each.encode()}, architecture=each), Platform("linux", each))
        for each in ("amd64", "arm64")
    ]
    inner = put_index(registry, *entries, tag=None)
    put_index(registry, inner.descriptor())
    pulled = puller.resolve(name(registry), platform)
    assert pulled.manifest.digest == entries[position].digest
    assert [request.path.rpartition("/")[2] for request in registry.requests[:3]] == [
        "1",
        inner.digest,
        entries[position].digest,
    ]


# What is not there ------------------------------------------------------------------------------------------------


def test_a_tag_that_is_not_there_names_a_near_one(registry: FakeRegistry, puller: Puller) -> None:
    for tag in ("3.11-slim", "3.12-slim", "latest"):
        registry.add(memory_image(), tag)
    with pytest.raises(PlanError, match=r'has no tag "3.11-slm"') as caught:
        puller.resolve(name(registry, "python:3.11-slm"), AMD64)
    assert caught.value.code == "base-not-found"
    assert caught.value.hint == f'did you mean "{registry.host}/python:3.11-slim"?'
    assert "there are: 3.11-slim, 3.12-slim, latest" in str(caught.value)


@pytest.mark.parametrize("by_manifest", [True, False])
def test_a_repository_that_is_not_there(registry: FakeRegistry, puller: Puller, by_manifest: bool) -> None:
    unknown = Answer(404, error_body("NAME_UNKNOWN", "repository name not known to registry"))
    registry.on("GET", "manifests/" if by_manifest else "tags/list", unknown)
    with pytest.raises(PlanError, match="there is no repository") as caught:
        puller.resolve(name(registry), AMD64)
    assert caught.value.code == "base-not-found"


def test_a_registry_that_lists_no_tags_still_says_that_one_is_missing(registry: FakeRegistry, puller: Puller) -> None:
    registry.on("GET", "tags/list", Answer(405, error_body("UNSUPPORTED", "no")))
    assert code_of(lambda: puller.resolve(name(registry), AMD64), PlanError) == "base-not-found"


def test_a_digest_that_is_not_there(registry: FakeRegistry, puller: Puller) -> None:
    reference = name(registry, "app@sha256:" + "1" * 64)
    with pytest.raises(PlanError, match="there is no image"):
        puller.resolve(reference, AMD64)
    assert registry.seen("tags/list") == []


def test_tags_follow_the_pages_and_end(registry: FakeRegistry, puller: Puller) -> None:
    def page(request: Request) -> Answer:
        last = request.path.partition("last=")[2]
        number = int(last or 0) + 1
        link = {"Link": f'</v2/team/app/tags/list?n=1000&last={number}>; rel="next"'} if number < 3 else {}
        return Answer(body=json.dumps({"tags": [f"t{number}"]}).encode(), headers=link)

    registry.on("GET", "tags/list", page)
    assert puller.tags(name(registry)) == ["t1", "t2", "t3"]


def test_pages_without_end_are_not_followed_for_ever(registry: FakeRegistry, puller: Puller) -> None:
    """Conformance: security/pagination-link."""

    def endless(request: Request) -> Answer:
        number = int(request.path.partition("last=")[2] or 0) + 1
        link = f"</v2/team/app/tags/list?last={number}>; rel=next"
        return Answer(body=b'{"tags": ["a"]}', headers={"Link": link})

    registry.on("GET", "tags/list", endless)
    assert puller.tags(name(registry)) == ["a"] * 50


def test_a_page_that_leads_to_itself_is_read_once(registry: FakeRegistry, puller: Puller) -> None:
    link = {"Link": "</v2/team/app/tags/list?n=1000>; rel=next"}
    registry.on("GET", "tags/list", Answer(body=b'{"tags": ["a"]}', headers=link))
    assert puller.tags(name(registry)) == ["a"]


# Lies -------------------------------------------------------------------------------------------------------------


def test_another_manifest_than_the_digest_names_is_refused(registry: FakeRegistry, puller: Puller) -> None:
    """Conformance: security/manifest-digest-mismatch."""
    first, second = memory_image({"a": b"1"}), memory_image({"a": b"2"})
    registry.add(first)
    body = second.manifest().raw
    answer = Answer(body=body, headers={"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": first.manifest().digest})
    registry.on("GET", "manifests/sha256", answer)
    reference = name(registry, f"app@{first.manifest().digest}")
    with pytest.raises(RegistryError, match=r"want sha256:\w+, got sha256:") as caught:
        puller.resolve(reference, AMD64)
    assert caught.value.code == "digest-mismatch"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("sha256:" + "0" * 64, "digest-mismatch"),
        ("sha512:" + "0" * 128, "digest-mismatch"),
        ("sha256:../../etc/passwd", "bad-digest"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "bad-digest"),
    ],
)
@pytest.mark.parametrize("by_digest", [True, False])
def test_the_digest_of_the_header_is_compared_and_never_taken(
    registry: FakeRegistry, puller: Puller, said: str, code: str, by_digest: bool
) -> None:
    """Conformance: security/digest-header-trusted."""
    image = memory_image()
    registry.add(image)
    headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": said}
    registry.on("GET", "manifests/", Answer(body=image.manifest().raw, headers=headers))
    reference = name(registry, f"app@{image.manifest().digest}" if by_digest else "app:1")
    assert code_of(lambda: puller.resolve(reference, AMD64)) == code


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:" + "a" * 64 + "?x=y",
        "sha256:" + "a" * 63 + "/",
    ],
)
def test_a_digest_is_checked_before_an_address_is_made_of_it(
    registry: FakeRegistry, puller: Puller, digest: str
) -> None:
    """Conformance: security/digest-grammar."""
    reference = Reference(registry.host, "app", None, Digest(digest))
    assert code_of(lambda: puller.resolve(reference, AMD64), FormatError) in ("bad-digest", "bad-reference")
    raw = json.loads(memory_image().manifest().raw)
    for place in ("config", "layers"):
        broken = json.loads(json.dumps(raw))
        (broken["config"] if place == "config" else broken["layers"][0])["digest"] = digest
        registry.put_manifest(OCI_MANIFEST, json.dumps(broken).encode(), "1")
        assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "bad-digest"
    assert registry.seen("blobs/") == []


@pytest.mark.parametrize(
    ("repository", "tag"),
    [
        ("../admin", "1"),
        ("a/../b", "1"),
        ("a?x=y", "1"),
        ("a#b", "1"),
        ("a%2fb", "1"),
        ("a\r\nX-Injected: 1", "1"),
        ("UPPER/case", "1"),
        ("a//b", "1"),
        ("a", "1/../../b"),
        ("a", "t" * 300),
        ("a", "1\r\nX: y"),
        ("a", "1?x"),
        ("a", ""),
    ],
)
def test_a_name_or_tag_is_checked_before_an_address_is_made_of_it(
    registry: FakeRegistry, puller: Puller, repository: str, tag: str
) -> None:
    """Conformance: security/name-and-tag-injection."""
    reference = Reference(registry.host, repository, tag)
    blob = Descriptor("x/y", digest_bytes(b""), 0)
    for do in (
        lambda: puller.resolve(reference, AMD64),
        lambda: puller.tags(reference),
        lambda: puller.fetch_blob(reference, blob, None),  # type: ignore[arg-type]  # it does not come so far
    ):
        assert code_of(do, FormatError) == "bad-reference"
    assert registry.requests == []


def test_indexes_in_indexes_end(registry: FakeRegistry, puller: Puller) -> None:
    """Conformance: security/index-recursion."""
    entry = put(registry, memory_image(), None)
    for _ in range(1_000):
        index = build_index([entry])
        registry.put_manifest(index.media_type, index.raw)
        entry = index.descriptor()
    registry.put_manifest(OCI_INDEX, index.raw, "1")
    assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "index-too-deep"
    assert len(registry.requests) < 10


def test_an_index_of_too_many_entries_is_refused(registry: FakeRegistry, puller: Puller) -> None:
    """Conformance: security/index-recursion."""
    entry = f'{{"mediaType":"{OCI_MANIFEST}","digest":"sha256:{"a" * 64}","size":1}}'
    body = f'{{"schemaVersion":2,"manifests":[{",".join([entry] * 20_000)}]}}'.encode()
    registry.put_manifest(OCI_INDEX, body, "1")
    assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "too-many-entries"
    body = f'{{"schemaVersion":2,"manifests":[{",".join([entry] * 100_000)}]}}'.encode()
    registry.put_manifest(OCI_INDEX, body, "2")
    assert code_of(lambda: puller.resolve(name(registry, "a:2"), AMD64)) == "response-too-large"


@pytest.mark.parametrize("architecture", ["arm64", "s390x"])
def test_a_config_for_another_platform_than_the_index_says_is_refused(
    registry: FakeRegistry, puller: Puller, architecture: str
) -> None:
    """Conformance: security/platform-confusion."""
    put_index(registry, put(registry, memory_image(architecture=architecture), AMD64))
    assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "platform-mismatch"


def test_no_image_for_the_platform_is_an_error_that_lists_what_there_is(registry: FakeRegistry, puller: Puller) -> None:
    """Conformance: security/platform-confusion."""
    put_index(registry, put(registry, memory_image(architecture="arm64"), ARM64))
    with pytest.raises(FormatError, match="no image for") as caught:
        puller.resolve(name(registry), AMD64)
    assert "linux/arm64" in str(caught.value)


@pytest.mark.parametrize("suffix", ["+json", "+prettyjws"])
def test_schema_1_is_refused_with_an_explanation(registry: FakeRegistry, puller: Puller, suffix: str) -> None:
    """Conformance: security/schema1."""
    body = b'{"schemaVersion": 1, "name": "a", "tag": "1", "fsLayers": [], "history": [], "signatures": []}'
    media_type = "application/vnd.docker.distribution.manifest.v1" + suffix
    said = "sha256:" + "1" * 64  # of the document without its signatures
    answer = Answer(body=body, headers={"Content-Type": media_type, "Docker-Content-Digest": said})
    registry.on("GET", "manifests/", answer)
    for rest in ("a:1", f"a@{said}"):
        with pytest.raises(FormatError, match="schema 1") as caught:
            puller.resolve(name(registry, rest), AMD64)
        assert caught.value.code == "schema1"


def test_a_media_type_of_schema_1_over_a_good_manifest_is_refused_too(registry: FakeRegistry, puller: Puller) -> None:
    """Else it would be a way around the digest."""
    media_type = "application/vnd.docker.distribution.manifest.v1+json"
    registry.add(memory_image())
    registry.on("GET", "manifests/", Answer(body=memory_image().manifest().raw, headers={"Content-Type": media_type}))
    reference = name(registry, "a@sha256:" + "1" * 64)
    assert code_of(lambda: puller.resolve(reference, AMD64), FormatError) == "schema1"


def test_an_artifact_is_not_taken_for_an_image(registry: FakeRegistry, puller: Puller) -> None:
    config = Descriptor("application/vnd.oci.empty.v1+json", digest_bytes(b"{}"), 2)
    manifest = build_manifest(config, [], artifact_type="application/x-model")
    registry.put_manifest(manifest.media_type, manifest.raw, "1")
    assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "not-an-image"


def test_a_config_of_other_bytes_or_size_is_refused(registry: FakeRegistry, puller: Puller) -> None:
    image = memory_image()
    registry.add(image)
    config = image.manifest().config
    good = registry.blobs[config.digest]
    for body in (good.replace(b"amd64", b"arm64"), good + b" ", good[:-1], b"x" * (9 << 20)):
        registry.blobs[config.digest] = body
        code = code_of(lambda: puller.resolve(name(registry), AMD64))
        assert code == ("response-too-large" if len(body) > 8 << 20 else "digest-mismatch")


def test_a_config_that_says_it_is_huge_is_not_fetched(registry: FakeRegistry, puller: Puller) -> None:
    manifest = build_manifest(replace(memory_image().manifest().config, size=1 << 40), [])
    registry.put_manifest(manifest.media_type, manifest.raw, "1")
    assert code_of(lambda: puller.resolve(name(registry), AMD64), FormatError) == "document-too-large"
    assert registry.seen("blobs/") == []


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[]", b'{"schemaVersion": 2}'])
def test_what_is_no_manifest_is_refused(registry: FakeRegistry, puller: Puller, body: bytes) -> None:
    registry.on("GET", "manifests/1", Answer(body=body, headers={"Content-Type": "text/html"}))
    with pytest.raises(FormatError):
        puller.resolve(name(registry), AMD64)


# Retries and mirrors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_refusal_is_asked_again(registry: FakeRegistry, puller: Puller, status: int) -> None:
    registry.add(memory_image())
    registry.on("GET", "manifests/", Answer(status, headers={"Retry-After": "3"}), times=2)
    puller.resolve(name(registry), AMD64)
    assert len(registry.seen("manifests/")) == 3


def test_the_time_that_the_registry_asks_for_is_waited_but_not_without_end(registry: FakeRegistry) -> None:
    registry.add(memory_image())
    registry.on("GET", "manifests/", Answer(429, headers={"Retry-After": "3"}), times=1)
    registry.on("GET", "manifests/", Answer(429, headers={"Retry-After": "86400"}), times=1)
    waits: list[float] = []
    pauses = Pauses(Backoff(longest_s=30), wait=waits.append, chance=lambda: 0.0)
    puller = Puller({}, client=RegistryClient({}, environ={"HOME": "/nonexistent"}, pauses=pauses))
    puller.resolve(name(registry), AMD64)
    puller.close()
    assert waits == [3, 30]


def test_a_lasting_refusal_is_told_in_the_registrys_words(registry: FakeRegistry, puller: Puller) -> None:
    registry.on("GET", "manifests/", Answer(429, error_body("TOOMANYREQUESTS", "pull rate limit")))
    with pytest.raises(RegistryError, match="answered 429: pull rate limit") as caught:
        puller.resolve(name(registry), AMD64)
    assert caught.value.code == "rate-limited"
    assert caught.value.status == 429
    assert len(registry.requests) == 3


def test_a_refusal_for_good_is_not_asked_again(registry: FakeRegistry, puller: Puller) -> None:
    registry.on("GET", "manifests/", Answer(403))
    assert code_of(lambda: puller.resolve(name(registry), AMD64)) == "denied"
    assert len(registry.requests) == 1


@pytest.fixture
def mirror() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        yield made


def mirrored(registry: FakeRegistry, *mirrors: str) -> Puller:
    return quick_puller({registry.host: {"mirrors": list(mirrors)}})


def test_a_mirror_is_asked_first_and_alone_when_it_has_the_image(registry: FakeRegistry, mirror: FakeRegistry) -> None:
    mirror.add(memory_image())
    puller = mirrored(registry, f"{mirror.base}/cache")
    puller.resolve(name(registry), AMD64)
    puller.close()
    assert registry.requests == []
    assert {request.path.partition("/manifests")[0].partition("/blobs")[0] for request in mirror.requests} == {
        "/v2/cache/team/app"
    }


@pytest.mark.parametrize("status", [404, 401, 403, 500])
def test_what_a_mirror_does_not_give_comes_from_the_registry(
    registry: FakeRegistry, mirror: FakeRegistry, status: int
) -> None:
    registry.add(memory_image())
    mirror.on("GET", "/", Answer(status))
    puller = mirrored(registry, mirror.host)
    puller.resolve(name(registry), AMD64)
    puller.close()
    assert len(mirror.seen("manifests/")) == (2 if status == 500 else 1)


def test_a_mirror_that_lies_about_a_digest_is_passed_over(registry: FakeRegistry, mirror: FakeRegistry) -> None:
    image = memory_image()
    registry.add(image)
    mirror.add(image)
    mirror.blobs[image.manifest().config.digest] = b"{}"
    puller = mirrored(registry, mirror.host)
    assert digest_bytes(puller.resolve(name(registry), AMD64).config_bytes) == image.manifest().config.digest
    puller.close()


def test_a_mirror_that_is_gone_is_not_asked_again_and_again(registry: FakeRegistry) -> None:
    registry.add(memory_image())
    with fake_registry() as gone:
        host = gone.host
    puller = mirrored(registry, host)
    for _ in range(2):
        puller.resolve(name(registry), AMD64)
    puller.close()
    endpoints = puller._client.endpoints(name(registry))
    assert [endpoint.is_mirror for endpoint in endpoints] == [False, True]


def test_not_found_is_the_registrys_word_with_the_mirrors_as_a_note(
    registry: FakeRegistry, mirror: FakeRegistry
) -> None:
    mirror.on("GET", "/", Answer(403, error_body("DENIED", "mirror is private")))
    puller = mirrored(registry, mirror.host)
    with pytest.raises(PlanError, match="has no tag") as caught:
        puller.resolve(name(registry), AMD64)
    puller.close()
    assert caught.value.code == "base-not-found"
    assert "mirror is private" in str(caught.value)
