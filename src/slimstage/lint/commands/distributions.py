"""What Python installers are asked for: `torch==2.1`, `pkg[extra]>=1 ; marker`, `.`, wheels, URLs, repositories.

Source: PEP 508 (requirements), PEP 503 (normalised names), PEP 440 (versions), pip's reference on requirement specifiers.
"""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.lint.commands.command import Requested
from slimstage.lint.shell.script import UNKNOWN, Word
from slimstage.regex import pattern

_RUNS = pattern(r"[-_.]+")
_REQUIREMENT = pattern(
    rf"""\s*([A-Za-z0-9](?:[A-Za-z0-9._{UNKNOWN}-]*[A-Za-z0-9{UNKNOWN}])?)\s*
    (?:\[([^\]]*)\])?\s*
    (?:@\s*(?P<url>\S+) | (?P<constraint>\(?\s*(?:===|[=~!<>]=|[<>])[^;]*)? )\s*(?:;.*)?""",
    64 | 16,
)
_VCS = ("git+", "hg+", "svn+", "bzr+")
_URL = pattern(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WHEEL = pattern(r"([^/\\]+?)-([^-/\\]+)(?:-[^-/\\]+)?-[^-/\\]+-[^-/\\]+-[^-/\\]+\.whl")
_SDIST = pattern(r"([^/\\]+)-([0-9][^-/\\]*)\.(?:tar\.gz|zip|tar\.bz2)")
_COMMIT = pattern(r"@[0-9a-f]{7,64}(?:#|$)")
_EXACT = pattern(r"===?\s*[^,*\s]+")


def normalised(name: str) -> str:
    """PEP 503."""
    return _RUNS.sub("-", name).lower()


def requested(text: str, span: Span, *, is_exact: bool = True) -> Requested:
    """What one requirement asks for; its name is "" where only a download or a build would tell."""
    text = text.strip()
    if text.startswith(_VCS) or _URL.match(text):
        return _from_url("", text, (), text, span, is_exact)
    found = _REQUIREMENT.fullmatch(text)
    if found is None or (text.endswith((".whl", ".tar.gz", ".zip")) and not found.group("url")):
        return _from_path(text, span, is_exact)
    name = "" if UNKNOWN in found.group(1) else normalised(found.group(1))
    extras = tuple(normalised(extra.strip()) for extra in (found.group(2) or "").split(",") if extra.strip())
    if (url := found.group("url")) and "/" not in url and ":" not in url:
        constraint = f"@{url}"  # of uv: `ruff@0.9.0`, `ruff@latest`
        return Requested(name, text, span, constraint, extras, url != "latest", "name", is_exact)
    if url:
        return _from_url(name, url, extras, text, span, is_exact)
    constraint = (found.group("constraint") or "").strip("() \t")
    is_pinned = bool(_EXACT.fullmatch(constraint))
    return Requested(name, text, span, constraint, extras, is_pinned, "name", is_exact)


def requested_word(word: Word) -> Requested:
    """The same of an argument."""
    return requested(word.shape, word.span, is_exact=word.is_exact)


def _from_url(name: str, url: str, extras: tuple[str, ...], text: str, span: Span, is_exact: bool) -> Requested:
    if not name and "#egg=" in url:
        name = normalised(url.partition("#egg=")[2].partition("&")[0].partition("[")[0])
    is_vcs = url.startswith(_VCS)
    version = ""
    if not is_vcs and (found := _WHEEL.search(url) or _SDIST.search(url)):
        name = name or normalised(found.group(1).rpartition("/")[2])
        version = f"=={found.group(2)}"
    is_pinned = bool(_COMMIT.search(url)) or f"@{UNKNOWN}" in url if is_vcs else True
    return Requested(name, text, span, version, extras, is_pinned, "vcs" if is_vcs else "url", is_exact)


def _from_path(text: str, span: Span, is_exact: bool) -> Requested:
    path, bracket, extras = text.partition("[")
    found = _WHEEL.search(path) or _SDIST.search(path)
    name, version = (normalised(found.group(1)), f"=={found.group(2)}") if found else ("", "")
    if UNKNOWN in name:
        name = ""
    names = tuple(normalised(extra) for extra in extras.rstrip("]").split(",")) if bracket else ()
    is_pinned = "*" not in path and UNKNOWN not in path
    return Requested(name, text, span, version, names, is_pinned, "path", is_exact)
