"""Members of a layer as a tar or a table of contents lists them → its entries: marks, further names, names that come twice."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.layers import LayerEntry
from slimstage.errors import FormatError
from slimstage.tree.pack import OPAQUE, WHITEOUT
from slimstage.tree.untar import MemberKind
from slimstage.values import replace

MOST_ENTRIES = 4_000_000
"""Of one layer: no image has so many, and each takes memory."""
MOST_UNPACKED_BYTES = 128 << 30
"""Of one layer's files together: a bomb ends here at the latest."""
_AUFS = ".wh..wh."


class Gathering:
    """The entries of one layer. name: of the layer, for messages."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: dict[str, LayerEntry] = {}
        self._groups: dict[str, int] = {}
        """First name of a file with several → its number."""
        self._links: dict[str, str] = {}
        """Further name → the first."""
        self._bytes = 0

    def add(self, path: str, kind: MemberKind, size: int, target: str, owner: tuple[int, int, int]) -> bool:
        """One member; True when it is a file with content of its own. target: of a link; owner: mode, uid, gid.

        Raises FormatError: too many members, or too much in them.
        """
        above, _, name = path.rpartition("/")
        if name == OPAQUE:
            self._put(above + "\0", LayerEntry(above, "opaque"))
        elif name.startswith(WHITEOUT):
            bare = name[len(WHITEOUT) :]
            if bare and not name.startswith(_AUFS):
                deleted = f"{above}/{bare}" if above else bare
                self._put(deleted + "\0", LayerEntry(deleted, "whiteout"))
        elif path:
            return self._member(path, kind, size, target, owner)
        return False

    def _member(self, path: str, kind: MemberKind, size: int, target: str, owner: tuple[int, int, int]) -> bool:
        self._groups.pop(path, None)
        self._links.pop(path, None)
        if kind == "hardlink":
            first = self._links.get(target, target)
            known = self._found.get(first)
            if known is None or known.kind != "file" or first == path:
                # Of a file of a lower layer, or of none: nothing is stored here.
                self._put(path, LayerEntry(path, "file"))
            else:
                self._links[path] = first
                link = self._groups.setdefault(first, len(self._groups) + 1)
                self._put(path, replace(known, path=path, link=link))
        elif kind == "file":
            self._bytes += size
            self._put(path, LayerEntry(path, "file", size, 0, "", *owner))
            return True
        elif kind == "symlink":
            self._put(path, LayerEntry(path, "symlink", 0, 0, target, *owner))
        else:
            self._put(path, LayerEntry(path, "dir" if kind == "dir" else "other", 0, 0, "", *owner))
        return False

    def _put(self, key: str, entry: LayerEntry) -> None:
        self._found.pop(key, None)
        self._found[key] = entry
        if len(self._found) > MOST_ENTRIES or self._bytes > MOST_UNPACKED_BYTES:
            raise FormatError(
                f"the layer {self._name} has more than {MOST_ENTRIES} entries,"
                f" or more than {MOST_UNPACKED_BYTES >> 30} GiB of files",
                code="too-many-entries",
            )

    def first_name(self, path: str) -> str:
        """The name under which the content of a file stands."""
        return self._links.get(path, path)

    def entries(self) -> Iterator[LayerEntry]:
        """All of them, in the order in which they came last."""
        for entry in self._found.values():
            if entry.kind == "file" and not entry.link and entry.path in self._groups:
                entry = replace(entry, link=self._groups[entry.path])
            yield entry
        self._found = {}
