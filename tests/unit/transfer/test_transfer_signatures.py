"""Signing and verifying where images are: what is found, what is believed, and what is left alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import OCI_INDEX, OCI_MANIFEST, Descriptor
from slimstage.oci.manifest import build_index, descriptor_fields, parse_manifest
from slimstage.oci.reference import Reference
from slimstage.oci.referrer import fallback_tag
from slimstage.signing.keys import PrivateKey, new_private_key
from slimstage.signing.signature import (
    ANNOTATION,
    ARTIFACT_TYPE,
    PAYLOAD_TYPE,
    cosign_tag,
    signature_artifact,
    signature_layers,
    signed,
    tagged_manifest,
)
from slimstage.store.store import Store
from slimstage.transfer import signatures
from slimstage.transfer.copying import Copier
from slimstage.transfer.place import parse_place
from slimstage.transfer.signatures import Signer, Verification, verify
from support.copies import World, copy, quick_copier
from support.fake_referrers import FakeReferrers
from support.fake_registry import Answer, FakeRegistry, Request, fake_registry
from support.images import memory_image

IMAGE = memory_image({"a": b"1"})
SUBJECT = IMAGE.manifest().descriptor()
OTHER = memory_image({"b": b"2"}).manifest().descriptor()
TAG = cosign_tag(SUBJECT.digest)


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_private_key()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.add(IMAGE)
        yield made


@pytest.fixture
def copier() -> Iterator[Copier]:
    made = quick_copier()
    yield made
    made.close()


def name(registry: FakeRegistry, rest: str = "team/app:1") -> Reference:
    reference = parse_place(f"{registry.host}/{rest}", "NAME").reference
    assert reference is not None
    return reference


def checked(copier: Copier, place: str, key: PrivateKey, **annotations: str) -> Verification:
    with copier.source(parse_place(place, "NAME")) as source:
        return verify(source, key.public(), annotations)


def good(copier: Copier, place: str, key: PrivateKey, **annotations: str) -> int:
    return len(checked(copier, place, key, **annotations).claims)


@pytest.mark.parametrize("has_api", [True, False])
@pytest.mark.parametrize("mode", ["both", "oci-1-1", "legacy"])
def test_an_image_in_a_registry_is_signed_where_it_is_asked_for(
    registry: FakeRegistry, copier: Copier, key: PrivateKey, mode: str, has_api: bool
) -> None:
    if has_api:
        FakeReferrers(registry)
    place = f"{registry.host}/team/app:1"
    signer = Signer(key, {"env": "prod"}, mode=mode)  # type: ignore[arg-type]  # one of the three, by parametrize
    (done,) = signer.in_registry(copier.client, copier.pusher, name(registry))
    assert (done.digest, done.is_new) == (SUBJECT.digest, True)
    assert (done.artifact is not None, done.tag is not None) == (mode != "legacy", mode != "oci-1-1")
    assert (TAG in registry.manifests) == (mode != "oci-1-1")
    assert (fallback_tag(SUBJECT.digest) in registry.manifests) == (mode != "legacy" and not has_api)
    verification = checked(copier, place, key)
    (claim,) = verification.claims
    assert (claim.identity, dict(claim.annotations)) == (f"{registry.host}/team/app", {"env": "prod"})
    assert verification.remarks == ()
    assert good(copier, place, key, env="prod") == 1
    assert good(copier, place, key, env="test") == 0
    assert good(copier, place, new_private_key()) == 0


def test_signing_again_adds_nothing_and_another_key_adds_one(
    registry: FakeRegistry, copier: Copier, key: PrivateKey
) -> None:
    def sign(with_key: PrivateKey, **annotations: str) -> bool:
        signer = Signer(with_key, annotations)
        return signer.in_registry(copier.client, copier.pusher, name(registry))[0].is_new

    assert [sign(key), sign(key)] == [True, False]
    # The image, the artifact, its list and cosign's manifest, by digest; and three tags.
    assert len(registry.manifests) == 4 + 3
    other = new_private_key()
    assert [sign(other), sign(key, a="1"), sign(other)] == [True, True, False]
    layers = signature_layers(parse_manifest(registry.manifests[TAG][1]))
    assert len(layers) == 3
    assert len(checked(copier, f"{registry.host}/team/app:1", key).signatures) == 3
    assert good(copier, f"{registry.host}/team/app:1", other) == 1


def test_a_half_done_signature_is_finished_with_the_same_one(
    registry: FakeRegistry, copier: Copier, key: PrivateKey
) -> None:
    registry.on("PUT", TAG, Answer(403), times=1)
    with pytest.raises(RegistryError):
        Signer(key).in_registry(copier.client, copier.pusher, name(registry))
    (done,) = Signer(key).in_registry(copier.client, copier.pusher, name(registry))
    assert (done.is_new, done.tag) == (False, TAG)
    assert len(checked(copier, f"{registry.host}/team/app:1", key).signatures) == 1


def test_signatures_of_cosign_stay_beside_ours(registry: FakeRegistry, copier: Copier, key: PrivateKey) -> None:
    theirs = signed(new_private_key(), SUBJECT.digest, "theirs")
    annotations = {**theirs.layer.annotations, "dev.sigstore.cosign/bundle": '{"SignedEntryTimestamp":"x"}'}
    layer = Descriptor(theirs.layer.media_type, theirs.layer.digest, theirs.layer.size, annotations=annotations)
    manifest, config = tagged_manifest([layer])
    registry.put_manifest(OCI_MANIFEST, manifest.raw, TAG)
    registry.blobs |= {theirs.layer.digest: theirs.payload, digest_bytes(config): config}
    Signer(key).in_registry(copier.client, copier.pusher, name(registry))
    kept, ours = signature_layers(parse_manifest(registry.manifests[TAG][1]))
    assert kept == layer
    assert ours.media_type == PAYLOAD_TYPE


@pytest.mark.parametrize("kind", ["index", "image", "nonsense"])
def test_a_tag_that_is_something_else_is_left_as_it_is(
    registry: FakeRegistry, copier: Copier, key: PrivateKey, kind: str
) -> None:
    media_type, data = {
        "index": (OCI_INDEX, build_index([SUBJECT]).raw),
        "image": (OCI_MANIFEST, IMAGE.manifest().raw),
        "nonsense": (OCI_MANIFEST, b"{"),
    }[kind]
    registry.put_manifest(media_type, data, TAG)
    with pytest.raises(FormatError) as caught:
        Signer(key).in_registry(copier.client, copier.pusher, name(registry))
    assert caught.value.code == "bad-referrers-tag"
    assert registry.manifests[TAG] == (media_type, data)
    assert not registry.seen("", "PUT")
    assert good(copier, f"{registry.host}/team/app:1", key) == 0
    Signer(key, mode="oci-1-1").in_registry(copier.client, copier.pusher, name(registry))
    assert good(copier, f"{registry.host}/team/app:1", key) == 1


def test_a_signature_that_another_client_overwrote_is_put_again(
    registry: FakeRegistry, copier: Copier, key: PrivateKey
) -> None:
    theirs = signed(new_private_key(), SUBJECT.digest, "theirs")
    manifest, _ = tagged_manifest([theirs.layer])
    registry.blobs[theirs.layer.digest] = theirs.payload

    def overwritten(request: Request) -> Answer:
        answer = registry.ordinary(request)
        registry.put_manifest(OCI_MANIFEST, manifest.raw, TAG)
        return answer

    registry.on("PUT", TAG, overwritten, times=1)
    Signer(key).in_registry(copier.client, copier.pusher, name(registry))
    assert len(signature_layers(parse_manifest(registry.manifests[TAG][1]))) == 2
    registry.on("PUT", TAG, Answer(201))
    with pytest.raises(RegistryError) as caught:
        Signer(new_private_key()).in_registry(copier.client, copier.pusher, name(registry))
    assert caught.value.code == "lost-update"


def serve(registry: FakeRegistry, subject: Descriptor, layer: Descriptor, payload: bytes) -> None:
    """An artifact with a signature layer, whatever it says, listed for IMAGE."""
    made = signed(new_private_key(), subject.digest, "x")
    artifact, (config, _) = signature_artifact(type(made)(payload, b"", layer), subject)
    registry.blobs |= {digest_bytes(config): config, layer.digest: payload}
    registry.put_manifest(artifact.media_type, artifact.raw)
    entry = descriptor_fields(artifact.descriptor()) | {"artifactType": ARTIFACT_TYPE}
    FakeReferrers(registry, lies=[entry])


def test_referrer_spoof_a_good_signature_of_another_image_proves_nothing(
    registry: FakeRegistry, copier: Copier, key: PrivateKey
) -> None:
    theirs = signed(key, OTHER.digest, "x")
    serve(registry, SUBJECT, theirs.layer, theirs.payload)
    verification = checked(copier, f"{registry.host}/team/app:1", key)
    assert verification.claims == ()
    assert [each.fault for each in verification.signatures] == [
        f"it is for another image: want {SUBJECT.digest}, got {OTHER.digest}"
    ]


def test_referrer_spoof_an_artifact_of_another_image_is_not_looked_at(
    registry: FakeRegistry, copier: Copier, key: PrivateKey
) -> None:
    theirs = signed(key, OTHER.digest, "x")
    serve(registry, OTHER, theirs.layer, theirs.payload)
    verification = checked(copier, f"{registry.host}/team/app:1", key)
    assert verification.signatures == ()
    assert "belongs to something else" in verification.remarks[0]


@pytest.mark.parametrize("fault", ["payload", "base64", "missing", "empty", "large"])
def test_a_signature_that_is_broken_is_told_and_proves_nothing(
    registry: FakeRegistry, copier: Copier, key: PrivateKey, fault: str
) -> None:
    made = signed(key, SUBJECT.digest, "x")
    layer, payload = made.layer, made.payload
    size = (2 << 20) if fault == "large" else layer.size
    annotations = {ANNOTATION: "@@" if fault == "base64" else layer.annotations[ANNOTATION]}
    kind = "text/plain" if fault == "empty" else layer.media_type
    serve(registry, SUBJECT, Descriptor(kind, layer.digest, size, annotations=annotations), payload)
    if fault == "payload":
        registry.blobs[layer.digest] = payload.replace(b"critical", b"CRITICAL")
    elif fault == "missing":
        del registry.blobs[layer.digest]
    (found,) = checked(copier, f"{registry.host}/team/app:1", key).signatures
    assert found.claim is None
    said = {"payload": "want", "base64": "base64", "missing": "not there", "empty": "no signature", "large": "larger"}
    assert said[fault] in found.fault


def test_very_many_signatures_are_not_all_looked_at(
    registry: FakeRegistry, copier: Copier, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "MOST_SIGNATURES", 20)
    made = signed(key, OTHER.digest, "x")
    layers = [
        Descriptor(PAYLOAD_TYPE, made.layer.digest, made.layer.size, annotations={ANNOTATION: text})
        for text in (base64.b64encode(b"%d" % number).decode() for number in range(21))
    ]
    manifest, config = tagged_manifest(layers)
    registry.put_manifest(OCI_MANIFEST, manifest.raw, TAG)
    registry.blobs |= {made.layer.digest: made.payload, digest_bytes(config): config}
    verification = checked(copier, f"{registry.host}/team/app:1", key)
    assert len(verification.signatures) == 20
    assert "more than 20" in verification.remarks[0]


def test_a_signature_made_anywhere_goes_along_and_holds_everywhere(
    tmp_path: Path, registry: FakeRegistry, key: PrivateKey
) -> None:
    """Signed in the store, by another key in a layout, by a third in a registry: each is there at the end of the way."""
    world, keys = World(), [key, new_private_key(), new_private_key()]
    with Store.open(tmp_path / "s") as store:
        copier = quick_copier(store)
        copy(copier, world.write(tmp_path / "first"), "store:app:1")
        with copier.source(parse_place("store:app:1", "NAME")) as source:
            (top, *members) = Signer(keys[0]).in_store(store, source, is_recursive=True)
        assert (top.digest, len(members)) == (world.index.digest, 3)
        copy(copier, "store:app:1", f"oci:{tmp_path / 'l'}", has_referrers=True)
        layout = parse_place(f"oci:{tmp_path / 'l'}", "NAME")
        with copier.source(layout) as source:
            Signer(keys[1]).in_layout(copier.layout(layout), source)
        copy(copier, str(layout), f"{registry.host}/team/app:2", has_referrers=True)
        Signer(keys[2]).in_registry(copier.client, copier.pusher, name(registry, "team/app:2"))
        copy(copier, f"{registry.host}/team/app:2", f"oci-archive:{tmp_path / 'a.tar'}", has_referrers=True)
        done = copy(copier, f"oci-archive:{tmp_path / 'a.tar'}", "store:back:1", has_referrers=True)
        assert [cosign_tag(world.index.digest) in remark for remark in done.remarks] == [True]
        for each in keys:
            for place in (f"oci-archive:{tmp_path / 'a.tar'}", "store:back:1", f"{registry.host}/team/app:2"):
                assert good(copier, place, each) == 1
        arm: Digest = world.arm.manifest().digest
        assert good(copier, f"oci-archive:{tmp_path / 'a.tar'}:@{arm}", keys[0]) == 1
        assert good(copier, f"oci-archive:{tmp_path / 'a.tar'}:@{arm}", keys[1]) == 0
        copier.close()


def test_the_name_that_is_signed_can_be_said(registry: FakeRegistry, copier: Copier, key: PrivateKey) -> None:
    signer = Signer(key, identity="example.com/prod/app:1")
    signer.in_registry(copier.client, copier.pusher, name(registry))
    (claim,) = checked(copier, f"{registry.host}/team/app:1", key).claims
    assert claim.identity == "example.com/prod/app:1"
    payload = registry.uploads.blobs["team/app", signature_layers(parse_manifest(registry.manifests[TAG][1]))[0].digest]
    assert json.loads(payload)["critical"]["identity"] == {"docker-reference": "example.com/prod/app:1"}
