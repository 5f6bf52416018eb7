from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import replace

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.oci.config import HistoryEntry
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.manifest import build_index
from slimstage.oci.validate import validate
from slimstage.store.verify import verify_image
from support.images import MemoryImage, layer_tar, memory_image


def codes(image: MemoryImage) -> list[str]:
    return [diagnostic.code for diagnostic in verify_image(image)]


def rebuilt(image: MemoryImage, **changes: object) -> MemoryImage:
    tars = [gzip.decompress(image.blobs[layer.digest]) for layer in image.manifest().layers]
    return MemoryImage(replace(image.config(), **changes), tars)  # type: ignore[arg-type]  # named by the test


def test_sound_image_has_no_faults() -> None:
    assert verify_image(memory_image({"a": b"1"}, {"b": b"2", ".wh.a": b""})) == []
    assert verify_image(memory_image({"a": b"1"}, is_gzip=False)) == []


def test_changed_bytes_of_a_layer_are_found() -> None:
    image = memory_image()
    (layer,) = image.manifest().layers
    image.blobs[layer.digest] = gzip.compress(layer_tar({"etc/motd": b"other"}), mtime=0)
    found = codes(image)
    assert "digest-mismatch" in found
    assert "diff-id-mismatch" in found


def test_wrong_diff_id_is_found() -> None:
    image = rebuilt(memory_image(), diff_ids=(Digest("sha256:" + "0" * 64),))
    assert codes(image) == ["diff-id-mismatch"]


def test_history_has_to_fit_the_layers() -> None:
    image = rebuilt(memory_image(), history=(HistoryEntry(empty_layer=True),))
    assert codes(image) == ["history-count"]


def test_number_of_diff_ids_has_to_fit_the_layers() -> None:
    assert codes(rebuilt(memory_image(), diff_ids=(), history=())) == ["layer-count"]


def test_missing_blobs_are_found() -> None:
    image = memory_image()
    del image.blobs[image.manifest().config.digest]
    assert codes(image) == ["blob-missing"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "b", "a"], "twice"),
        (["./a", "a"], "twice"),
        ([".wh."], "whiteout of nothing"),
        (["d/.wh..."], "whiteout of nothing"),
        ([".wh..wh.plnk"], "AUFS"),
    ],
)
def test_rules_of_layers_are_checked(names: list[str], sentence: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    image = memory_image()
    tar_bytes = out.getvalue()
    broken = MemoryImage(replace(image.config(), diff_ids=(digest_bytes(tar_bytes),)), [tar_bytes])
    found = verify_image(broken)
    assert [d.code for d in found] == ["bad-layer"]
    assert sentence in found[0].message


def test_whiteout_with_content_and_link_without_target_are_found() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        whiteout = tarfile.TarInfo(".wh.x")
        whiteout.size = 1
        tar.addfile(whiteout, io.BytesIO(b"x"))
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.LNKTYPE, "nowhere"
        tar.addfile(link)
    data = out.getvalue()
    broken = MemoryImage(replace(memory_image().config(), diff_ids=(digest_bytes(data),)), [data])
    messages = "\n".join(d.message for d in verify_image(broken))
    assert "not an empty file" in messages
    assert "not before it" in messages


def test_truncated_layer_is_found() -> None:
    image = memory_image({"big": bytes(5000)})
    (layer,) = image.manifest().layers
    image.blobs[layer.digest] = image.blobs[layer.digest][:-20]
    assert codes(image)


def test_layer_of_another_compression_than_its_type_is_found() -> None:
    tar = layer_tar({"a": b"1"})
    image = MemoryImage(replace(memory_image().config(), diff_ids=(digest_bytes(tar),)), [tar], is_gzip=False)
    lying = replace(
        image.manifest(),
        layers=(replace(image.manifest().layers[0], media_type="application/vnd.oci.image.layer.v1.tar+gzip"),),
    )
    image._manifest = lying
    image.blobs[lying.digest] = lying.raw

    def read(descriptor: Descriptor) -> bytes:
        return image.blobs[descriptor.digest]

    from slimstage.store.verify import layer_check

    facts = layer_check(image.open_blob)(lying.layers[0])
    assert "the bytes are plain" in facts.faults[0]
    assert read(lying.layers[0]) == tar


def test_index_is_checked_with_its_platforms() -> None:
    image = memory_image(architecture="arm64")
    index = build_index([image.manifest().descriptor(Platform("linux", "amd64"))])
    image.blobs[index.digest] = index.raw
    found = validate(lambda d: image.blobs[d.digest], index.descriptor())
    assert [d.code for d in found] == ["platform-mismatch"]
    assert "manifests[0]" in found[0].message
