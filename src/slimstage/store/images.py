"""Images in the store: names → manifest, and the layer directories that each image's layers are unpacked in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, StoreError, UsageError
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.reference import Reference, parse_reference
from slimstage.regex import pattern
from slimstage.store.database import Database
from slimstage.store.indexes import Indexes, StoredIndex
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    import sqlite3

_COLUMNS = "id, manifest, platform, layers, created_s"
_ID_PREFIX = pattern(r"(?:sha256:)?([0-9a-f]{4,64})\Z")


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of a stored image.

    blob: the bytes by which it was pulled or was packed, when they are in the blob store; None for a layer that was
    built here and not packed: it is packed anew from its directory when bytes are asked for (same bytes each time).
    layer: the unpacked directory; None when it has not been unpacked yet.
    """

    diff_id: Digest
    size_bytes: int
    """Of the uncompressed tar."""
    blob: Descriptor | None
    layer: LayerId | None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """`id` is the config's digest. `manifest` is the digest of the manifest in the blob store."""

    id: Digest
    manifest: Digest
    platform: Platform
    layers: tuple[ImageLayer, ...]
    created_s: float
    names: tuple[str, ...] = ()
    """Full references with tag: `docker.io/library/python:3.11`, `localhost/app:latest` stays as the user wrote it."""


class Images:
    """All images of one store. Every change is one transaction. Safe for threads and for several processes.

    Where a name is an index' (`indexes`), the image that is meant is its image for a platform.
    """

    def __init__(self, database: Database, indexes: Indexes) -> None:
        self._database, self._indexes = database, indexes

    def put(self, image: StoredImage, names: Sequence[str] = ()) -> None:
        """Stores it (config and manifest are in the blob store already) and moves the names to it.

        An image that is there keeps its other names; its layers become those of `image`.
        Raises FormatError for what is not a reference with a tag.
        """
        full = [full_name(name) for name in dict.fromkeys((*image.names, *names))]
        row = (image.id, image.manifest, _platform_to(image.platform), _layers_to(image.layers), image.created_s)
        if self._has(row, full):
            return  # built again from the cache: a transaction would cost three syncs of the disk
        with self._database.transaction() as connection:
            connection.execute(
                f"INSERT INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " manifest = excluded.manifest, platform = excluded.platform, layers = excluded.layers",
                row,
            )
            for name in full:
                _move(connection, name, image.id)

    def _has(self, row: tuple[Any, ...], names: Sequence[str]) -> bool:
        found = self._database.query(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (row[0],))
        if not found or tuple(found[0][:4]) != row[:4]:
            return False
        known = {name for (name,) in self._database.query("SELECT name FROM names WHERE image = ?", (row[0],))}
        return known.issuperset(names)

    def find(self, reference: str, platform: Platform | None = None) -> StoredImage | None:
        """By name (`:latest` and the default registry are implied), by `name@digest`, by ID or an unambiguous prefix of one.

        A name wins over a prefix. What an index is called means its image for `platform`: None when it has none for it;
        without a platform this host's, or the first. Such an image has the manifest that the index lists, and its own names.
        Raises UsageError for a prefix that fits several images.
        """
        found = self._by_name(reference)
        if found is not None:
            return found
        index = self.index(reference)
        if index is not None:
            return self.member(index, platform)
        match = _ID_PREFIX.match(reference)
        rows = self._starting("sha256:" + match[1]) if match else []
        return _images(self._database, rows)[0] if rows else None

    def index(self, reference: str) -> StoredIndex | None:
        """The index of that name, `name@digest`, digest or unambiguous prefix of one; None where an image is meant.

        Raises UsageError for a prefix that fits several.
        """
        try:
            parsed = parse_reference(reference)
        except FormatError:
            parsed = None
        if parsed is not None and parsed.digest is None:
            found = self._indexes.named(str(parsed.with_default_tag()))
            if found is not None:
                return found
        elif parsed is not None:
            found = self._indexes.get(str(parsed.digest))
            if found is not None and any(_repository(name) == parsed.repository_name for name in found.names):
                return found
            return None
        match = _ID_PREFIX.match(reference)
        if not match or self._by_name(reference) is not None:
            return None
        low = "sha256:" + match[1]
        indexes, images = self._indexes.starting(low), self._starting(low)
        everything = [*(each.digest for each in indexes), *(str(row[0]) for row in images)]
        if len(everything) > 1:
            raise UsageError(
                f'"{reference}" fits several images',
                code="ambiguous-id",
                notes=everything,
                hint="give more digits",
            )
        return indexes[0] if indexes else None

    def member(self, index: StoredIndex, platform: Platform | None = None) -> StoredImage | None:
        """The index' image for the platform; None: this host's, or the first. Its manifest is the one that the index lists."""
        member = index.member(platform)
        found = self._one("id = ?", member.image) if member else None
        return replace(found, manifest=member.manifest) if member and found else None

    def _starting(self, low: str) -> Sequence[tuple[Any, ...]]:
        return self._database.query(
            f"SELECT {_COLUMNS} FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 3", (low, low + "g")
        )

    def list(self) -> list[StoredImage]:
        """All, newest first."""
        return _images(
            self._database, self._database.query(f"SELECT {_COLUMNS} FROM images ORDER BY created_s DESC, id")
        )

    def names(self) -> Sequence[str]:
        """Every name, those of indexes too, sorted: for near ones when one is not found."""
        rows = self._database.query("SELECT name FROM names UNION SELECT name FROM index_names ORDER BY name")
        return [str(row[0]) for row in rows]

    def tag(self, image: Digest, name: str) -> None:
        """Moves the name to the image. Raises StoreError when there is no such image, FormatError for a bad name."""
        full = full_name(name)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM images WHERE id = ?", (image,)).fetchone() is None:
                raise StoreError(f'image "{image}" is not in the store', code="image-missing")
            _move(connection, full, image)

    def untag(self, name: str) -> bool:
        """Removes the name; False when it was not there. The image stays until it is removed or pruned."""
        return self._database.change("DELETE FROM names WHERE name = ?", (full_name(name),)) > 0

    def remove(self, image: Digest) -> None:
        """Removes the image and all its names; its layers go with the next prune unless something else needs them."""
        self._database.change("DELETE FROM images WHERE id = ?", (image,))

    def _by_name(self, reference: str) -> StoredImage | None:
        try:
            parsed = parse_reference(reference)
        except FormatError:
            return None
        if parsed.digest is None:
            return self._one("id = (SELECT image FROM names WHERE name = ?)", str(parsed.with_default_tag()))
        found = self._one("manifest = ?", parsed.digest) or self._one("id = ?", parsed.digest)
        # `name@digest` promises both: the digest alone would answer for an image of another name.
        if found is not None and any(_repository(name) == parsed.repository_name for name in found.names):
            return found
        return None

    def _one(self, where: str, value: str) -> StoredImage | None:
        images = _images(self._database, self._database.query(f"SELECT {_COLUMNS} FROM images WHERE {where}", (value,)))
        return images[0] if images else None


