"""How a blob is cut into requests, and what a registry says has arrived. Pure.

Source: distribution-spec v1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import re

from slimstage.regex import pattern
from slimstage.values import dataclass

_RANGE = pattern(r"(?:bytes[= ])?0-(\d{1,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a blob is cut into requests, in bytes.

    at_once: a blob up to this size goes with the request that begins the upload, which is then its end as well.
    whole: one up to this size goes with the request that ends it. chunk: what one PATCH carries of a larger one;
    careful: after the connection broke, for what a registry keeps is whole chunks at least; smallest: where a registry
    says that requests are too large.
    """

    at_once: int = 16 << 10
    whole: int = 8 << 20
    chunk: int = 1 << 30
    careful: int = 16 << 20
    smallest: int = 1 << 20
    worth: int = 1 << 20
    """Failures are counted anew when so much more arrived than ever before. Less could go on for ever."""


def arrived(said: str) -> int | None:
    """Bytes that are there by a Range header; None when it says nothing of the kind.

    `0-0` is what registries say of an empty upload, as of one byte: whoever sends avoids a chunk of one.
    """
    match = _RANGE.match(said.strip())
    if not match:
        return None
    last = int(match[1])
    return last + 1 if last else 0
