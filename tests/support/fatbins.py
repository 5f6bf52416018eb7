"""Libraries with device code, made by hand: containers of entries in sections of an ELF file."""

from __future__ import annotations

import struct


def entry(kind: int, architecture: int, size: int, flags: int = 0x11, header: int = 64) -> bytes:
    head = struct.pack("<HHIQIIHHIIIQQQ", kind, 0x101, header, size, 0, 0, 8, 1, architecture, 0, 0, flags, 0, 0)
    return head + bytes(header - 64) + bytes(size)


def container(*entries: bytes) -> bytes:
    payload = b"".join(entries)
    whole = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(payload)) + payload
    return whole + bytes(-len(whole) % 8)


def library(**sections: bytes) -> bytes:
    """An ELF file with sections of these names: `nv_fatbin` stands for `.nv_fatbin`."""
    names, rows, body = b"\0", [bytes(64)], b""
    for name, content in sections.items():
        real = f".{name}" if name == "nv_fatbin" else name
        rows.append(struct.pack("<IIQQQQIIQQ", len(names), 1, 2, 0, 64 + len(body), len(content), 0, 0, 8, 0))
        names, body = names + real.encode() + b"\0", body + content
    rows.append(struct.pack("<IIQQQQIIQQ", len(names), 3, 0, 0, 64 + len(body), len(names) + 5, 0, 0, 1, 0))
    body += names + b".str\0"
    ident = b"\x7fELF\2\1\1" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, len(rows), len(rows) - 1)
    return ident + header + body + b"".join(rows)
