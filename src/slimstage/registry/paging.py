"""Lists that come in pages. Pure.

Source: distribution-spec v1.1, "Listing Tags"; RFC 8288 (Link).
"""

from __future__ import annotations

import json
import re
from urllib.parse import urljoin

from slimstage.errors import RegistryError
from slimstage.regex import pattern
from slimstage.registry.hosts import Endpoint, origin_of

_LINK = pattern(r"<([^<>\s]{1,4096})>([^<]*)")
_NEXT = pattern(r';\s*rel\s*=\s*"?(?:[^"]*\s)?next(?:\s[^"]*)?"?\s*(?:[;,]|\Z)', re.IGNORECASE)

_LONGEST = 8192
"""Characters of a header that are read: far above any real one."""


def next_path(endpoint: Endpoint, repository: str, path: str, link: str | None) -> str | None:
    """The next page as a path in the repository; None when this was the last.

    Raises RegistryError (`bad-link`) when it is on another origin or not in this repository.
    """
    for match in _LINK.finditer((link or "")[:_LONGEST]):
        if not _NEXT.search(match[2]):
            continue
        base = endpoint.url(repository, "")
        try:
            target: str = urljoin(endpoint.url(repository, path), match[1])
        except ValueError as cause:
            raise RegistryError(
                f"{endpoint.registry} continues its list at an address that is none", code="bad-link"
            ) from cause
        if origin_of(target) != endpoint.origin or not target.startswith(base) or "/.." in target:
            raise RegistryError(
                f"{endpoint.registry} continues its list in another place, where it is not followed", code="bad-link"
            )
        return target[len(base) :]
    return None


def read_tags(body: bytes) -> list[str]:
    """The tags of one page. Raises RegistryError (`bad-answer`) when it is none."""
    try:
        tags = json.loads(body)["tags"]
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise RegistryError("the registry's list of tags cannot be read", code="bad-answer") from cause
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
