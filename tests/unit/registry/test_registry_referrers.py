"""What belongs to an image in a registry: by the API, by the fallback tag, and when somebody lies about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import OCI_INDEX, Descriptor
from slimstage.oci.manifest import build_index, descriptor_fields, parse_index
from slimstage.oci.reference import Reference
from slimstage.oci.referrer import fallback_tag, referrer_descriptor
from slimstage.registry.client import RegistryClient
from slimstage.registry.push import Pusher
from slimstage.registry.referrers import RegistryReferrers
from slimstage.registry.retry import Backoff, Pauses
from support.artifacts import SBOM, SIGNATURE, MemoryArtifact
from support.fake_referrers import FakeReferrers
from support.fake_registry import Answer, FakeRegistry, Request, fake_registry
from support.images import memory_image

IMAGE = memory_image()
SUBJECT = IMAGE.manifest().descriptor()
OTHER = memory_image({"other": b""}).manifest().descriptor()
TAG = fallback_tag(SUBJECT.digest)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.add(IMAGE)
        yield made


class Ends:
    """A client's two halves for one registry."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry, self.repository = registry, Reference(registry.host, "team/app")
        pauses = Pauses(Backoff(attempts=3), wait=lambda _: None)
        self.client = RegistryClient({}, environ={"HOME": "/nonexistent"}, pauses=pauses)
        self.pusher = Pusher({}, client=self.client)
        self.referrers = RegistryReferrers(self.client)

    def attach(self, artifact: MemoryArtifact) -> str:
        self.registry.blobs |= {str(digest): data for digest, data in artifact.blobs.items()}
        return self.referrers.attach(self.repository, artifact.manifest(), self.pusher)

    def digests(self, kind: str | None = None) -> list[Digest]:
        return [
            artifact.descriptor.digest
            for artifact in self.referrers.read(self.repository, SUBJECT.digest, kind).artifacts
        ]

    def tagged(self) -> list[dict[str, Any]]:
        """The list under the fallback tag."""
        entries: list[dict[str, Any]] = json.loads(self.registry.manifests[TAG][1])["manifests"]
        return entries


@pytest.fixture
def ends(registry: FakeRegistry) -> Iterator[Ends]:
    made = Ends(registry)
    yield made
    made.client.close()


def artifact(text: str, kind: str = SBOM, **annotations: str) -> MemoryArtifact:
    return MemoryArtifact(SUBJECT, text.encode(), kind, annotations)


def test_a_registry_with_the_api_keeps_the_list(registry: FakeRegistry, ends: Ends) -> None:
    FakeReferrers(registry)
    one, two = artifact("1", made="now"), artifact("2", SIGNATURE)
    assert [ends.attach(one), ends.attach(two)] == ["registry", "registry"]
    assert TAG not in registry.manifests
    assert not registry.seen("/referrers/")  # the header was enough
    assert ends.referrers.listed(ends.repository, SUBJECT.digest) == (
        referrer_descriptor(one.manifest()),
        referrer_descriptor(two.manifest()),
    )
    assert ends.referrers.listed(ends.repository, OTHER.digest) == ()


@pytest.mark.parametrize("filters", [True, False])
def test_artifacts_are_filtered_by_type_whether_the_registry_does_it_or_not(
    registry: FakeRegistry, ends: Ends, filters: bool
) -> None:
    FakeReferrers(registry, filters=filters)
    ends.attach(artifact("1"))
    signature = artifact("2", SIGNATURE)
    ends.attach(signature)
    assert ends.digests(SIGNATURE) == [signature.manifest().digest]
    assert f"artifactType={SIGNATURE.replace('/', '%2F')}" in registry.seen("/referrers/")[-1].path


def test_a_long_list_comes_in_pages(registry: FakeRegistry, ends: Ends) -> None:
    FakeReferrers(registry, page=2)
    made = [artifact(str(number)) for number in range(5)]
    for each in made:
        ends.attach(each)
    assert ends.digests() == [each.manifest().digest for each in made]
    assert len(registry.seen("/referrers/")) == 3


@pytest.mark.parametrize("link", ["http://other.invalid/v2/team/app/referrers/x", "/v2/another/referrers/x"])
def test_pagination_link_to_another_place_is_not_followed(registry: FakeRegistry, ends: Ends, link: str) -> None:
    FakeReferrers(registry, link=link)
    with pytest.raises(RegistryError) as caught:
        ends.digests()
    assert caught.value.code == "bad-link"


