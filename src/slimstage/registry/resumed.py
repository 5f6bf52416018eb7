"""The bytes of a blob on one server, from anywhere on, over as many connections as it takes.

When a connection breaks, it goes on where it stopped; a server that does not continue there sends all again, and what was
had before is passed over. The bytes are not verified: what a server says about ranges and lengths only guides the transfer.
Source: distribution-spec v1.1, "Pulling blobs"; RFC 9110, section 14.
"""

from __future__ import annotations

import re
from collections.abc import Generator

from slimstage.errors import RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient
from slimstage.registry.hosts import Endpoint
from slimstage.registry.retry import patience
from slimstage.registry.transport import Response

_WORTH_BYTES = 1 << 20
"""A connection that brought so much was worth it: failures are counted anew. Less could go on for ever."""
_MIRROR_ATTEMPTS = 2
"""Of a mirror that has sent nothing yet: another server is behind it."""
_RANGE = pattern(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)\Z", re.ASCII)


class OtherRange(RegistryError):
    """The server sends from another place than it was asked for, or nothing is there."""

    default_code = "bad-answer"


class TooLong(RegistryError):
    """More comes than the descriptor says."""

    default_code = "digest-mismatch"


def blob_blocks(
    client: RegistryClient, endpoint: Endpoint, reference: Reference, blob: Descriptor, at: int = 0
) -> Generator[bytes, None, None]:
    """The blob's bytes from an offset on, in blocks that are not empty, to its end. Close it when it is not read to that.

    Raises OtherRange, TooLong, RegistryError when trying again does not help, Interrupted.
    """
    failures, most = 0, client.pauses.backoff.attempts
    while True:
        before = at
        try:
            for block in _connection(client, endpoint, reference, blob, at):
                at += len(block)
                yield block
            return
        except RegistryError as error:
            failures = 1 if at - before >= _WORTH_BYTES else failures + 1
            limit = _MIRROR_ATTEMPTS if endpoint.is_mirror and not at else most
            if not error.is_temporary or failures >= min(limit, patience(error)):
                client.failed(endpoint, error)
                raise
            client.pauses.after(failures, error)


def _connection(
    client: RegistryClient, endpoint: Endpoint, reference: Reference, blob: Descriptor, at: int
) -> Generator[bytes, None, None]:
    """What one connection brings."""
    doing = f"get blob {blob.digest[:19]}… of {reference.repository_name}"
    headers, expects = ({"Range": f"bytes={at}-"}, (200, 206, 416)) if at else (None, (200,))
    response = client.open(endpoint, reference.repository, f"blobs/{blob.digest}", doing, headers, expects)
    try:
        start = _start(response)
        if start is None or start > at:
            raise OtherRange(f"{doing}: {endpoint.origin} sends another range than asked")
        skip = at - start
        for block in response.blocks():
            client.pauses.check()
            if skip:
                block, skip = block[skip:], max(0, skip - len(block))
            at += len(block)
            if at > blob.size:
                raise TooLong(f"{doing}: it is larger than its descriptor says, {blob.size} bytes")
            if block:
                yield block
    finally:
        response.close()
    if at < blob.size:
        raise RegistryError(
            f"{doing}: the transfer ended early: want {blob.size} bytes, got {at}",
            code="connection-lost",
            is_temporary=True,
        )


def _start(response: Response) -> int | None:
    """Where in the blob the body begins; None when the server does not say, or has nothing there."""
    if response.status == 200:
        return 0
    match = _RANGE.match((response.header("Content-Range") or "").strip())
    return int(match[1]) if response.status == 206 and match else None
