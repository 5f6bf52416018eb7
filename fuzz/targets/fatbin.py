"""Libraries with device code: rows of containers and entries whose sizes lie now and then; never more than the section."""

from __future__ import annotations

import struct

from fuzz.harness import Choices, interleaved
from slimstage.analyze.fatbin import read_fatbins

MAX_BYTES = 2048
TOKENS = (b"\x50\xed\x55\xba", b"\x01\0\x10\0", b".nv_fatbin\0", b"__nv_relfatbin\0", b"\xff" * 8, b"\0" * 8)
_NAMES = b"\0.nv_fatbin\0__nv_relfatbin\0.text\0"
_PLACES = (1, 12, 28)


def check(data: bytes) -> None:
    choices = Choices(data)
    content = choices.rest() if choices.below(8) == 0 else _library(choices)
    reads = 0

    def read_at(offset: int, count: int) -> bytes:
        nonlocal reads
        reads += 1
        return content[offset : offset + count]

    found = read_fatbins(read_at, len(content))
    assert sum(found.by_target.values()) <= found.section_bytes <= len(content)
    assert found.entries * 64 + found.containers * 16 <= found.section_bytes
    assert len(found.faults) <= 20
    assert reads < len(content) + 100


def _library(choices: Choices) -> bytes:
    def or_else(usual: int, bits: int) -> int:
        return (usual if choices.byte() < 235 else choices.number()) & ((1 << bits) - 1)

    body, rows = b"", [bytes(64)]
    for _ in range(1 + choices.below(3)):
        start = len(body)
        for _ in range(choices.below(4)):
            entries = b""
            for _ in range(choices.below(4)):
                size, kind, architecture = (
                    choices.below(40),
                    choices.pick((1, 2, 2, 8, 3)),
                    choices.pick((75, 80, 90, 120)),
                )
                entries += struct.pack("<HHIQ", kind, 1, or_else(64, 32), or_else(size, 64)) + bytes(12)
                entries += struct.pack("<I", architecture) + bytes(8) + struct.pack("<Q", choices.below(64) << 16)
                entries += bytes(16 + size)
            body += (
                struct.pack("<IHHQ", or_else(0xBA55ED50, 32), 1, or_else(16, 16), or_else(len(entries), 64)) + entries
            )
            body += bytes(-len(body) % 8)
        place, size = or_else(64 + start, 64), or_else(len(body) - start, 64)
        rows.append(struct.pack("<IIQQQQIIQQ", choices.pick(_PLACES), 1, 2, 0, place, size, 0, 0, 8, 0))
    rows.append(struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 64 + len(body), len(_NAMES), 0, 0, 1, 0))
    body += _NAMES
    header = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64 + len(body), 0, 64, 56, 0, 64, len(rows), len(rows) - 1)
    return b"\x7fELF\2\1\1" + bytes(9) + header + body + b"".join(rows)


def seeds() -> list[bytes]:
    made = [bytes([1 + step % 7, *[(step * 7 + at * 31 + at // 5) % 232 for at in range(120)]]) for step in range(50)]
    raw = [b"\0" + _library(Choices(seed[1:]))[: MAX_BYTES - 1] for seed in made[:8]]
    return interleaved(made, raw)
