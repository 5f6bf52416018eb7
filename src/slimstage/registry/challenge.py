"""WWW-Authenticate headers and token scopes, as values. Pure.

Source: RFC 9110, 11.6.1; distribution/docs/spec/auth/token.md and scope.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slimstage.regex import pattern
from slimstage.values import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = pattern(rf"[\s,]*({_TOKEN})(?=\s|,|\Z)")
_PARAMETER = pattern(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` and the names of parameters in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge of every header, in order. What cannot be read ends a header; nothing is raised."""
    found = []
    for header in headers:
        text, at = header[:_LONGEST], 0
        while match := _SCHEME.match(text, at):
            at = match.end()
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(text, at):
                quoted = pair[2]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else pair[3]
                parameters.setdefault(pair[1].lower(), value)
                at = pair.end()
            found.append(Challenge(match[1].lower(), parameters))
    return found


def grants_of(scopes: Iterable[str]) -> frozenset[tuple[str, str]]:
    """What scopes allow, as (resource, action) pairs; a scope that is none is a pair of its own."""
    grants = set()
    for scope in merge_scopes(scopes):
        resource, _, words = scope.rpartition(":")
        grants |= {(resource, word) for word in words.split(",")}
    return frozenset(grants)


def merge_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes with the actions of equal resources joined, sorted: one token for all of them.

    A scope is `type:name:action,action`; the name may hold colons (a host with a port). One that is not is kept as it is.
    """
    actions: dict[str, set[str]] = {}
    others = set()
    for scope in scopes:
        resource, colon, words = scope.strip().rpartition(":")
        if colon and ":" in resource:
            actions.setdefault(resource, set()).update(word for word in words.split(",") if word)
        elif scope.strip():
            others.add(scope.strip())
    merged = [f"{resource}:{','.join(sorted(words))}" for resource, words in actions.items()]
    return tuple(sorted([*merged, *others]))
