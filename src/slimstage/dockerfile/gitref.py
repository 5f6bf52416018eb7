"""Git references: `https://host/repo.git#ref:subdir`, its query form, and `user@host:path`.

Pure. Used for ADD and for contexts. Source: BuildKit frontend/dockerfile/dfgitutil and util/gitutil; dockerfile.md §1.4.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from slimstage.diagnostics import did_you_mean
from slimstage.dockerfile.values import parse_bool
from slimstage.errors import PlanError
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

_SCHEME = pattern(r"([a-zA-Z0-9]+)://")
_SCP = pattern(r"([a-zA-Z0-9_-]+)@([a-zA-Z0-9.-]+):(.*?)(?:\?(.*?))?(?:#(.*))?\Z", re.DOTALL)
_PROTOCOLS = frozenset(("http", "https", "ssh", "git"))
_QUERIES = (
    "ref",
    "tag",
    "branch",
    "subdir",
    "checksum",
    "commit",
    "keep-git-dir",
    "submodules",
    "mtime",
    "fetch-by-commit",
)
_MTIMES = ("checkout", "commit")
_COMMIT = pattern(r"[0-9a-f]{4,64}\Z")


@dataclass(frozen=True, slots=True)
class GitRef:
    """A repository and what of it is wanted; None: not said.

    remote: what git is given; may hold credentials.
    looks_local: `github.com/a/b`, which could be a directory: a context may be that, a source of ADD not.
    """

    remote: str
    short_name: str
    ref: str | None = None
    subdir: str | None = None
    checksum: str | None = None
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str | None = None
    fetch_by_commit: bool = False
    looks_local: bool = False
    is_unencrypted: bool = False


def parse_git_ref(text: str, *, is_known_git: bool = False) -> GitRef | None:
    """The reference, or None when the text names no repository.

    is_known_git: an http(s) URL counts although its path does not end in `.git`.
    Raises: PlanError for a repository with a query that makes no sense.
    """
    if text.startswith(("./", "../")):
        return None
    if text.startswith("github.com/"):
        found = _of_url("https://" + text)
        if found is None:
            return None
        ref, query, _ = found
        ref = replace(ref, remote=ref.remote.partition("://")[2], looks_local=True, is_unencrypted=False)
        return _with_query(ref, query)
    scheme = _SCHEME.match(text)
    if scheme:
        protocol = scheme.group(1).lower()
        found = _of_url(text) if protocol in _PROTOCOLS else None
        if found is None:
            return None
        ref, query, path = found
        if protocol in ("http", "https") and not is_known_git and not path.endswith(".git"):
            return None
        return _with_query(replace(ref, is_unencrypted=protocol in ("http", "git")), query)
    if found_scp := _SCP.match(text):
        user, host, path, raw_query, fragment = found_scp.groups()
        ref = _with_fragment(GitRef(f"{user}@{host}:{path}", _short_name(path)), fragment)
        return _with_query(ref, raw_query)
    return None


def without_credentials(url: str) -> str:
    """The URL as it may be shown and stored: of http(s) all before the `@` is hidden, of others the password.

    A token stands in either place. Source: CVE-2023-26054.
    """
    url = re.sub(r"(?i)\A(https?://)[^/?#]*@", r"\1xxxxx@", url)
    return re.sub(r"(?i)\A((?:ssh|git)://[^/?#@:]*):[^/?#]*@", r"\1:xxxxx@", url)


def check_git_ref(ref: GitRef) -> None:
    """Refuses what git could take for an option or another program, and a subdirectory that leaves the repository.

    Raises: PlanError. Source: CVE-2017-1000117 (ssh host that begins with a dash), GHSA-4vrq-3vrq-g6gg.
    """
    host = re.sub(r"\A[a-z0-9]+://", "", ref.remote, flags=re.IGNORECASE).rpartition("@")[2]
    for what, value in (
        ("repository", ref.remote),
        ("host", host),
        ("ref", ref.ref or ""),
        ("checksum", ref.checksum or ""),
    ):
        if value.startswith("-"):
            raise PlanError(f'the {what} of a git source cannot begin with "-"', code="bad-git-ref")
        if any(ord(character) < 0x20 or character == "\x7f" for character in value):
            raise PlanError(f"the {what} of a git source holds a control character", code="bad-git-ref")
    if ref.subdir and ".." in ref.subdir.split("/"):
        raise PlanError(
            f'the subdirectory "{ref.subdir}" leads out of the repository',
            code="git-subdir-escape",
            hint='leave ".." out',
        )
    if ref.checksum and not _COMMIT.match(ref.checksum):
        raise PlanError(
            f'the checksum "{ref.checksum[:80]}" of a git source is no commit',
            code="bad-checksum",
            hint="give the commit's hex digits",
        )


def _of_url(text: str) -> tuple[GitRef, str | None, str] | None:
    """The reference without its query, the query, and the decoded path."""
    rest, _, fragment = text.partition("#")
    rest, question, query = rest.partition("?")
    authority, slash, path = rest.partition("://")[2].partition("/")
    host = authority.rpartition("@")[2]
    port = re.search(r":([^\]]*)\Z", host)
    if not authority or (port and not re.fullmatch(r"[0-9]*", port.group(1))):
        return None
    if any(ord(character) < 0x21 or character == "\x7f" for character in authority):
        return None
    ref = _with_fragment(GitRef(rest, _short_name(rest)), unquote(fragment))
    return ref, query if question else None, unquote(slash + path)


def _short_name(remote: str) -> str:
    return remote.rpartition("/")[2].removesuffix(".git")


def _with_fragment(ref: GitRef, fragment: str | None) -> GitRef:
    name, _, subdir = (fragment or "").partition(":")
    return replace(ref, ref=name or None, subdir=subdir or None)


def _with_query(ref: GitRef, query: str | None) -> GitRef:
    if not query:
        return ref
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _QUERIES:
            raise _bad(f'unexpected query "{name[:80]}"', hint=did_you_mean(name, _QUERIES))
        if name in values:
            raise _bad(f'query "{name}" has multiple values')
        if not value and name not in ("submodules", "keep-git-dir", "fetch-by-commit"):
            raise _bad(f'query "{name}" has no value')
        values[name] = value
    if (mtime := values.get("mtime")) and mtime not in _MTIMES:
        raise _bad(f'invalid mtime value "{mtime[:80]}"', hint="it is checkout or commit")
    checksum = values.get("checksum") or values.get("commit")
    wanted = _joined("ref", ref.ref, values.get("ref"))
    if tag := values.get("tag"):
        wanted = _joined("ref", wanted, tag if tag.startswith("refs/tags/") else f"refs/tags/{tag}")
    if branch := values.get("branch"):
        if tag:
            raise _bad("branch conflicts with tag")
        wanted = _joined("ref", wanted, branch if branch.startswith("refs/heads/") else f"refs/heads/{branch}")
    by_commit = _switch("fetch-by-commit", values) or False
    if by_commit and not checksum:
        raise _bad("fetch-by-commit needs a checksum", hint="add checksum=COMMIT to the query")
    return replace(
        ref,
        ref=wanted or (None if by_commit else checksum),
        subdir=_joined("subdir", ref.subdir, values.get("subdir")),
        checksum=checksum,
        keep_git_dir=_switch("keep-git-dir", values),
        submodules=_switch("submodules", values),
        mtime=mtime,
        fetch_by_commit=by_commit,
    )


def _joined(what: str, first: str | None, second: str | None) -> str | None:
    if first and second and first != second:
        raise _bad(f'{what} conflicts: "{first[:80]}" and "{second[:80]}"')
    return second or first


def _switch(name: str, values: dict[str, str]) -> bool | None:
    if name not in values:
        return None
    try:
        return parse_bool(values[name]) if values[name] else True
    except ValueError:
        raise _bad(f'invalid {name} value "{values[name][:80]}"', hint="it is true or false") from None


def _bad(message: str, hint: str | None = None) -> PlanError:
    return PlanError(f"{message} in a git source", code="bad-git-ref", hint=hint)
