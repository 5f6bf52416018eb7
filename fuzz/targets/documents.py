"""Manifests, indexes, image configs, layouts and references to them: JSON by choices, and as raw bytes."""

from __future__ import annotations

import base64
import json
import os

from fuzz.harness import Choices, decoded, interleaved
from fuzz.targets.tar import scratch
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import SlimstageError
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import from_json, image_id, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Platform
from slimstage.oci.manifest import Index, Manifest, build_index, build_manifest, parse_document
from slimstage.oci.select import resolve
from slimstage.oci.validate import validate
from slimstage.store.layout import Layout

MAX_BYTES = 4096
_NAMES = (
    "schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject", "artifactType",
    "digest", "size",
    "platform", "os", "architecture", "variant", "os.version", "data", "urls", "fsLayers", "created", "author",
    "rootfs", "type",
    "diff_ids", "history", "created_by", "comment", "empty_layer", "User", "ExposedPorts", "Env", "Entrypoint",
    "Cmd", "Volumes",
    "WorkingDir", "Labels", "StopSignal", "Healthcheck", "Test", "Interval", "Retries", "OnBuild", "Shell",
    "ArgsEscaped",
    "io.containerd.image.name", "org.opencontainers.image.ref.name", "imageLayoutVersion", "x", "",
)  # fmt: skip
_DIGEST = "sha256:" + "0123456789abcdef" * 4
_TEXTS = (
    OCI_MANIFEST, OCI_INDEX, OCI_CONFIG, OCI_LAYER_GZIP, _DIGEST, "sha256:" + "A" * 64, "sha512:" + "0" * 128, "sha256:",
    "linux",
    "amd64", "arm64", "v8", "", "layers", "1.0.0", "2.0.0", "PATH=/bin", "=", "a", "docker.io/library/a:latest",
    "latest", "é\u2028",
    "\ud800", "\udcff", "<&>", "2020-01-01T00:00:00Z", "application/vnd.docker.distribution.manifest.v1+json",
    "NONE", "CMD",
    base64.b64encode(b"{}").decode(), "80/tcp", "0" * 70, "\x00", "../../x", "v99999999999999999999",
)  # fmt: skip
TOKENS = tuple(json.dumps(text).encode() for text in (*_NAMES, *_TEXTS))
_WANTED = Platform("linux", "amd64")


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(8)
    content_type = choices.pick((None, None, OCI_MANIFEST, OCI_INDEX, "text/plain", "application/json; charset=utf-8"))
    document = choices.rest() if kind == 0 else _written(_config(choices) if kind < 4 else _manifest(choices), choices)
    _check_config(document)
    _check_document(document, content_type)
    if kind == 7:
        _check_layout(document)


def _written(value: object, choices: Choices) -> bytes:
    """The JSON text, now and then with something that is no JSON, or means two things."""
    text = json.dumps(value, ensure_ascii=choices.flag())
    trick = choices.byte()
    if trick > 250:
        text = text[:-1] + ',"mediaType":"a","mediaType":"b"}'
    elif trick > 245:
        text = text.replace("0", "1e999", 1)
    elif trick > 240:
        text = text.replace('"x"', "[" * (1 << choices.below(14)) + "]" * (1 << choices.below(14)), 1)
    elif trick > 235:
        text = text.replace("1", "1" * (1 << choices.below(14)), 1)
    elif trick > 230:
        text = "\ufeff" + text
    return text.encode("utf-8", "surrogatepass" if trick > 225 else "replace")


def _value(choices: Choices, depth: int = 0) -> object:
    """Any JSON value."""
    kind = choices.below(10 if depth < 5 else 7)
    if kind < 3:
        return choices.pick(_TEXTS)
    if kind == 3:
        return choices.number()
    if kind < 7:
        return (None, True, 1.5)[kind - 4]
    if kind == 7:
        return [_value(choices, depth + 1) for _ in range(choices.below(4))]
    return {choices.pick(_NAMES): _value(choices, depth + 1) for _ in range(choices.below(5))}


def _or(choices: Choices, usual: object) -> object:
    """The usual value, or now and then another."""
    return usual if choices.byte() < 225 else _value(choices)


def _descriptor(choices: Choices) -> object:
    fields = {
        "mediaType": _or(choices, choices.pick(_TEXTS[:4])),
        "digest": _or(choices, _DIGEST),
        "size": _or(choices, choices.below(300)),
    }
    if choices.flag():
        architecture = choices.pick(("amd64", "arm64", "arm"))
        fields["platform"] = _or(choices, {"os": "linux", "architecture": architecture, "variant": _or(choices, "v8")})
    if choices.flag():
        fields["annotations"] = _or(choices, {choices.pick(_NAMES): choices.pick(_TEXTS)})
    return _or(choices, fields)


