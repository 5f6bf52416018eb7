"""What is signed and what a signature proves."""

from __future__ import annotations

import base64
import json

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.descriptor import OCI_CONFIG, Descriptor
from slimstage.oci.manifest import parse_manifest
from slimstage.signing.keys import PrivateKey, new_private_key
from slimstage.signing.signature import (
    ANNOTATION,
    ARTIFACT_TYPE,
    PAYLOAD_TYPE,
    Signature,
    claim_of,
    cosign_tag,
    read_signature,
    signature_artifact,
    signature_layers,
    signed,
    tagged_manifest,
)
from support.images import memory_image

IMAGE = memory_image().manifest().descriptor()
OTHER = Digest("sha256:" + "1" * 64)


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_private_key()


def forged(key: PrivateKey, payload: bytes) -> Signature:
    signature = key.sign(payload)
    text = base64.b64encode(signature).decode()
    return Signature(
        payload, signature, Descriptor(PAYLOAD_TYPE, digest_bytes(payload), len(payload), None, {ANNOTATION: text})
    )


def test_the_payload_is_cosigns_byte_for_byte(key: PrivateKey) -> None:
    # As cosign 2 writes it: no blanks, the fields in this order, `optional` null without annotations.
    assert signed(key, OTHER, "example.com/team/app").payload == (
        b'{"critical":{"identity":{"docker-reference":"example.com/team/app"},"image":{"docker-manifest-digest":"'
        + OTHER.encode()
        + b'"},"type":"cosign container image signature"},"optional":null}'
    )
    annotated = json.loads(signed(key, OTHER, "a", {"b": "2", "a": "1"}).payload)
    assert annotated["optional"] == {"a": "1", "b": "2"}


def test_a_signature_proves_the_digest_and_tells_the_rest(key: PrivateKey) -> None:
    signature = signed(key, IMAGE.digest, "example.com/app", {"env": "prod"})
    claim = claim_of(signature, key.public(), IMAGE.digest)
    assert (claim.digest, claim.identity, dict(claim.annotations)) == (IMAGE.digest, "example.com/app", {"env": "prod"})


def test_another_key_another_image_or_a_changed_payload_proves_nothing(key: PrivateKey) -> None:
    signature = signed(key, IMAGE.digest, "example.com/app")
    changed = Signature(signature.payload.replace(b"example", b"evil.com"), signature.signature, signature.layer)
    for made, public, digest, code in (
        (signature, new_private_key().public(), IMAGE.digest, "wrong-key"),
        (changed, key.public(), IMAGE.digest, "wrong-key"),
        (signature, key.public(), OTHER, "digest-mismatch"),
    ):
        with pytest.raises(FormatError) as caught:
            claim_of(made, public, digest)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"critical":null}',
        b'{"critical":{"type":"something else","image":{"docker-manifest-digest":"%b"}}}' % IMAGE.digest.encode(),
        b'{"critical":{"type":"cosign container image signature","image":{"docker-manifest-digest":"sha256:x"}}}',
        b'{"critical":{"type":"cosign container image signature"}}',
        b'{"critical":{"image":{"docker-manifest-digest":"%b"},"image":{"docker-manifest-digest":"%b"}}}'
        % (IMAGE.digest.encode(), OTHER.encode()),
    ],
)
def test_a_good_signature_of_something_else_proves_nothing(key: PrivateKey, payload: bytes) -> None:
    with pytest.raises(FormatError):
        claim_of(forged(key, payload), key.public(), IMAGE.digest)


def test_the_artifact_belongs_to_the_image_and_holds_the_payload(key: PrivateKey) -> None:
    signature = signed(key, IMAGE.digest, "example.com/app")
    manifest, blobs = signature_artifact(signature, IMAGE)
    assert manifest.artifact_type == ARTIFACT_TYPE
    assert manifest.subject is not None
    assert manifest.subject.digest == IMAGE.digest
    (layer,) = signature_layers(parse_manifest(manifest.raw))
    by_digest = {digest_bytes(blob): blob for blob in blobs}
    assert read_signature(layer, by_digest[layer.digest]) == signature


def test_what_cosign_keeps_under_its_tag_lists_every_signature(key: PrivateKey) -> None:
    layers = [signed(key, IMAGE.digest, name).layer for name in "ab"]
    manifest, config = tagged_manifest(layers)
    assert manifest.config == Descriptor(OCI_CONFIG, digest_bytes(config), len(config))
    assert json.loads(config)["rootfs"] == {"type": "layers", "diff_ids": [layer.digest for layer in layers]}
    assert signature_layers(parse_manifest(manifest.raw)) == layers
    assert manifest.subject is None
    assert cosign_tag(OTHER) == "sha256-" + "1" * 64 + ".sig"


def test_layers_without_a_signature_and_signatures_that_are_none(key: PrivateKey) -> None:
    bare = Descriptor(PAYLOAD_TYPE, OTHER, 3)
    manifest, _ = tagged_manifest([bare, Descriptor("text/plain", OTHER, 3, None, {ANNOTATION: "AAAA"})])
    assert signature_layers(manifest) == []
    with pytest.raises(FormatError, match="base64"):
        read_signature(Descriptor(PAYLOAD_TYPE, OTHER, 3, None, {ANNOTATION: "@"}), b"abc")
