"""Layers for analyses: one tree as a directory of the store and as a blob, and images made of such layers."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from slimstage.analyze.blob_layer import BlobLayer, Spool
from slimstage.analyze.directory_layer import DirectoryLayer
from slimstage.analyze.layers import ImageLayers, Layer, LayerFacts
from slimstage.digest import digest_bytes
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, Descriptor
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Tree, Whiteout, make_tree


def layer_tar(tree: Tree) -> bytes:
    """The tree as a layer's tar, in the dict's order; deletions as OCI has them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, node in tree.items():
            above, _, name = path.rpartition("/")
            if isinstance(node, Whiteout):
                tar.addfile(tarfile.TarInfo(f"{above}/.wh.{name}" if above else f".wh.{name}"))
                continue
            info = tarfile.TarInfo(path)
            data = b""
            match node:
                case Dir():
                    info.type, info.mode = tarfile.DIRTYPE, node.mode
                    tar.addfile(info)
                    if node.is_opaque:
                        tar.addfile(tarfile.TarInfo(f"{path}/.wh..wh..opq"))
                    continue
                case Symlink():
                    info.type, info.linkname = tarfile.SYMTYPE, node.target
                case Hardlink():
                    info.type, info.linkname = tarfile.LNKTYPE, node.first
                case Fifo():
                    info.type = tarfile.FIFOTYPE
                case File():
                    data, info.mode, info.uid, info.gid = node.data, node.mode, node.uid, node.gid
                case str():
                    data = node.encode()
                case bytes():
                    data = node
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@contextmanager
def opened_image(
    directory: Path | None, trees: Sequence[Tree], config: ImageConfig | None = None, created_by: Sequence[str] = ()
) -> Iterator[ImageLayers]:
    """An image of these layers: below `directory` as directories of a store, without one as gzip blobs."""
    tars = [layer_tar(tree) for tree in trees]
    diff_ids = tuple(digest_bytes(tar) for tar in tars)
    made = [*created_by, *("" for _ in trees[len(created_by) :])]
    history = tuple(HistoryEntry(created_by=text) for text in made)
    config = config or ImageConfig("amd64", "linux", diff_ids=diff_ids, history=history)
    with ExitStack() as opened:
        layers: list[Layer] = []
        spool = Spool()
        opened.callback(spool.close)
        for number, (tree, tar) in enumerate(zip(trees, tars, strict=True)):
            blob = gzip.compress(tar, 1, mtime=0)
            facts = LayerFacts(diff_ids[number], digest_bytes(blob), len(blob), len(tar), made[number])
            if directory is None:
                layers.append(blob_layer(blob, spool, facts))
            else:
                layer = DirectoryLayer(make_tree(os.path.join(directory, str(number)), tree), facts)
                opened.callback(layer.close)
                layers.append(layer)
        yield ImageLayers("test", digest_bytes(b"config"), None, config, tuple(layers))


def blob_layer(blob: bytes, spool: Spool, facts: LayerFacts | None = None) -> BlobLayer:
    """A layer whose blob is these bytes."""
    media_type = OCI_LAYER_GZIP if blob[:2] == b"\x1f\x8b" else OCI_LAYER
    descriptor = Descriptor(media_type, digest_bytes(blob), len(blob))
    return BlobLayer(descriptor, lambda each: io.BytesIO(blob), facts or LayerFacts(), spool)