def _manifest(choices: Choices) -> object:
    fields: dict[str, object] = {"schemaVersion": _or(choices, 2)}
    if choices.flag():
        fields["mediaType"] = _or(choices, choices.pick((OCI_MANIFEST, OCI_INDEX)))
    if choices.flag():
        fields["config"] = _descriptor(choices)
        fields["layers"] = _or(choices, [_descriptor(choices) for _ in range(choices.below(4))])
    if choices.flag() or "config" not in fields:
        fields["manifests"] = _or(choices, [_descriptor(choices) for _ in range(choices.below(4))])
    if choices.flag():
        fields[choices.pick(_NAMES)] = _value(choices)
    return _or(choices, fields)


def _config(choices: Choices) -> object:
    texts = [choices.pick(_TEXTS) for _ in range(choices.below(3))]
    runtime: dict[str, object] = {
        name: _or(choices, texts) for name in ("Env", "Cmd", "Entrypoint", "OnBuild", "Shell") if choices.flag()
    }
    runtime |= {
        name: _or(choices, {choices.pick(_TEXTS): {}}) for name in ("ExposedPorts", "Volumes") if choices.flag()
    }
    runtime |= {
        name: _or(choices, choices.pick(_TEXTS)) for name in ("User", "WorkingDir", "StopSignal") if choices.flag()
    }
    if choices.flag():
        runtime["Labels"] = _or(choices, {choices.pick(_TEXTS): choices.pick(_TEXTS)})
        runtime["Healthcheck"] = _or(
            choices, {"Test": texts, "Interval": choices.number(), "Retries": choices.number()}
        )
    if choices.flag():
        runtime[choices.pick(_NAMES)] = _value(choices)
    history = [
        {"created_by": choices.pick(_TEXTS), "empty_layer": _or(choices, choices.flag())}
        for _ in range(choices.below(3))
    ]
    fields: dict[str, object] = {
        "architecture": _or(choices, "amd64"),
        "os": _or(choices, "linux"),
        "config": _or(choices, runtime),
        "rootfs": _or(choices, {"type": "layers", "diff_ids": _or(choices, [_DIGEST] * choices.below(3))}),
        "history": _or(choices, history),
    }
    if choices.flag():
        fields[choices.pick(_NAMES)] = _value(choices)
    return _or(choices, fields)


def _check_config(data: bytes) -> None:
    try:
        config = from_json(data)
    except SlimstageError as error:
        _check_error(error)
        return
    written = to_json(config)
    json.loads(written, parse_constant=_no_json)
    again = from_json(written)
    assert to_json(again) == written, "reading and writing changes the config"
    assert image_id(again) == digest_bytes(written)
    assert len(chain_ids(config.diff_ids)) == len(config.diff_ids)


def _no_json(name: str) -> object:
    raise AssertionError(f"{name} is no JSON")


def _check_document(data: bytes, content_type: str | None) -> None:
    try:
        document = parse_document(data, content_type)
    except SlimstageError as error:
        _check_error(error)
        return
    assert document.raw == data
    built: Manifest | Index
    if isinstance(document, Manifest):
        built = build_manifest(document.config, document.layers, document.annotations)
    else:
        built = build_index(document.manifests, document.annotations)
    again = parse_document(built.raw)
    assert type(again) is type(document)
    descriptor = Descriptor(document.media_type, document.digest, len(data))
    blobs = {document.digest: data}

    def read(wanted: Descriptor) -> bytes:
        return blobs.get(wanted.digest, b"{}")

    for fault in validate(read, descriptor):
        assert fault.code
        str(fault)
    try:
        resolve(read, descriptor, _WANTED)
    except SlimstageError as error:
        _check_error(error)


def _check_layout(index: bytes) -> None:
    with scratch() as place:
        for name, content in (("index.json", index), ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')):
            with open(os.path.join(place, name), "wb") as file:
                file.write(content)
        os.makedirs(os.path.join(place, "blobs/sha256"))
        try:
            with Layout(place) as layout:
                for image_name in (None, *layout.names()):
                    layout.image(_WANTED, name=image_name).config()
                layout.image(_WANTED, digest=Digest(_DIGEST))
        except SlimstageError as error:
            _check_error(error)


def _check_error(error: SlimstageError) -> None:
    shown = str(error)
    assert error.code
    assert not [c for c in shown if not c.isprintable() and c != "\n"], "control characters in a message"
    decoded(shown.encode("utf-8", "surrogateescape"))


def seeds() -> list[bytes]:
    made = [
        bytes([1 + step % 7, step % 6, *[(step * 11 + at * 17 + at // 7) % 224 for at in range(120)]])
        for step in range(60)
    ]
    raw = [
        b"\0\0" + json.dumps({"schemaVersion": 2, "manifests": []}).encode(),
        b"\0\0" + json.dumps({"architecture": "amd64", "os": "linux"}).encode(),
    ]
    return interleaved(raw, made)
