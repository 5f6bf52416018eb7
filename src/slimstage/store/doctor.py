"""Examining a store: what a killed process left, rows and files that disagree, bytes that are not what they should be.

Repairing removes what is broken or left over and nothing else: whatever is removed here can be built or pulled again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal, TypeAlias

from slimstage.digest import Digest, digest_stream
from slimstage.errors import BlobMissing, FormatError, StoreError
from slimstage.oci.config import LIMIT_BYTES, from_json
from slimstage.oci.manifest import parse_index, parse_manifest
from slimstage.store.files import guarded, open_regular, read_small, remove_tree, wait_lock
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.leftovers import dead_sessions, stale_locks, sweep, unfinished
from slimstage.store.session import leased
from slimstage.store.store import Store
from slimstage.values import dataclass

FindingCode: TypeAlias = Literal[
    "dead-session",
    "stale-lock",
    "leftover-file",
    "mount-left",
    "bad-blob",
    "bad-layer",
    "row-without-layer",
    "bad-image",
    "bad-database",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: `what` in one sentence. `is_repaired`: it was, and examining again does not find it."""

    code: FindingCode
    what: str
    is_repaired: bool = False


def examine(store: Store, repair: bool = False, *, verifies_blobs: bool = True) -> list[Finding]:
    """Everything that is wrong with the store, in the order of the parts below; an empty list when all is well.

    repair: puts right what can be. verifies_blobs: reads every blob and compares its digest (1.5 GB/s).
    Safe while others use the store: what a living process holds is left alone. Raises StoreError.
    """
    with guarded("examine the store"):
        return list(_Examiner(store, repair, verifies_blobs).findings())