def test_pagination_without_end_is_bounded(registry: FakeRegistry, ends: Ends) -> None:
    count = iter(range(1_000_000))

    def reply(request: Request) -> Answer:
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
        path = request.path.partition("?")[0]
        return Answer(200, body, {"Link": f'<{path}?n={next(count)}>; rel="next"'})

    registry.on("GET", "/referrers/", reply)
    assert ends.digests() == []
    assert len(registry.seen("/referrers/")) == 50
    lie = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2}
    many = [{**lie, "digest": digest_bytes(b"%d" % number)} for number in range(1001)]
    body = json.dumps({"schemaVersion": 2, "manifests": many}).encode()
    registry._replies.clear()
    registry.on("GET", "/referrers/", Answer(200, body))
    with pytest.raises(FormatError, match="more than 1000"):
        ends.digests()


def test_without_the_api_the_list_is_under_the_fallback_tag(registry: FakeRegistry, ends: Ends) -> None:
    one, two = artifact("1", made="now"), artifact("2", SIGNATURE)
    assert [ends.attach(one), ends.attach(two), ends.attach(one)] == ["tag", "tag", "tag"]
    assert ends.tagged() == [descriptor_fields(referrer_descriptor(each.manifest())) for each in (one, two)]
    assert ends.tagged()[0]["annotations"] == {"made": "now"}
    assert [entry["artifactType"] for entry in ends.tagged()] == [SBOM, SIGNATURE]
    assert registry.manifests[TAG][0] == OCI_INDEX
    assert ends.digests() == [one.manifest().digest, two.manifest().digest]
    assert ends.digests(SIGNATURE) == [two.manifest().digest]


def test_a_registry_that_has_the_api_and_does_not_say_so_needs_no_tag(registry: FakeRegistry, ends: Ends) -> None:
    FakeReferrers(registry, says=False)
    assert ends.attach(artifact("1")) == "registry"
    assert TAG not in registry.manifests


def test_another_clients_list_keeps_all_its_fields(registry: FakeRegistry, ends: Ends) -> None:
    theirs = descriptor_fields(OTHER) | {"urls": ["https://example.com"], "new": {"field": 1}}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [theirs],
        "annotations": {"a": "b"},
        "more": [1],
    }
    registry.put_manifest(OCI_INDEX, json.dumps(document).encode(), TAG)
    registry.put_manifest(OTHER.media_type, memory_image({"other": b""}).manifest().raw)
    ours = artifact("1")
    ends.attach(ours)
    written = json.loads(registry.manifests[TAG][1])
    assert written == document | {"manifests": [theirs, descriptor_fields(referrer_descriptor(ours.manifest()))]}


def test_an_update_that_another_client_overwrote_is_made_again(registry: FakeRegistry, ends: Ends) -> None:
    theirs = build_index([OTHER])

    def overwritten(request: Request) -> Answer:
        answer = registry.ordinary(request)
        registry.put_manifest(OCI_INDEX, theirs.raw, TAG)
        return answer

    registry.put_manifest(OTHER.media_type, memory_image({"other": b""}).manifest().raw)
    registry.on("PUT", TAG, overwritten, times=1)
    ours = artifact("1")
    assert ends.attach(ours) == "tag"
    assert [entry["digest"] for entry in ends.tagged()] == [OTHER.digest, ours.manifest().digest]


def with_etags(
    registry: FakeRegistry, *, on_the_way: str = "", after_get: Callable[[], object] = lambda: None
) -> list[str]:
    """The list has its digest as ETag, and is put over no other one; returns what If-Match said, in order.

    on_the_way: what a proxy adds to the ETag. after_get: called when the list was read.
    """
    said: list[str] = []

    def get(request: Request) -> Answer:
        answer = registry.ordinary(request)
        if answer.status == 200:
            answer.headers["ETag"] = f'"{digest_bytes(answer.body)}{on_the_way}"'
        after_get()
        return answer

    def put(request: Request) -> Answer | None:
        said.append(request.headers.get("if-match", ""))
        there = registry.manifests.get(TAG)
        is_other = there is None or said[-1] != f'"{digest_bytes(there[1])}"'
        return Answer(412) if said[-1] and is_other else None

    registry.on("GET", f"/manifests/{TAG}", get)
    registry.on("PUT", f"/manifests/{TAG}", put)
    return said


def test_a_list_is_written_over_the_one_that_was_read_and_no_other(registry: FakeRegistry, ends: Ends) -> None:
    ends.attach(artifact("1"))
    theirs, last = build_index([OTHER]), artifact("2")
    registry.put_manifest(OTHER.media_type, memory_image({"other": b""}).manifest().raw)
    before = digest_bytes(registry.manifests[TAG][1])
    changes = iter([lambda: registry.put_manifest(OCI_INDEX, theirs.raw, TAG)])
    said = with_etags(registry, after_get=lambda: next(changes, lambda: "")())
    assert ends.attach(last) == "tag"
    assert [entry["digest"] for entry in ends.tagged()] == [OTHER.digest, last.manifest().digest]
    assert said == [f'"{before}"', f'"{theirs.digest}"']


