"""Layers as others pack them, opened without a line of ours."""

from __future__ import annotations

import gzip
import subprocess


def unpacked(data: bytes) -> bytes:
    """The plain tar of a layer's blob: of gzip, zstd, or as it is."""
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout
    return data
