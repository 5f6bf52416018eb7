"""Names of images: `registry/repository:tag@digest`, as Docker reads them.

Source: the grammar of distribution/reference (reference.go, normalize.go), which `docker` and the OCI distribution-spec
share; domain names, IPv4 and bracketed IPv6 with port; `docker.io` and `library/` are implied.
"""

from __future__ import annotations

import re
from functools import lru_cache

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_OFFICIAL = "library/"
_LONGEST_NAME = 255

_TAG = pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z", re.ASCII)
_COMPONENT = pattern(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_LABEL = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_REGISTRY = pattern(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[(?:[A-Fa-f0-9:]+)\])(?::[0-9]{{1,5}})?\Z", re.ASCII)
_HEX_ID = pattern(r"[a-f0-9]{64}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name: the registry and `library/` are always there. `tag` and `digest` as given."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository_name}{tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def repository_name(self) -> str:
        """Registry and repository: what tags and digests belong to."""
        return f"{self.registry}/{self.repository}"

    def with_default_tag(self) -> Reference:
        """With `:latest` when it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def familiar(self) -> str:
        """As people write it: without docker.io, library/ and without `:latest` being added; round-trips."""
        name = self.repository_name
        if self.registry == DEFAULT_REGISTRY:
            short = self.repository.removeprefix(_OFFICIAL)
            # `a/b/c` below library/ is not shortened: it would be read as a repository of its own.
            name = short if "/" not in short else self.repository
        return str(self).replace(self.repository_name, name, 1)


@lru_cache(maxsize=1024)  # planning asks for the same few names again and again
def parse_reference(text: str) -> Reference:
    """The reference that `text` names, normalised. Raises FormatError (`bad-reference`) with what is wrong with it.

    The first component is a registry when it has a dot, a colon or a bracket, when it is `localhost`, or when it has
    upper case letters, which no repository has.
    """
    rest, at, digest_text = text.partition("@")
    digest = None
    if at:
        try:
            digest = parse_digest(digest_text)
        except FormatError as cause:
            raise _bad(text, f'"{digest_text[:100]}" is not a digest') from cause
    if not rest:
        raise _bad(text, "there is no name")
    if _HEX_ID.match(rest) and not at:
        raise _bad(text, "64 hex digits are an image ID, not a name")
    name, tag = rest, None
    head, colon, tail = rest.rpartition(":")
    if colon and "/" not in tail and "]" not in tail:
        name, tag = head, tail
        if not _TAG.match(tail):
            raise _bad(text, f'"{tail[:140]}" is not a tag: letters, digits, "_", "." and "-", at most 128')
    registry, repository = _split(name)
    if not _REGISTRY.match(registry):
        raise _bad(text, f'"{registry[:100]}" is not a registry: a host name or address, with a port or not')
    for component in repository.split("/"):
        if not _COMPONENT.match(component):
            raise _bad(text, _component_fault(component))
    if len(registry) + 1 + len(repository) > _LONGEST_NAME:
        raise _bad(text, f"the name is longer than {_LONGEST_NAME} characters")
    return Reference(registry, repository, tag, digest)


def familiar(text: str) -> str:
    """The short form of a reference; what is none comes back unchanged."""
    try:
        return parse_reference(text).familiar()
    except FormatError:
        return text


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_registry = slash and (any(c in first for c in ".:[") or first == "localhost" or first.lower() != first)
    registry, repository = (first, rest) if is_registry else (DEFAULT_REGISTRY, name)
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    return registry, repository


def _component_fault(component: str) -> str:
    if component.lower() != component and _COMPONENT.match(component.lower()):
        return f'"{component[:100]}": a repository is written in lower case'
    if not component:
        return "a part of the name is empty"
    return f'"{component[:100]}" is not part of a name: lower-case letters and digits, with ".", "_" or "-" between'


def _bad(text: str, why: str) -> FormatError:
    return FormatError(f'"{text[:300]}" is not an image name: {why}', code="bad-reference")
