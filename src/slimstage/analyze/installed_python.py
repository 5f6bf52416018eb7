"""Python distributions of an image, from their .dist-info and .egg-info directories in all of its layers."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.contents import Contents
from slimstage.analyze.distribution import read_distribution
from slimstage.analyze.installed import Installed
from slimstage.analyze.record import LIMIT_BYTES
from slimstage.regex import pattern
from slimstage.values import replace

_TEXT = pattern(
    r"(?:.*/)?[^/]+\.(?:dist-info|egg-info)/(?:METADATA|PKG-INFO|RECORD|INSTALLER|REQUESTED|entry_points\.txt|"
    r"top_level\.txt|direct_url\.json|requires\.txt|installed-files\.txt)\Z"
)
_METADATA = frozenset({"METADATA", "PKG-INFO"})


def is_text(path: str, size: int) -> bool:
    """True for what is read here."""
    return "-info/" in path and size <= LIMIT_BYTES and bool(_TEXT.match(path))


def python_packages(contents: Contents, faults: list[str]) -> Iterator[Installed]:
    """All of them. One whose metadata is hidden is removed; the files that it lists are of the texts that were hidden."""
    files = contents.files
    found: dict[str, dict[str, int]] = {}
    for position, path in enumerate(files.paths):
        if "-info/" in path and _TEXT.match(path):
            directory, _, name = path.rpartition("/")
            texts = found.setdefault(directory, {})
            known = texts.get(name)
            if known is None or files.is_seen(position) or not files.is_seen(known):
                texts[name] = position
    for directory, texts in sorted(found.items()):
        seen = {name: position for name, position in texts.items() if files.is_seen(position)}
        is_removed = not (_METADATA & seen.keys())
        used = texts if is_removed else seen
        metadata = used.get("METADATA", used.get("PKG-INFO"))
        if metadata is None:
            continue

        def read(name: str, used: dict[str, int] = used) -> bytes | None:
            return contents.read(used[name], LIMIT_BYTES) if name in used else None

        distribution = read_distribution(directory, read)
        faults += [f"{directory}: {fault}" for fault in distribution.faults[:1]]
        yield Installed(
            "python",
            distribution.name,
            distribution.version,
            files.layers[metadata],
            directory,
            [each.path for each in distribution.files or () if not each.is_outside],
            is_requested=distribution.is_requested,
            is_removed=is_removed,
            distribution=replace(distribution, files=None),
        )
