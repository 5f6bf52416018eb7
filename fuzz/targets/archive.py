"""Image archives as files: docker-archive and oci-archive, compressed or not, read and validated."""

from __future__ import annotations

import contextlib
import json
import os

from fuzz.harness import Choices, interleaved
from fuzz.targets.tar import scratch
from fuzz.tars import BLOCK, archive, compressed, header
from slimstage.digest import digest_bytes
from slimstage.errors import SlimstageError
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor, Platform
from slimstage.oci.manifest import build_index, build_manifest
from slimstage.store.archive import Archive
from slimstage.tree.untar import looks_like_tar

MAX_BYTES = 4096
TOKENS = (b"manifest.json", b"index.json", b"Config", b"Layers", b"RepoTags", b"ustar\x0000", b"size=", b"path=")
_WANTED = Platform("linux", "amd64")
_LAYER = bytes(2 * BLOCK)
_CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_bytes(_LAYER)]}}
).encode()
_MANIFEST = build_manifest(
    Descriptor(OCI_CONFIG, digest_bytes(_CONFIG), len(_CONFIG)),
    [Descriptor(OCI_LAYER, digest_bytes(_LAYER), len(_LAYER))],
)
_INDEX = build_index([_MANIFEST.descriptor()])
_NAMES = (b"index.json", b"manifest.json", b"a", b"config.json", b"layer.tar", b"./a", b"d/", b"../x", b"oci-layout")


def check(data: bytes) -> None:
    choices = Choices(data)
    content = _content(choices)
    with scratch() as place:
        path = os.path.join(place, "image.tar")
        with open(path, "wb") as file:
            file.write(content)
        with contextlib.suppress(SlimstageError), Archive(path, place) as found:
            _read(found)
        assert os.listdir(place) == ["image.tar"], "something is left beside the archive"


def _read(found: Archive) -> None:
    names: list[str | None] = [None, *found.names()]
    for name in names[:5]:
        with contextlib.suppress(SlimstageError):
            image = found.image(_WANTED, name=name)
            config = image.config()
            for layer in image.manifest().layers:
                with image.open_blob(layer.digest) as stream:
                    looks_like_tar(stream.read(2 * BLOCK))
            assert config.platform == _WANTED


def _content(choices: Choices) -> bytes:
    kind = choices.below(5)
    if kind == 0:
        return choices.rest()
    if kind == 1:
        return compressed(archive(choices, (_INDEX.raw, _CONFIG, b"[]", _LAYER)), choices)
    members: dict[bytes, bytes] = {}
    if kind < 4:
        blobs = (_CONFIG, _LAYER, _MANIFEST.raw)
        members = {b"blobs/sha256/" + digest_bytes(blob).partition(":")[2].encode(): blob for blob in blobs}
        members[b"index.json"] = _INDEX.raw
    if kind != 2:
        tags = choices.pick((["a:1"], None, ["A B"]))
        entry = {"Config": choices.pick(("c.json", "a", "d")), "RepoTags": tags, "Layers": ["l.tar"] * choices.below(3)}
        members |= {
            b"manifest.json": json.dumps([entry] * choices.below(3)).encode(),
            b"c.json": _CONFIG,
            b"l.tar": _LAYER,
        }
    for _ in range(choices.below(4)):
        name = choices.pick((*members, *_NAMES))
        data = members.get(name, b"")
        damage = choices.below(4)
        if damage == 0:
            members[name] = choices.short()
        elif damage == 1 and data:
            at = choices.below(len(data))
            members[name] = data[:at] + choices.short() + data[at + choices.below(20) :]
        elif damage == 2:
            members[name] = data[: choices.below(1000)]
        else:
            members.pop(name, None)
    parts = []
    for name, data in members.items():
        kind_of = choices.pick((b"0",) * 12 + (b"2", b"5", b"x", b"L"))
        size = len(data) if choices.byte() < 240 else choices.number()
        parts.append(header(name, size, kind_of, b"", choices) + data + bytes(-len(data) % BLOCK))
    return compressed(b"".join(parts) + bytes(2 * BLOCK), choices)


def seeds() -> list[bytes]:
    made = [
        bytes([1 + step % 4, step % 7, step % 4, step % 3, *[(step * 5 + at * 11) % 200 for at in range(100)]])
        for step in range(40)
    ]
    return interleaved([bytes([kind]) for kind in range(5)], made)