def _move(connection: sqlite3.Connection, name: str, image: Digest) -> None:
    """The name to the image, from whichever image or index had it."""
    connection.execute("DELETE FROM index_names WHERE name = ?", (name,))
    connection.execute("INSERT OR REPLACE INTO names (name, image) VALUES (?, ?)", (name, image))


def _images(database: Database, rows: Sequence[tuple[Any, ...]]) -> list[StoredImage]:
    names: dict[str, list[str]] = {}
    if rows:
        one = (rows[0][0],) if len(rows) == 1 else ()
        where = "WHERE image = ?" if one else ""
        for name, image in database.query(f"SELECT name, image FROM names {where} ORDER BY name", one):
            names.setdefault(image, []).append(name)
    return [
        StoredImage(
            Digest(identity),
            Digest(manifest),
            _platform_from(platform),
            _layers_from(layers),
            created_s,
            tuple(names.get(identity, ())),
        )
        for identity, manifest, platform, layers, created_s in rows
    ]


def full_name(name: str) -> str:
    """The name as the store keeps it: with registry and tag. Raises FormatError: none, or one with a digest."""
    parsed = parse_reference(name)
    if parsed.digest is not None:
        raise FormatError(f'"{name}" has a digest: an image is named by a tag', code="bad-reference")
    return str(parsed.with_default_tag())


def _repository(name: str) -> str:
    reference: Reference = parse_reference(name)
    return reference.repository_name


def _platform_to(platform: Platform) -> str:
    return json.dumps([platform.os, platform.architecture, platform.variant, platform.os_version])


def _platform_from(text: str) -> Platform:
    return Platform(*json.loads(text))


def _layers_to(layers: Iterable[ImageLayer]) -> str:
    rows = []
    for layer in layers:
        blob = layer.blob
        described = blob and [blob.media_type, blob.digest, blob.size, dict(blob.annotations)]
        rows.append([layer.diff_id, layer.size_bytes, described, layer.layer, layer.created_by])
    return json.dumps(rows, separators=(",", ":"))


def _layers_from(text: str) -> tuple[ImageLayer, ...]:
    layers = []
    for diff_id, size, blob, layer, created_by in json.loads(text):
        described = blob and Descriptor(blob[0], parse_digest(blob[1]), blob[2], annotations=blob[3])
        layers.append(ImageLayer(parse_digest(diff_id), size, described or None, layer and LayerId(layer), created_by))
    return tuple(layers)
