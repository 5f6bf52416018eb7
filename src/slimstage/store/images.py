"""Images in the store: names → manifest, and the layer directories that each image's layers are unpacked in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, StoreError, UsageError
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.reference import Reference, parse_reference
from slimstage.regex import pattern
from slimstage.store.database import Database
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass

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
    """All images of one store. Every change is one transaction. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, image: StoredImage, names: Sequence[str] = ()) -> None:
        """Stores it (config and manifest are in the blob store already) and moves the names to it.

        An image that is there keeps its other names; its layers become those of `image`.
        Raises FormatError for what is not a reference with a tag.
        """
        full = [_full_name(name) for name in dict.fromkeys((*image.names, *names))]
        row = (image.id, image.manifest, _platform_to(image.platform), _layers_to(image.layers), image.created_s)
        if self._has(row, full):
            return  # built again from the cache: a transaction would cost three syncs of the disk
        with self._database.transaction() as connection:
            connection.execute(
                f"INSERT INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " manifest = excluded.manifest, platform = excluded.platform, layers = excluded.layers",
                row,
            )
            connection.executemany(
                "INSERT OR REPLACE INTO names (name, image) VALUES (?, ?)", [(name, image.id) for name in full]
            )

    def _has(self, row: tuple[Any, ...], names: Sequence[str]) -> bool:
        found = self._database.query(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (row[0],))
        if not found or tuple(found[0][:4]) != row[:4]:
            return False
        known = {name for (name,) in self._database.query("SELECT name FROM names WHERE image = ?", (row[0],))}
        return known.issuperset(names)

    def find(self, reference: str) -> StoredImage | None:
        """By name (`:latest` and the default registry are implied), by `name@digest`, by ID or an unambiguous prefix of one.

        A name wins over a prefix. Raises UsageError for a prefix that fits several images.
        """
        found = self._by_name(reference)
        if found is not None:
            return found
        match = _ID_PREFIX.match(reference)
        if not match:
            return None
        low = "sha256:" + match[1]
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 3", (low, low + "g")
        )
        if len(rows) > 1:
            raise UsageError(
                f'"{reference}" fits several images',
                code="ambiguous-id",
                notes=[str(row[0]) for row in rows],
                hint="give more digits",
            )
        return _images(self._database, rows)[0] if rows else None

    def list(self) -> list[StoredImage]:
        """All, newest first."""
        return _images(
            self._database, self._database.query(f"SELECT {_COLUMNS} FROM images ORDER BY created_s DESC, id")
        )

    def names(self) -> Sequence[str]:
        """Every name, sorted: for near ones when one is not found."""
        return [str(row[0]) for row in self._database.query("SELECT name FROM names ORDER BY name")]

    def tag(self, image: Digest, name: str) -> None:
        """Moves the name to the image. Raises StoreError when there is no such image, FormatError for a bad name."""
        full = _full_name(name)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM images WHERE id = ?", (image,)).fetchone() is None:
                raise StoreError(f'image "{image}" is not in the store', code="image-missing")
            connection.execute("INSERT OR REPLACE INTO names (name, image) VALUES (?, ?)", (full, image))

    def untag(self, name: str) -> bool:
        """Removes the name; False when it was not there. The image stays until it is removed or pruned."""
        return self._database.change("DELETE FROM names WHERE name = ?", (_full_name(name),)) > 0

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


def _full_name(name: str) -> str:
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
