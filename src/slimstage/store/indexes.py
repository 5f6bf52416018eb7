"""Indexes in the store: one name for the images of several platforms.

An index is a document in the blob store; its row says which stored image each of its manifests is. A name belongs to an
image or to an index, never to both: whoever is given it last has it. Source: OCI image-spec v1.1, image-index.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from slimstage.digest import Digest
from slimstage.errors import StoreError
from slimstage.oci.descriptor import Platform, host_platform
from slimstage.store.database import Database
from slimstage.values import dataclass

_COLUMNS = "digest, members, created_s"


@dataclass(frozen=True, slots=True)
class IndexMember:
    """One image of an index: the manifest that the index lists, and the ID under which the store has the image."""

    manifest: Digest
    image: Digest
    platform: Platform


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """`digest`: of the index in the blob store. Members in its order."""

    digest: Digest
    members: tuple[IndexMember, ...]
    created_s: float
    names: tuple[str, ...] = ()
    """Full references with tag."""

    def member(self, platform: Platform | None = None) -> IndexMember | None:
        """The image for the platform, the best variant of it. None asks for this host's, or the first where there is none."""
        from slimstage.oci.select import fits  # only where a name is an index'

        wanted = platform or host_platform()
        found: tuple[int, IndexMember] | None = None
        for member in self.members:
            distance = fits(member.platform, wanted)
            if distance is not None and (found is None or distance < found[0]):
                found = (distance, member)
        if found is not None:
            return found[1]
        return self.members[0] if platform is None and self.members else None

    def platforms(self) -> str:
        """For people: `linux/amd64, linux/arm64`."""
        return ", ".join(str(member.platform) for member in self.members)


class Indexes:
    """All indexes of one store. Every change is one transaction. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, index: StoredIndex, names: Sequence[str] = ()) -> None:
        """Stores it and moves the names, which are full, to it; the document and every member are in the store already.

        Raises StoreError when a member is not.
        """
        full = tuple(dict.fromkeys((*index.names, *names)))
        members = _members_to(index.members)
        if self._has(index.digest, members, full):
            return
        with self._database.transaction() as connection:
            for member in index.members:
                if connection.execute("SELECT 1 FROM images WHERE id = ?", (member.image,)).fetchone() is None:
                    raise StoreError(f'image "{member.image}" of the index is not in the store', code="image-missing")
            connection.execute(
                f"INSERT INTO indexes ({_COLUMNS}) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET"
                " members = excluded.members",
                (index.digest, members, index.created_s),
            )
            for name in full:
                connection.execute("DELETE FROM names WHERE name = ?", (name,))
                connection.execute(
                    "INSERT OR REPLACE INTO index_names (name, digest) VALUES (?, ?)", (name, index.digest)
                )

    def named(self, name: str) -> StoredIndex | None:
        """The index that has the full name."""
        return self._one("digest = (SELECT digest FROM index_names WHERE name = ?)", name)

    def get(self, digest: str) -> StoredIndex | None:
        """The index of that digest."""
        return self._one("digest = ?", digest)

    def starting(self, low: str) -> Sequence[StoredIndex]:
        """Those whose digest begins with `low`, at most three: to tell one from several."""
        where = "WHERE digest >= ? AND digest < ? ORDER BY digest LIMIT 3"
        return self._rows(where, (low, low + "g"))

    def list(self) -> Sequence[StoredIndex]:
        """All, newest first."""
        return self._rows("ORDER BY created_s DESC, digest", ())

    def holding(self, image: str) -> Sequence[StoredIndex]:
        """Those that an image is part of."""
        return [index for index in self.list() if any(member.image == image for member in index.members)]

    def names(self) -> Sequence[str]:
        """Every name of an index, sorted."""
        return [str(row[0]) for row in self._database.query("SELECT name FROM index_names ORDER BY name")]

    def tag(self, digest: Digest, full_name: str) -> None:
        """Moves the name to the index. Raises StoreError when there is no such index."""
        found = self.get(digest)
        if found is None:
            raise StoreError(f'index "{digest}" is not in the store', code="image-missing")
        self.put(found, (full_name,))

    def untag(self, full_name: str) -> bool:
        """Removes the name; False when no index had it."""
        return self._database.change("DELETE FROM index_names WHERE name = ?", (full_name,)) > 0

    def remove(self, digest: Digest) -> None:
        """Removes the index and its names; its images stay until they are removed or pruned."""
        self._database.change("DELETE FROM indexes WHERE digest = ?", (digest,))

    def _has(self, digest: Digest, members: str, names: Sequence[str]) -> bool:
        """Nothing would change: a build from the cache need not wait for the disk."""
        rows = self._database.query("SELECT members FROM indexes WHERE digest = ?", (digest,))
        if not rows or rows[0][0] != members:
            return False
        known = {name for (name,) in self._database.query("SELECT name FROM index_names WHERE digest = ?", (digest,))}
        return known.issuperset(names)

    def _one(self, where: str, value: str) -> StoredIndex | None:
        found = self._rows(f"WHERE {where}", (value,))
        return found[0] if found else None

    def _rows(self, where: str, values: tuple[object, ...]) -> Sequence[StoredIndex]:
        rows = self._database.query(f"SELECT {_COLUMNS} FROM indexes {where}", values)
        if not rows:
            return []
        names: dict[str, list[str]] = {}
        for name, digest in self._database.query("SELECT name, digest FROM index_names ORDER BY name"):
            names.setdefault(digest, []).append(name)
        return [
            StoredIndex(Digest(digest), _members_from(members), created_s, tuple(names.get(digest, ())))
            for digest, members, created_s in rows
        ]


def _members_to(members: Iterable[IndexMember]) -> str:
    rows: list[Any] = []
    for each in members:
        platform = each.platform
        parts = [platform.os, platform.architecture, platform.variant, platform.os_version]
        rows.append([each.manifest, each.image, parts])
    return json.dumps(rows, separators=(",", ":"))


def _members_from(text: str) -> tuple[IndexMember, ...]:
    return tuple(
        IndexMember(Digest(manifest), Digest(image), Platform(*platform))
        for manifest, image, platform in json.loads(text)
    )