def test_an_etag_that_something_on_the_way_has_changed_is_left_out_the_second_time(
    registry: FakeRegistry, ends: Ends
) -> None:
    ends.attach(artifact("1"))
    said = with_etags(registry, on_the_way="-gzip")
    assert ends.attach(artifact("2")) == "tag"
    assert [bool(each) for each in said] == [True, False]


@pytest.mark.parametrize("etag", ['W/"abc"', "abc", '"a"b"', ""])
def test_an_etag_that_says_nothing_of_the_bytes_is_not_sent(registry: FakeRegistry, ends: Ends, etag: str) -> None:
    def get(request: Request) -> Answer:
        answer = registry.ordinary(request)
        answer.headers["ETag"] = etag
        return answer

    ends.attach(artifact("1"))
    registry.on("GET", f"/manifests/{TAG}", get)
    ends.attach(artifact("2"))
    assert all("if-match" not in request.headers for request in registry.seen(TAG, "PUT"))


def test_an_update_that_is_overwritten_every_time_is_an_error(registry: FakeRegistry, ends: Ends) -> None:
    registry.on("PUT", TAG, Answer(201))
    with pytest.raises(RegistryError) as caught:
        ends.attach(artifact("1"))
    assert caught.value.code == "lost-update"
    assert len(registry.seen(TAG, "PUT")) == 5


@pytest.mark.parametrize("kind", ["image", "nonsense", "docker-list"])
def test_referrer_spoof_bad_fallback_tag_is_reported_and_not_overwritten(
    registry: FakeRegistry, ends: Ends, kind: str
) -> None:
    media_type, data = {
        "image": (SUBJECT.media_type, IMAGE.manifest().raw),
        "nonsense": (OCI_INDEX, b"hello"),
        "docker-list": ("application/vnd.docker.distribution.manifest.list.v2+json",
                        build_index([], uses_docker_types=True).raw),
    }[kind]  # fmt: skip
    registry.put_manifest(media_type, data, TAG)
    for do in (lambda: ends.attach(artifact("1")), ends.digests):
        with pytest.raises(FormatError) as caught:
            do()
        assert caught.value.code == "bad-referrers-tag"
        assert TAG in str(caught.value)
    assert registry.manifests[TAG] == (media_type, data)


def test_referrer_spoof_of_another_subject_is_left_out_and_told(registry: FakeRegistry, ends: Ends) -> None:
    spoof = MemoryArtifact(OTHER, b"spoof")
    gone = MemoryArtifact(SUBJECT, b"gone")
    registry.put_manifest(spoof.manifest().media_type, spoof.manifest().raw)
    lies = [descriptor_fields(referrer_descriptor(each.manifest())) for each in (spoof, gone)]
    api = FakeReferrers(registry, lies=lies)
    real = artifact("1")
    ends.attach(real)
    found = ends.referrers.read(ends.repository, SUBJECT.digest)
    assert [each.descriptor.digest for each in found.artifacts] == [real.manifest().digest]
    assert found.remarks == (
        f"{spoof.manifest().digest} is listed and belongs to something else",
        f"{gone.manifest().digest} is listed and not there",
    )
    # A type that the list claims and the document has not is no better.
    api.lies = [descriptor_fields(referrer_descriptor(real.manifest())) | {"artifactType": SIGNATURE}]
    api.filters = False
    assert ends.digests(SIGNATURE) == []


def test_an_artifact_whose_bytes_are_others_is_an_error(registry: FakeRegistry, ends: Ends) -> None:
    FakeReferrers(registry)
    one = artifact("1")
    ends.attach(one)
    registry.on("GET", f"/manifests/{one.manifest().digest}", Answer(200, one.manifest().raw.replace(b"sbom", b"mobs")))
    with pytest.raises(RegistryError) as caught:
        ends.digests()
    assert caught.value.code == "digest-mismatch"


def test_what_belongs_to_nothing_is_not_attached(ends: Ends) -> None:
    with pytest.raises(FormatError, match="belongs to nothing"):
        ends.referrers.attach(ends.repository, IMAGE.manifest(), ends.pusher)


def test_a_server_error_is_no_missing_api(registry: FakeRegistry, ends: Ends) -> None:
    registry.on("GET", "/referrers/", Answer(500))
    with pytest.raises(RegistryError, match="500"):
        ends.digests()
    assert not registry.seen(TAG)


def test_the_index_of_a_list_is_read_back(ends: Ends) -> None:
    ends.attach(artifact("1"))
    assert parse_index(ends.registry.manifests[TAG][1]).manifests[0] == Descriptor(
        SUBJECT.media_type,
        artifact("1").manifest().digest,
        len(artifact("1").manifest().raw),
        artifact_type=SBOM,
    )
