"""Paths of instructions, joined and cleaned as BuildKit does; text only, always with `/`.

Source: BuildKit util/system/path.go (NormalizePath, NormalizeWorkdir); dockerfile.md §4 (32, 51).
"""

from __future__ import annotations

import posixpath


def absolute(path: str, working_dir: str = "/") -> str:
    """The path from the root: cleaned, `..` cannot leave the root, no trailing slash."""
    joined = posixpath.normpath(posixpath.join("/", working_dir, path))
    return "/" + joined.lstrip("/")


def destination(path: str, working_dir: str) -> str:
    """Where COPY writes: a path that ends in `/`, `/.` or is `.` or empty keeps a slash, it names a directory."""
    found = absolute(path, working_dir)
    is_directory = path in ("", ".") or path.endswith(("/", "/."))
    return found if found == "/" or not is_directory else found + "/"


def workdir(path: str, working_dir: str) -> str:
    """The new WORKDIR as the config and history have it: an absolute one as written, a relative one joined and cleaned."""
    return path if path.startswith("/") else absolute(path, working_dir)


def source(path: str) -> str:
    """A source relative to its root, without leading or trailing slash; the root itself is `.`."""
    return absolute(path).removeprefix("/") or "."


def parents_source(path: str) -> str:
    """A source of `COPY --parents`: a pivot `/./` stays one."""
    before, pivot, after = path.partition("/./")
    if not pivot or absolute(before) == "/":
        return source(after if pivot else path)
    return f"{source(before)}/./{source(after)}"
