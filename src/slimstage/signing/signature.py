"""What is signed of an image, and the artifact that holds a signature, in cosign's form. Pure.

The payload is a small JSON document with the digest of the image's manifest; the signature is over its exact bytes and
stands beside it, as an annotation of the layer that the payload is.
Source: cosign, specs/SIGNATURE_SPEC.md; containers/image, docs/containers-signature.5.md ("simple signing").
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.descriptor import OCI_CONFIG, Descriptor
from slimstage.oci.document import Fields, go_json, read_object
from slimstage.oci.manifest import Manifest, build_manifest
from slimstage.oci.referrer import build_artifact
from slimstage.signing.keys import PrivateKey, PublicKey
from slimstage.values import dataclass, field

ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
LIMIT_BYTES = 1 << 20
"""Of a payload."""

_KIND = "cosign container image signature"
_KINDS = frozenset({_KIND, "atomic container signature"})


@dataclass(frozen=True, slots=True)
class Signature:
    """The payload's exact bytes, and the signature of them. `layer`: how a manifest names the payload."""

    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    layer: Descriptor


@dataclass(frozen=True, slots=True)
class Claim:
    """What a payload says, once its signature is known to be good.

    identity: the repository, or name with tag, that the signer gave; nobody but the signer vouches for it.
    """

    digest: Digest
    identity: str
    annotations: Mapping[str, str] = field(default_factory=dict)


def signed(key: PrivateKey, digest: Digest, identity: str, annotations: Mapping[str, str] | None = None) -> Signature:
    """A signature of the manifest with that digest."""
    optional = dict(sorted(annotations.items())) if annotations else None
    payload = go_json(
        {
            "critical": {
                "identity": {"docker-reference": identity},
                "image": {"docker-manifest-digest": digest},
                "type": _KIND,
            },
            "optional": optional,
        }
    )
    signature = key.sign(payload)
    text = base64.b64encode(signature).decode()
    layer = Descriptor(PAYLOAD_TYPE, digest_bytes(payload), len(payload), annotations={ANNOTATION: text})
    return Signature(payload, signature, layer)


def signature_artifact(signature: Signature, subject: Descriptor) -> tuple[Manifest, tuple[bytes, ...]]:
    """The manifest that belongs to the subject, and its blobs."""
    config = _config([signature.layer])
    described = Descriptor(OCI_CONFIG, digest_bytes(config), len(config))
    manifest = build_artifact(ARTIFACT_TYPE, [signature.layer], subject, config=described)
    return manifest, (config, signature.payload)


def tagged_manifest(layers: Sequence[Descriptor]) -> tuple[Manifest, bytes]:
    """The manifest that cosign keeps under its tag, with all signatures of one image; and its config."""
    config = _config(layers)
    return build_manifest(Descriptor(OCI_CONFIG, digest_bytes(config), len(config)), layers), config


def cosign_tag(digest: Digest, kind: str = "sig") -> str:
    """Where cosign looks: `sha256-<hex>.sig`, also `.att` and `.sbom`."""
    return f"{digest.replace(':', '-')}.{kind}"


def signature_layers(manifest: Manifest) -> list[Descriptor]:
    """The layers that are payloads with a signature."""
    return [layer for layer in manifest.layers if layer.media_type == PAYLOAD_TYPE and ANNOTATION in layer.annotations]


def read_signature(layer: Descriptor, payload: bytes) -> Signature:
    """payload: verified against the layer's digest. Raises FormatError: the annotation is no base64."""
    try:
        signature = base64.b64decode(layer.annotations.get(ANNOTATION, ""), validate=True)
    except (binascii.Error, ValueError) as cause:
        raise FormatError("the signature is not base64", code="bad-signature") from cause
    return Signature(payload, signature, layer)


def claim_of(signature: Signature, key: PublicKey, digest: Digest) -> Claim:
    """What was signed, once it is known to be for the digest and by the key.

    Raises FormatError that says why not: another key, another image, or what is no payload.
    """
    if not key.verifies(signature.signature, signature.payload):
        raise FormatError("it was made with another key, or what was signed was changed", code="wrong-key")
    fields = read_object(signature.payload, "what was signed", LIMIT_BYTES)
    critical = _needed(fields, "critical")
    kind = critical.needed_text("type")
    if kind not in _KINDS:
        raise FormatError(f'it is no signature of an image, but a "{kind[:100]}"', code="wrong-type")
    got = _needed(critical, "image").digest("docker-manifest-digest")
    if got != digest:
        raise FormatError(f"it is for another image: want {digest}, got {got}", code="digest-mismatch")
    identity = _needed(critical, "identity").text("docker-reference") or ""
    return Claim(got, identity, _annotations(fields))


def _annotations(fields: Fields) -> dict[str, str]:
    optional = fields.fields("optional")
    if optional is None:
        return {}
    # cosign's own are texts; other tools put numbers there (containers/image: a timestamp).
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in optional.values.items()
    }


def _needed(fields: Fields, name: str) -> Fields:
    return fields.fields(name) or fields.wrong(name, "an object")


def _config(layers: Sequence[Descriptor]) -> bytes:
    """cosign adds to a manifest as to an image's, so there is an image's config, of no platform and time."""
    created = "0001-01-01T00:00:00Z"
    return go_json(
        {
            "architecture": "",
            "created": created,
            "history": [{"created": created} for _ in layers],
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
            "config": {},
        }
    )
