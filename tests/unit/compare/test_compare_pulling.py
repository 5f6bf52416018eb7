"""What a host fetches that has the old image."""

from __future__ import annotations

from slimstage.compare.pulling import PulledImage, pull_cost
from slimstage.digest import Digest, digest_bytes
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER_GZIP, Descriptor
from slimstage.oci.manifest import build_manifest
from slimstage.tree.partread import Contents, PartialFile
from slimstage.tree.toc import Chunk


def blob(text: str, size: int) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, digest_bytes(text.encode()), size)


def image(config: str, *layers: Descriptor, tables: dict[Digest, Contents] | None = None) -> PulledImage:
    manifest = build_manifest(Descriptor(OCI_CONFIG, digest_bytes(config.encode()), 100), list(layers))
    return PulledImage(manifest, tables or {})


def table(*pieces: tuple[str, int], end: int = 0) -> Contents:
    at, files = 0, []
    for digest, size in pieces:
        chunk = Chunk(at, at + size, 0, size * 3, digest)
        files.append(PartialFile(digest, "reg", size * 3, digest, {}, (chunk,)))
        at += size
    return Contents("estargz", digest_bytes(b"toc"), at + end, tuple(files))


BASE, APP, NEW = blob("base", 5000), blob("app", 700), blob("new", 900)


def test_layers_that_are_there_cost_nothing_and_each_blob_comes_once() -> None:
    cost = pull_cost(image("a", BASE, APP), image("b", BASE, NEW, NEW))
    assert [layer.fetch_bytes for layer in cost.layers] == [0, 900, 900]
    assert cost.layer_bytes == 900
    assert cost.config_bytes == 100
    assert cost.total_bytes == cost.manifest_bytes + 100 + 900
    assert cost.from_nothing_bytes == 5900
    assert cost.in_parts_bytes is None


def test_the_same_image_costs_nothing() -> None:
    cost = pull_cost(image("a", BASE, APP), image("a", BASE, APP))
    assert cost.total_bytes == 0


def test_another_config_over_the_same_layers_costs_config_and_manifest() -> None:
    new = image("b", BASE, APP)
    cost = pull_cost(image("a", BASE, APP), new)
    assert cost.total_bytes == 100 + len(new.manifest.raw)


def test_pieces_that_are_there_are_not_fetched_and_the_table_is() -> None:
    old = image("a", APP, tables={APP.digest: table(("x", 300), ("y", 300))})
    new = image("b", NEW, tables={NEW.digest: table(("x", 300), ("z", 400), ("z", 400))})
    (layer,) = pull_cost(old, new).layers
    # 900 bytes in all, of which the table begins at 1,100 in this made-up blob: only what is missing counts.
    assert layer.in_parts_bytes == 400 + 900 - 1100


def test_a_layer_without_a_table_is_fetched_whole_beside_one_with() -> None:
    old = image("a", APP, tables={APP.digest: table(("x", 300))})
    tabled, plain = blob("tabled", 1000), blob("plain", 50)
    new = image("b", tabled, plain, tables={tabled.digest: table(("x", 300), ("y", 600))})
    cost = pull_cost(old, new)
    assert cost.in_parts_bytes == 600 + 100 + 50
    assert cost.layer_bytes == 1050
