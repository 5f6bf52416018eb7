"""Names and small texts: image references, git references, platforms, users, challenges, scopes, pages, sources of apt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fuzz.harness import Choices, decoded, interleaved, pumped
from slimstage.bases.aptsources import parse_sources, parse_targets, signed_by
from slimstage.bases.files import parse_file_base
from slimstage.digest import parse_digest
from slimstage.dockerfile.gitref import GitRef, check_git_ref, parse_git_ref, without_credentials
from slimstage.errors import FormatError, PlanError, RegistryError, SlimstageError
from slimstage.oci.descriptor import normalised, parse_platform
from slimstage.oci.reference import parse_reference
from slimstage.oci.user import group_id, resolve_user
from slimstage.registry.challenge import merge_scopes, parse_challenges
from slimstage.registry.hosts import origin_of, read_hosts, shown_url
from slimstage.registry.paging import next_path, read_tags

MAX_BYTES = 1024
_LARGEST_PUMPED = 20_000
_T = TypeVar("_T")
_WORDS = (
    "a", "b", "A", "0", "1", "9", "/", ":", "@", ".", "-", "_", "__", "..", "localhost", ":5000", "docker.io/",
    "index.docker.io/",
    "library/", "sha256:", "0" * 64, "sha512:", "latest", "[::1]", "127.0.0.1", "https://", "http://",
    "git://", "ssh://", "git@", ".git",
    "#", "?", "&", "=", "ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules",
    "mtime", "%2e", "%", "%ff",
    "github.com/", "user:secret@", "linux", "amd64", "arm", "v7", "v8", "x86_64", "local", "root", "x", "\n",
    "65535", "4294967296",
    ",", " ", "Bearer ", "Basic ", "realm=", "service=", "scope=", '"', "\\", "repository:", "pull", "push",
    "<", ">", ";", 'rel="next"',
    "/v2/", "[", "]", "{", "}", "null", "deb ", "Types: ", "URIs: ", "Suites: ", "Components: ", "Signed-By: ",
    "signed-by=", "main",
    "bookworm", "$(ORIGIN)", "Debian", "oci-layout://", "oci-archive:", "docker-archive:", "é", "\udcff", "\t",
    "\0", "\x7f", "9" * 30,
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)
_ENDPOINT = read_hosts({}).endpoints("registry.example")[0]


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(4)
    if kind == 0:
        text = decoded(choices.rest())
    elif kind == 3:
        text = pumped(choices, _WORDS, _LARGEST_PUMPED)
    else:
        text = "".join(choices.words(_WORDS))
    _check_reference(text)
    _check_git(text)
    _check_user(text)
    _check_registry(text)
    for target in (*parse_sources(text), *parse_targets(text.split("\n"))):
        assert "://" in target.uri
    assert all(path.startswith("/") for path in signed_by(text))


def _tried(kind: type[SlimstageError], call: Callable[..., _T], *arguments: object) -> _T | None:
    """What the call returns; None when it refuses, which it has to do in words that can be printed."""
    try:
        return call(*arguments)
    except kind as error:
        said, code = str(error), error.code
    assert code
    assert not [c for c in said if not c.isprintable() and c != "\n"], "control characters in a message"
    return None


def _check_reference(text: str) -> None:
    reference = _tried(FormatError, parse_reference, text)
    if reference is not None:
        assert parse_reference(str(reference)) == reference
        assert parse_reference(reference.familiar()) == reference
    platform = _tried(FormatError, parse_platform, text)
    if platform is not None:
        assert normalised(platform) == platform
        assert _tried(FormatError, parse_platform, str(platform)) == platform
    digest = _tried(FormatError, parse_digest, text)
    assert digest is None or digest == text
    if "\0" not in text:  # which no argument of a program can hold
        _tried(FormatError, parse_file_base, text)


def _check_git(text: str) -> None:
    ref = _tried(PlanError, parse_git_ref, text)
    if ref is not None and _tried(PlanError, _checked, ref):
        assert not ref.remote.startswith("-")
        assert ".." not in (ref.subdir or "").split("/")
    shown = without_credentials(text)
    assert without_credentials(shown) == shown


def _checked(ref: GitRef) -> bool:
    check_git_ref(ref)
    return True


def _check_user(text: str) -> None:
    spec, _, files = text.partition("\n")
    passwd, _, group = files.partition("\0")
    found = _tried(PlanError, resolve_user, spec, passwd, group)
    if found is not None:
        assert all(0 <= number < 1 << 31 for number in (found.uid, found.gid, *found.groups))
        assert found.groups[0] == found.gid
    number = _tried(PlanError, group_id, spec, files)
    assert number is None or 0 <= number < 1 << 31


def _check_registry(text: str) -> None:
    for challenge in parse_challenges([text]):
        assert challenge.scheme == challenge.scheme.lower()
    scopes = merge_scopes(text.split(" "))
    assert merge_scopes(scopes) == scopes
    origin = _tried(RegistryError, origin_of, text)
    assert origin is None or origin.host
    shown_url(text)
    path = _tried(RegistryError, next_path, _ENDPOINT, "a/b", "tags/list", text)
    assert path is None or "/.." not in path
    tags = _tried(RegistryError, read_tags, text.encode("utf-8", "surrogateescape"))
    assert tags is None or all(isinstance(tag, str) for tag in tags)


def seeds() -> list[bytes]:
    words = [
        bytes([1, *[(start + step * 5) % len(_WORDS) for step in range(14)]]) for start in range(0, len(_WORDS), 3)
    ]
    pumps = [bytes([3, 1, word, 1, word, 10, 1, word, 2, word, 0, 1, 5]) for word in range(0, len(_WORDS), 4)]
    plain = [
        b"\0docker.io/library/a:latest@sha256:" + b"0" * 64,
        b"\0https://u:p@h/x.git?ref=v1&subdir=a#main:b",
        b"\0a:g\na:x:1:1:c:/h:/s\n\0g:x:2:a,b\n",
        b'\0Bearer realm="https://a/t",service="s",scope="repository:a:pull"',
        b'\0</v2/a/b/tags/list?last=x>; rel="next"',
        b"\0Types: deb\nURIs: http://d/debian\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n",
        b"\0deb [signed-by=/k] http://d/debian bookworm main\n",
        b'\0{"tags": ["a"]}',
    ]
    return interleaved(plain, words, pumps)
