"""Chain IDs: names for stacks of layers.

Source: OCI image-spec v1.1, config.md, "Layer ChainID".
"""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.digest import Digest, digest_bytes


def chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """Name each stack of layers, base first.

    diff_ids: digests of the *uncompressed* layer tars, base layer first.
    Returns one chain ID per layer, in the same order; the last names the whole root filesystem.
    Raises: nothing. An empty list gives an empty list.
    """
    chains: list[Digest] = []
    for diff_id in diff_ids:
        chains.append(digest_bytes(f"{chains[-1]} {diff_id}".encode()) if chains else diff_id)
    return chains
