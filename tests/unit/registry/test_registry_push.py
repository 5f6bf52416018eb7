"""Images to a registry: blobs once and in parallel, manifests last, tags, indexes; logins; what a registry refuses."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, Descriptor, Platform
from slimstage.oci.manifest import build_index, build_manifest
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.push import Pusher, is_distributable
from slimstage.registry.retry import Backoff, Pauses
from slimstage.registry.upload import Outcome
from slimstage.store.store import Store
from slimstage.together import AT_ONCE
from support.fake_registry import Answer, FakeRegistry, Request, error_body
from support.images import MemoryImage, memory_image
from support.registry_process import docker_login
from support.uploading import AfterBytes, Growing

IMAGE = memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"usr/": b"", "usr/model": bytes(range(256)) * 40})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def pusher(home: Path) -> Iterator[Pusher]:
    pauses = Pauses(Backoff(), wait=lambda _: None)
    made = Pusher({}, client=RegistryClient({}, environ={"HOME": str(home)}, pauses=pauses))
    yield made
    made.close()


def name(registry: FakeRegistry, rest: str = "team/app:1") -> Reference:
    return parse_reference(f"{registry.host}/{rest}")


def test_an_image_is_there_as_it_was(registry: FakeRegistry, pusher: Pusher) -> None:
    pushed = pusher.push(name(registry), [IMAGE])
    manifest = IMAGE.manifest()
    assert pushed.digest == manifest.digest
    assert registry.manifests["1"] == (manifest.media_type, manifest.raw)
    assert {digest for _, digest in registry.uploads.blobs} == {
        manifest.config.digest,
        *(x.digest for x in manifest.layers),
    }
    assert [blob.outcome for blob in pushed.blobs] == ["sent", "sent", "sent"]


def test_the_manifest_comes_last(registry: FakeRegistry, pusher: Pusher) -> None:
    pusher.push(name(registry), [IMAGE], tags=["2", "latest"])
    puts = [request.path for request in registry.requests if request.method == "PUT"]
    assert [path.rpartition("/")[2] for path in puts[-3:]] == ["1", "2", "latest"]
    assert all("/blobs/" in path for path in puts[:-3])
    assert registry.requests[-3:] == [request for request in registry.requests if "manifests" in request.path]


def test_without_a_tag_it_is_put_under_its_digest(registry: FakeRegistry, pusher: Pusher) -> None:
    pusher.push(name(registry, "team/app"), [IMAGE])
    assert registry.seen(f"manifests/{IMAGE.manifest().digest}", "PUT")
    assert [key for key in registry.manifests if ":" not in key] == []


def test_a_second_push_sends_nothing(registry: FakeRegistry, pusher: Pusher) -> None:
    pusher.push(name(registry), [IMAGE])
    sent = list(registry.uploads.received)
    pauses = Pauses(Backoff(), wait=lambda _: None)
    again = Pusher({}, client=RegistryClient({}, environ={}, pauses=pauses)).push(name(registry), [IMAGE])
    assert [blob.outcome for blob in again.blobs] == ["there"] * 3
    assert registry.uploads.received == sent


def test_an_index_comes_after_its_manifests(registry: FakeRegistry, pusher: Pusher) -> None:
    shared = {"etc/": b"", "etc/shared": b"x" * 5000}
    images = [
        memory_image(shared, {"bin": architecture.encode()}, architecture=architecture)
        for architecture in ("amd64", "arm64")
    ]
    index = build_index(
        image.manifest().descriptor(Platform("linux", architecture))
        for image, architecture in zip(images, ("amd64", "arm64"), strict=True)
    )
    pushed = pusher.push(name(registry), images, index=index)
    assert pushed.digest == index.digest
    assert registry.manifests["1"] == (OCI_INDEX, index.raw)
    shared_digest = images[0].manifest().layers[0].digest
    assert sum(shared_digest in request.path for request in registry.requests if request.method == "PUT") == 1
    puts = [request.path for request in registry.requests if "/manifests/" in request.path]
    assert puts[-1].endswith("/1")
    assert len(puts) == 3


def test_several_images_need_an_index(registry: FakeRegistry, pusher: Pusher) -> None:
    with pytest.raises(FormatError, match="index"):
        pusher.push(name(registry), [IMAGE, memory_image({"a": b"b"})])


def test_blobs_go_in_parallel_and_a_few_at_a_time(registry: FakeRegistry, pusher: Pusher) -> None:
    image = memory_image(*({f"f{number}": bytes([number])} for number in range(12)))
    barrier = threading.Barrier(AT_ONCE, timeout=20)
    lock, now, most = threading.Lock(), [0], [0]

    def wait(request: Request) -> Answer | None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        if len(registry.requests) <= AT_ONCE:
            barrier.wait()  # ends only when as many are on their way at once
        with lock:
            now[0] -= 1
        return None

    registry.on("HEAD", "/blobs/", wait)
    pusher.push(name(registry), [image])
    assert most[0] == AT_ONCE


def test_layers_that_nobody_may_distribute_stay_where_they_are(registry: FakeRegistry, pusher: Pusher) -> None:
    for media_type in (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ):
        assert not is_distributable(Descriptor(media_type, digest_bytes(b"x"), 1))
    assert is_distributable(Descriptor(OCI_LAYER_GZIP, digest_bytes(b"x"), 1))
    foreign = Descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", digest_bytes(b"secret"), 6)

    class Image(MemoryImage):
        def __init__(self) -> None:
            super().__init__(IMAGE.config(), [b""])
            kept = super().manifest()
            self._manifest = build_manifest(kept.config, [foreign, *kept.layers])

    registry.uploads.checks_manifests = False
    pushed = pusher.push(name(registry), [Image()])
    assert foreign.digest not in [blob.descriptor.digest for blob in pushed.blobs]
    assert registry.seen(str(foreign.digest), "HEAD") == []


def test_a_blob_that_the_registry_lost_is_sent_again(registry: FakeRegistry, pusher: Pusher) -> None:
    layer = IMAGE.manifest().layers[1].digest
    registry.on("HEAD", f"/blobs/{layer}", Answer(200, bytes(IMAGE.manifest().layers[1].size)))
    done: list[tuple[str, Outcome]] = []
    pushed = pusher.push(name(registry), [IMAGE], on_done=lambda _, blob, outcome: done.append((blob.digest, outcome)))
    assert registry.uploads.has("team/app", layer)
    assert done[-1] == (layer, "sent")
    assert [blob.outcome for blob in pushed.blobs] == ["sent"] * 3


def test_a_mount_that_lies_ends_with_a_manifest_whose_blobs_are_there(registry: FakeRegistry, pusher: Pusher) -> None:
    layer = IMAGE.manifest().layers[0]
    registry.on("POST", "mount=", Answer(201))
    answers = iter([Answer(404)])
    registry.on("HEAD", f"/blobs/{layer.digest}", lambda _: next(answers, Answer(200, bytes(layer.size))))
    pushed = pusher.push(name(registry), [IMAGE], mounts={layer.digest: [name(registry, "library/base")]})
    assert registry.uploads.has("team/app", layer.digest)
    assert [blob.outcome for blob in pushed.blobs] == ["sent"] * 3


def test_a_registry_that_loses_everything_is_said_to(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PUT", "/manifests/", Answer(404, error_body("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")))
    with pytest.raises(HttpError, match="lost a blob") as caught:
        pusher.push(name(registry), [IMAGE])
    assert caught.value.code == "blob-unknown"
    assert len(registry.seen("/manifests/", "PUT")) == 2


def test_the_first_failure_ends_the_rest(registry: FakeRegistry, pusher: Pusher) -> None:
    image = memory_image(*({f"f{number}": bytes([number])} for number in range(12)))
    registry.on("POST", "/uploads/", Answer(403, error_body("DENIED", "requested access to the resource is denied")))
    with pytest.raises(HttpError, match="may not push"):
        pusher.push(name(registry), [image])
    assert len(registry.seen("/uploads/", "POST")) <= 2 * AT_ONCE
    assert registry.manifests == {}


def test_a_manifest_that_the_registry_changes_is_an_error(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PUT", "/manifests/", Answer(201, headers={"Docker-Content-Digest": "sha256:" + "0" * 64}))
    with pytest.raises(RegistryError, match="made other bytes of it"):
        pusher.push(name(registry), [IMAGE])


def test_a_manifest_is_put_once_more_when_its_answer_is_lost(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PUT", "/manifests/", Answer(500), times=1)
    assert pusher.push(name(registry), [IMAGE]).digest == IMAGE.manifest().digest


def test_a_manifest_under_another_digest_is_refused(registry: FakeRegistry, pusher: Pusher) -> None:
    manifest = IMAGE.manifest()
    with pytest.raises(FormatError, match="another digest"):
        pusher.put_manifest(name(registry, f"team/app@sha256:{'0' * 64}"), manifest.raw, manifest.media_type)
    assert registry.requests == []


def test_what_a_registry_says_of_a_subject_is_told(registry: FakeRegistry, pusher: Pusher) -> None:
    subject = "sha256:" + "a" * 64
    registry.uploads.checks_manifests = False
    raw = IMAGE.manifest().raw
    assert pusher.put_document(name(registry), raw, IMAGE.manifest().media_type).subject is None
    registry.on("PUT", "/manifests/", Answer(201, headers={"OCI-Subject": subject}))
    assert pusher.put_document(name(registry), raw, IMAGE.manifest().media_type).subject == subject


# Logins -------------------------------------------------------------------------------------------------------


def wants_basic(registry: FakeRegistry, user: str = "ann", password: str = "s3cret-w0rd") -> str:
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def check(request: Request) -> Answer | None:
        if request.headers.get("authorization") == wanted:
            return None
        return Answer(
            401, error_body("UNAUTHORIZED", "authentication required"), {"WWW-Authenticate": 'Basic realm="r"'}
        )

    for method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"):
        registry.on(method, "/v2/", check)
    return wanted


def test_a_login_is_used(registry: FakeRegistry, pusher: Pusher, home: Path) -> None:
    docker_login(home, registry.host, "ann", "s3cret-w0rd")
    wants_basic(registry)
    assert pusher.push(name(registry), [IMAGE]).digest == IMAGE.manifest().digest


def test_without_a_login_it_is_said_what_to_do(registry: FakeRegistry, pusher: Pusher) -> None:
    wants_basic(registry)
    with pytest.raises(HttpError, match="the registry wants a login") as caught:
        pusher.push(name(registry), [IMAGE])
    assert caught.value.hint == f"slimstage login {registry.host}"
    assert caught.value.code == "unauthorized"


class Tokens:
    """A token server of the registry; each token is good for so many requests."""

    def __init__(self, registry: FakeRegistry, uses: int = 1_000) -> None:
        self.registry, self.uses, self.given, self.left = registry, uses, 0, dict[str, int]()
        self.scopes: list[list[str]] = []
        self.lock = threading.Lock()
        registry.on("GET", "/token", self.give)
        for method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"):
            registry.on(method, "/v2/", self.check)

    def give(self, request: Request) -> Answer:
        from urllib.parse import parse_qs, urlsplit

        with self.lock:
            self.given += 1
            token = f"token-{self.given}"
            self.left[token] = self.uses
            self.scopes.append(parse_qs(urlsplit(request.path).query).get("scope", []))
        return Answer(body=json.dumps({"token": token, "expires_in": 300}).encode())

    def check(self, request: Request) -> Answer | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        with self.lock:
            if self.left.get(token, 0) > 0:
                self.left[token] -= 1
                return None
        realm = f'Bearer realm="{self.registry.base}/token",service="r"'
        return Answer(401, error_body("UNAUTHORIZED", "authentication required"), {"WWW-Authenticate": realm})


def test_a_token_for_pull_and_push_is_asked_for_once(registry: FakeRegistry, pusher: Pusher) -> None:
    tokens = Tokens(registry)
    pusher.push(name(registry), [IMAGE])
    assert tokens.scopes == [["repository:team/app:pull,push"]]


def test_a_token_that_ends_in_mid_push_is_renewed(registry: FakeRegistry, pusher: Pusher) -> None:
    tokens = Tokens(registry, uses=6)
    assert pusher.push(name(registry), [IMAGE]).digest == IMAGE.manifest().digest
    assert tokens.given > 1


def test_a_mount_asks_for_the_right_to_read_its_source(registry: FakeRegistry, pusher: Pusher) -> None:
    tokens = Tokens(registry)
    layer = IMAGE.manifest().layers[0]
    registry.uploads.blobs["library/base", layer.digest] = IMAGE.blobs[layer.digest]
    pushed = pusher.push(name(registry), [IMAGE], mounts={layer.digest: [name(registry, "library/base")]})
    assert [blob.outcome for blob in pushed.blobs if blob.descriptor.digest == layer.digest] == ["mounted"]
    assert ["repository:library/base:pull", "repository:team/app:pull,push"] in tokens.scopes


# Locations elsewhere ------------------------------------------------------------------------------------------


def test_no_login_goes_to_an_upload_on_another_host(
    registry: FakeRegistry, other: FakeRegistry, pusher: Pusher, home: Path
) -> None:
    docker_login(home, registry.host, "ann", "s3cret-w0rd")
    secret = wants_basic(registry)
    other.uploads = registry.uploads  # storage that the registry sends its clients to
    registry.uploads.location = other.base + "/v2/{repository}/blobs/uploads/{session}?signature=abc"
    assert pusher.push(name(registry), [IMAGE]).digest == IMAGE.manifest().digest
    assert {request.method for request in other.requests} >= {"PUT"}
    assert all("authorization" not in request.headers for request in other.requests)
    assert secret.partition(" ")[2] not in repr(other.requests)


def test_no_login_goes_to_a_stream_on_another_host(
    registry: FakeRegistry, other: FakeRegistry, pusher: Pusher, home: Path
) -> None:
    docker_login(home, registry.host, "ann", "s3cret-w0rd")
    secret = wants_basic(registry).partition(" ")[2]
    other.uploads = registry.uploads
    registry.uploads.location = other.base + "/v2/{repository}/blobs/uploads/{session}"
    with Store.open(home / "store") as store:
        growing = Growing(store, random.Random(7).randbytes(9 << 20))
        growing.write()
        told = AfterBytes(1, growing.finish)
        assert pusher.put_growing(name(registry), growing.blob, progress=told).outcome == "sent"
        growing.close()
    (patch,) = other.seen("/uploads/", "PATCH")
    assert patch.headers["transfer-encoding"] == "chunked"
    assert secret not in repr([request.headers for request in other.requests])
    assert all("authorization" not in request.headers for request in other.requests)


def test_a_401_from_there_is_not_answered(
    registry: FakeRegistry, other: FakeRegistry, pusher: Pusher, home: Path
) -> None:
    docker_login(home, registry.host, "ann", "s3cret-w0rd")
    secret = wants_basic(registry).partition(" ")[2]
    other.on("PUT", "/", Answer(401, b"", {"WWW-Authenticate": 'Basic realm="give"'}))
    registry.uploads.location = other.base + "/v2/{repository}/blobs/uploads/{session}"
    with pytest.raises(RegistryError):
        pusher.push(name(registry), [IMAGE])
    assert all("authorization" not in request.headers for request in other.requests)
    assert secret not in repr(other.requests)


@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/latest", "file:///etc/passwd", "ftp://a.example/x", "http://u:p@127.0.0.1/x"]
)
def test_an_upload_is_not_sent_to_odd_places(registry: FakeRegistry, pusher: Pusher, place: str) -> None:
    registry.uploads.location = place
    with pytest.raises(RegistryError, match=r"not followed|plain http"):
        pusher.push(name(registry), [IMAGE])


def test_a_redirect_that_keeps_the_method_is_followed_without_the_login(
    registry: FakeRegistry, other: FakeRegistry, pusher: Pusher, home: Path
) -> None:
    docker_login(home, registry.host, "ann", "s3cret-w0rd")
    other.uploads = registry.uploads
    registry.on("PUT", "/uploads/", lambda asked: Answer(307, headers={"Location": other.base + asked.path}))
    wants_basic(registry)
    assert pusher.push(name(registry), [IMAGE]).digest == IMAGE.manifest().digest
    assert other.requests
    assert all("authorization" not in request.headers for request in other.requests)


# What a registry refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "said", "wanted", "hint"),
    [
        (403, "DENIED", "requested access to the resource is denied", "denied", "slimstage login"),
        (404, "NAME_UNKNOWN", "repository name not known to registry", "name-unknown", "make it there first"),
        (413, "", "Request Entity Too Large", "too-large", "client_max_body_size"),
        (405, "UNSUPPORTED", "The operation is unsupported.", "read-only", "read-only"),
        (403, "DENIED", "adding 1 MiB would exceed the configured upper limit of 10 MiB", "quota", "larger quota"),
        (507, "", "Insufficient Storage", "quota", "larger quota"),
    ],
)
def test_a_refusal_says_why_and_what_helps(
    registry: FakeRegistry, pusher: Pusher, status: int, code: str, said: str, wanted: str, hint: str
) -> None:
    registry.on("POST", "/uploads/", Answer(status, error_body(code, said) if code else said.encode()))
    with pytest.raises(HttpError) as caught:
        pusher.push(name(registry), [IMAGE])
    assert caught.value.code == wanted
    assert hint in (caught.value.hint or "")
    assert caught.value.message.startswith(f"{registry.host}/team/app: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_not_a_name_is_put_into_no_address(registry: FakeRegistry, pusher: Pusher) -> None:
    blob = Descriptor(OCI_LAYER, digest_bytes(b""), 0)
    for repository in ("../x", "a?b", "a#b", "A", "a%2fb", "a\r\nb"):
        with pytest.raises(FormatError):
            pusher.push(Reference(registry.host, repository, "1"), [IMAGE])
        with pytest.raises(FormatError):
            pusher.put_blob(
                name(registry),
                blob,
                lambda _: IMAGE.open_blob(blob.digest),
                mounts=[Reference(registry.host, repository)],
            )
    assert registry.requests == []
