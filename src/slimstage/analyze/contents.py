"""What an analysis reads of an image: its files in all layers, and their content by position, bounded.

`Contents` is made from the layers once; everything that looks into files goes through it, so that nothing is read but what
was kept, and nothing but regular files.
"""

from __future__ import annotations

from collections.abc import Callable

from slimstage.analyze.analysis import FileTable
from slimstage.analyze.layers import Content, ImageLayers, Keeps, LayerEntry, read_all
from slimstage.analyze.stacking import Stack


class Contents:
    """The files of an image and what is in them. Valid while its layers are open."""

    def __init__(self, image: ImageLayers, keeps: Keeps, listener: Callable[[int, list[LayerEntry]], None]) -> None:
        """Reads the entries of all layers. listener: gets those of each layer, base first."""
        self.image = image
        self.stack = Stack()
        for number, layer in enumerate(image.layers):
            entries = list(layer.entries(keeps))
            listener(number, entries)
            self.stack.add(entries)
        self.files: FileTable = self.stack.finish()
        self._seen: dict[str, int] | None = None

    @property
    def seen(self) -> dict[str, int]:
        """Path → position of every file of the tree, further names too."""
        if self._seen is None:
            paths = self.files.paths
            self._seen = {paths[position]: position for position in self.files.seen()}
        return self._seen

    def open(self, position: int) -> Content | None:
        """Its content, to be closed; None where it was not kept."""
        path = self.stack.written.get(position) or self.files.paths[position]
        return self.image.layers[self.files.layers[position]].open(path)

    def read(self, position: int, limit_bytes: int) -> bytes | None:
        """All of it; None when it is larger or was not kept."""
        content = self.open(position)
        if content is None:
            return None
        try:
            return read_all(content, limit_bytes)
        finally:
            content.close()

    def text(self, path: str, limit_bytes: int = 1 << 20) -> str | None:
        """A small file of the tree by its path, with symlinks followed inside the image; None as `read`."""
        position = self.find(path)
        data = None if position is None else self.read(position, limit_bytes)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def find(self, path: str) -> int | None:
        """The position of the regular file that a path of the tree leads to."""
        for _ in range(40):
            path = self.stack.resolve(path.strip("/"))
            target = self.stack.symlinks.get(path)
            if target is None:
                return self.seen.get(path)
            path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        return None

    def digest(self, position: int) -> bytes | None:
        """SHA-256 of its content; None where nobody knows."""
        path = self.stack.written.get(position) or self.files.paths[position]
        return self.image.layers[self.files.layers[position]].digest(path)