class _Examiner:
    def __init__(self, store: Store, repair: bool, verifies_blobs: bool) -> None:
        self._store, self._repair, self._verifies_blobs = store, repair, verifies_blobs
        self._root = str(store.root)

    def findings(self) -> Iterator[Finding]:
        for sentence in self._store.database.check():
            yield Finding("bad-database", sentence)
        yield from self._mounts()
        yield from self._sessions()
        yield from self._leftovers()
        yield from self._layers()
        yield from self._blobs()
        yield from self._images()

    def _mounts(self) -> Iterator[Finding]:
        """Something mounted below the store that no living process of ours holds; only reported: it may be wanted."""
        held = [os.path.join(self._root, "tmp", name) for name in self._living()]
        for point in mounts_below(self._root):
            if not any(point.startswith(path + "/") for path in held):
                yield Finding("mount-left", f'something is mounted at "{point}"; unmount it with umount')

    def _living(self) -> list[str]:
        dead = set(dead_sessions(self._root))
        return [name for name in os.listdir(os.path.join(self._root, "tmp")) if name not in dead]

    def _sessions(self) -> Iterator[Finding]:
        for name in list(dead_sessions(self._root)):
            if self._repair:
                sweep(self._root, [name])
            gone = not os.path.lexists(os.path.join(self._root, "tmp", name))
            yield Finding("dead-session", f'"tmp/{name}" was left by a process that is gone', gone)
        for name in stale_locks(self._root):
            if self._repair:
                sweep(self._root, [name])
            yield Finding("stale-lock", f'"locks/session-{name}" was left by a process that is gone', self._repair)

    def _leftovers(self) -> Iterator[Finding]:
        """Temporary names of a rename that never came."""
        for path in unfinished(self._root):
            if self._repair:
                remove_tree(path)
            yield Finding("leftover-file", f'"{path}" was left by a process that is gone', self._repair)

    def _layers(self) -> Iterator[Finding]:
        directory = os.path.join(self._root, "layers")
        known = set(self._store.snapshots.list())
        with wait_lock(self._store.session.collect_lock):
            for name in sorted(os.listdir(directory)):
                path = os.path.join(directory, name)
                if name not in known or not os.path.isdir(os.path.join(path, "fs")):
                    if self._repair:
                        remove_tree(path)
                        self._forget_layer(name)
                    yield Finding("bad-layer", f'"layers/{name}" is not a layer directory', self._repair)
            rows = self._store.database.query(
                "SELECT id FROM layers UNION SELECT layer FROM records WHERE layer IS NOT NULL"
                " UNION SELECT layer FROM packed ORDER BY 1"
            )
            for (layer,) in rows:
                if not os.path.isdir(os.path.join(directory, layer, "fs")):
                    if self._repair:
                        self._forget_layer(layer)
                    yield Finding("row-without-layer", f'layer "{layer}" is in the database, not on disk', self._repair)

    def _forget_layer(self, layer: str) -> None:
        with self._store.database.transaction() as connection:
            connection.execute("DELETE FROM layers WHERE id = ?", (layer,))
            connection.execute("DELETE FROM records WHERE layer = ?", (layer,))
            connection.execute("DELETE FROM packed WHERE layer = ?", (layer,))

    def _blobs(self) -> Iterator[Finding]:
        known = {self._store.blobs.place(digest): digest for digest, _ in self._store.blobs.list()}
        for algorithm in sorted(os.listdir(os.path.join(self._root, "blobs"))):
            directory = os.path.join(self._root, "blobs", algorithm)
            for name in sorted(os.listdir(directory)):
                path = os.path.join(directory, name)
                fault = self._blob_fault(path, known.get(path))
                if fault is not None:
                    if self._repair:
                        with wait_lock(self._store.session.collect_lock):
                            remove_tree(path)
                    yield Finding("bad-blob", f'"blobs/{algorithm}/{name}" {fault}', self._repair)

    def _blob_fault(self, path: str, digest: Digest | None) -> str | None:
        if digest is None:
            return "is not named by a digest"
        try:
            with open(open_regular(path), "rb", buffering=0) as stream:
                if self._verifies_blobs and digest.startswith("sha256:") and digest_stream(stream) != digest:
                    return "has other bytes than its digest says"
        except FileNotFoundError:
            return None
        except OSError:
            return "is not a readable file"
        return None

    def _images(self) -> Iterator[Finding]:
        with wait_lock(self._store.session.collect_lock):
            held = leased(self._root)
            for image in self._store.images.list():
                fault = self._image_fault(image)
                if fault is None:
                    continue
                repaired = self._repair and f"blob {image.id}" not in held
                if repaired:
                    self._store.images.remove(image.id)
                name = image.names[0] if image.names else image.id
                yield Finding("bad-image", f'image "{name}" cannot be used: {fault}', repaired)
            for index in self._store.indexes.list():
                fault = self._index_fault(index)
                if fault is not None:
                    if self._repair:
                        self._store.indexes.remove(index.digest)
                    name = index.names[0] if index.names else index.digest
                    yield Finding("bad-image", f'image "{name}" cannot be used: {fault}', self._repair)

    def _index_fault(self, index: StoredIndex) -> str | None:
        try:
            document = parse_index(read_small(self._store.blobs.place(index.digest), LIMIT_BYTES))
        except (OSError, FormatError, StoreError) as cause:
            return f"its index cannot be read ({cause})"
        listed = {descriptor.digest for descriptor in document.manifests}
        for member in index.members:
            if member.manifest not in listed:
                return f"its index does not list {member.manifest}"
            if not os.path.exists(self._store.blobs.place(member.manifest)):
                return f'the manifest of its image for "{member.platform}" is not there'
            if self._store.images.find(member.image) is None:
                return f'its image for "{member.platform}" is not there'
        return None

    def _image_fault(self, image: StoredImage) -> str | None:
        try:
            # By path: `blobs.read` would lease it and wait for the lock that is held here.
            manifest = parse_manifest(read_small(self._store.blobs.place(image.manifest), LIMIT_BYTES))
            config = from_json(read_small(self._store.blobs.place(manifest.config.digest), LIMIT_BYTES))
        except (OSError, FormatError, BlobMissing, StoreError) as cause:
            return f"its manifest or config cannot be read ({cause})"
        if len(config.diff_ids) != len(image.layers):
            return f"it has {len(image.layers)} layers, its config {len(config.diff_ids)}"
        for layer in image.layers:
            has_tree = layer.layer is not None and os.path.isdir(
                os.path.join(self._store.snapshots.place(layer.layer), "fs")
            )
            if not has_tree and not (layer.blob and os.path.exists(self._store.blobs.place(layer.blob.digest))):
                return f"neither the tree nor the blob of layer {layer.diff_id} is there"
        return None


def mounts_below(root: str) -> list[str]:
    """Mount points below the directory in this mount namespace, sorted. Source: proc(5), "/proc/pid/mountinfo"."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            point = _unescaped(line.split(" ")[4])
            if point.startswith(root + "/"):
                found.append(point)
    return sorted(found)


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
