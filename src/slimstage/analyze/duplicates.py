"""Content that an image's tree holds more than once, and files that a layer stores again with other owners or modes."""

from __future__ import annotations

from slimstage.analyze.analysis import Duplicate
from slimstage.analyze.contents import Contents
from slimstage.analyze.layers import DIGESTED_BYTES

_END_BYTES = 512


def find_duplicates(contents: Contents) -> tuple[Duplicate, ...]:
    """The largest saving first. Only files of one size are read: few have a partner."""
    files = contents.files
    by_size: dict[int, list[int]] = {}
    for position in files.seen():
        size = files.sizes[position]  # 0 at further names: a hard link is no duplicate
        if size >= DIGESTED_BYTES:
            by_size.setdefault(size, []).append(position)
    found: list[Duplicate] = []
    for size, positions in by_size.items():
        if len(positions) < 2:
            continue
        found += [
            Duplicate(size, tuple(sorted(files.paths[position] for position in same)))
            for same in _alike(contents, positions)
        ]
    return tuple(sorted(found, key=lambda each: (-each.saving_bytes, each.paths)))


def stored_again(contents: Contents) -> dict[int, int]:
    """Position of a hidden file → of the file of the same name and content that hides it: `chown`, `chmod`, a second COPY."""
    files = contents.files
    found: dict[int, int] = {}
    for low, high in contents.stack.replaced.items():
        size = files.sizes[low]
        if size < DIGESTED_BYTES or size != files.sizes[high] or files.states[low] != 1:
            continue
        digest = contents.digest(low)
        if digest is not None and digest == contents.digest(high):
            found[low] = high
    return found


def _alike(contents: Contents, positions: list[int]) -> list[list[int]]:
    """Groups of two and more with equal content. Of what has to be read first those whose ends differ go."""
    files, layers = contents.files, contents.image.layers
    if any(layers[files.layers[position]].has_digests for position in positions):
        return _by_digest(contents, positions)
    ends: dict[bytes, list[int]] = {}
    for position in positions:
        content = contents.open(position)
        if content is None:
            continue
        try:
            ends.setdefault(content.at(0, _END_BYTES) + content.at(content.size - _END_BYTES, _END_BYTES), []).append(
                position
            )
        finally:
            content.close()
    return [same for alike in ends.values() if len(alike) > 1 for same in _by_digest(contents, alike)]


def _by_digest(contents: Contents, positions: list[int]) -> list[list[int]]:
    groups: dict[bytes, list[int]] = {}
    for position in positions:
        digest = contents.digest(position)
        if digest is not None:
            groups.setdefault(digest, []).append(position)
    return [group for group in groups.values() if len(group) > 1]
