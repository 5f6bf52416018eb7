"""Every package that an image knows, in any of its layers.

The databases of all layers are read, the highest first: a package that only a lower layer knows was removed, and its bytes
are still stored. Nothing is executed; what cannot be read is a fault.
"""

from __future__ import annotations

from slimstage.analyze import installed_debian, installed_others, installed_python
from slimstage.analyze.contents import Contents
from slimstage.analyze.installed import Installed


def is_package_text(path: str, size: int) -> bool:
    """True for what `read_installed` looks into."""
    return (
        installed_python.is_text(path, size)
        or installed_debian.is_text(path, size)
        or installed_others.is_text(path, size)
    )


def read_installed(contents: Contents, faults: list[str]) -> list[Installed]:
    """All packages, sorted by kind and name; what is installed before what was removed."""
    found = [
        *installed_debian.debian_packages(contents),
        *installed_python.python_packages(contents, faults),
        *installed_others.other_packages(contents, faults),
    ]
    return sorted(found, key=lambda each: (each.kind, each.key, each.is_removed, each.directory, each.version))
