"""How small files become in a layer, estimated from samples of them: what a finding saves of what is pulled.

gzip is what registries hold most; a sample is compressed as this program compresses text, so the figure is near that of
`build`'s layers and a few per cent above what zstd gives.
"""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.analyze.contents import Contents

_BLOCK_BYTES = 64 << 10
_MOST_BLOCKS = 16
_LEVEL = 6


class Compressibility:
    """Estimates for the files of one image."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents

    def compressed(self, positions: Sequence[int]) -> int | None:
        """Bytes that the files take compressed; None where neither they nor their layers tell."""
        files = self._contents.files
        sizes = [files.sizes[position] for position in positions]
        total = sum(sizes)
        if not total:
            return 0
        plain, packed = self._sampled(positions, sizes, total)
        if plain:
            return min(total, round(total * packed / plain))
        return self._by_layers(positions, sizes)

    def _sampled(self, positions: Sequence[int], sizes: Sequence[int], total: int) -> tuple[int, int]:
        """(bytes, bytes compressed) of blocks that lie evenly in all of the content."""
        from zlib_ng import zlib_ng

        step = max(_BLOCK_BYTES, total // _MOST_BLOCKS)
        plain = packed = at = 0
        wanted = step // 2 if total > _BLOCK_BYTES else 0
        for position, size in zip(positions, sizes, strict=True):
            while wanted < at + size:
                data = self._block(position, max(0, min(wanted - at, size - _BLOCK_BYTES)))
                plain += len(data)
                packed += len(zlib_ng.compress(data, _LEVEL)) if data else 0
                wanted += step
            at += size
        return plain, packed

    def _block(self, position: int, offset: int) -> bytes:
        content = self._contents.open(position)
        if content is None:
            return b""
        try:
            return content.at(offset, _BLOCK_BYTES)
        finally:
            content.close()

    def _by_layers(self, positions: Sequence[int], sizes: Sequence[int]) -> int | None:
        """By how the layers that hold them are compressed as a whole."""
        layers, of = self._contents.image.layers, self._contents.files.layers
        total = 0.0
        for position, size in zip(positions, sizes, strict=True):
            facts = layers[of[position]].facts
            if facts.compressed_bytes is None or not facts.tar_bytes:
                return None
            total += size * facts.compressed_bytes / facts.tar_bytes
        return round(total)
