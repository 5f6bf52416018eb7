"""EXPOSE: a port specification → the container's ports.

Source: docker/go-connections, nat.ParsePortSpec; dockerfile.md §1.7 and §4 (25).
"""

from __future__ import annotations

import ipaddress

from slimstage.regex import pattern

PROTOCOLS = ("tcp", "udp", "sctp")
_RANGE = pattern(r"([0-9]{1,10})(?:-([0-9]{1,10}))?")
_LARGEST_PORT = 65535


def parse_port(spec: str) -> list[str]:
    """`80`, `80/udp`, `8000-8010`, and with a host part that is dropped: → `["80/tcp"]`, one for each port, in order.

    Raises: ValueError with a sentence.
    """
    first, last, protocol = check_port(spec)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def check_port(spec: str) -> tuple[int, int, str]:
    """(first port, last port, protocol): as `parse_port`, without making a list that 7 characters could make long."""
    text, slash, protocol = spec.rpartition("/")
    if not slash:
        text, protocol = spec, ""
    host, container = _split(text)
    if not container:
        raise ValueError(f'invalid port "{spec}": no port specified')
    ip, _, published = host.rpartition(":")
    if ip:
        _check_ip(ip.removeprefix("[").removesuffix("]") if ip.startswith("[") else ip, spec)
    first, last = _range(container, spec, "port")
    if published:
        low, high = _range(published, spec, "host port")
        if high - low != last - first and not (first == last and high > low):
            raise ValueError(f'invalid port "{spec}": the ranges of host and container differ in length')
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise ValueError(f'invalid protocol "{protocol}" in "{spec}"')
    return first, last, protocol


def _split(text: str) -> tuple[str, str]:
    host, colon, container = text.rpartition(":")
    if not colon:
        return "", text
    return (host, container) if ":" in host else (f":{host}", container)


def _check_ip(ip: str, spec: str) -> None:
    try:
        ipaddress.ip_address(ip)
    except ValueError:
        raise ValueError(f'invalid IP address "{ip}" in "{spec}"') from None


def _range(text: str, spec: str, what: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if not found:
        raise ValueError(f'invalid {what} "{text}" in "{spec}"')
    first = int(found.group(1))
    last = int(found.group(2)) if found.group(2) else first
    if last < first or last > _LARGEST_PORT:
        raise ValueError(f'invalid {what} "{text}" in "{spec}": ports go from 0 to {_LARGEST_PORT}, upwards')
    return first, last
