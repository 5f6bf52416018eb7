"""ELF files: built by choices so that tables lead into each other, and as raw bytes; whatever they say, bounded."""

from __future__ import annotations

import os
import struct
import tempfile

from fuzz.harness import Choices, interleaved
from slimstage.analyze.elf import read_elf
from slimstage.errors import FormatError

MAX_BYTES = 4096
TOKENS = (
    b"\x7fELF",
    b"\x02\x01\x01",
    b"\x01\x02\x01",
    b"GNU\0",
    b".symtab\0",
    b".debug_info\0",
    b"\xff" * 8,
    b"\0" * 8,
    b"\xff\xff",
)
_STRINGS = b"\0libc.so.6\0GLIBC_2.17\0$ORIGIN/../lib:/x\0.text\0.debug_info\0.symtab\0.shstrtab\0liba.so\0/lib/ld.so\0"
_PLACES = [at + 1 for at in range(len(_STRINGS) - 1) if _STRINGS[at] == 0]
_TAGS = (0, 1, 1, 5, 10, 14, 15, 29, 0x6FFFFFFB, 0x6FFFFFFE, 0x6FFFFFFF, 6, -1)


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(8)
    content = choices.rest() if kind == 0 else _elf(choices)
    try:
        elf = read_elf(content)
    except FormatError:
        return
    assert elf.debug_bytes >= 0
    assert 0 <= elf.loaded_end <= elf.end <= elf.size_bytes == len(content)
    assert elf.tail_bytes <= elf.unloaded_bytes or not elf.segments
    texts = [*elf.needed, *elf.rpath, *elf.runpath, *(name for _, names in elf.versions for name in names)]
    texts += [section.name for section in elf.sections]
    # Every distinct text is a place in the file; what is repeated is one object.
    assert sum(len(text) for text in {id(text): text for text in texts}.values()) <= 1 << 20
    assert len(elf.faults) < 64
    assert elf.machine_name
    for each in (elf.has_symtab, elf.is_stripped, elf.misaligned):
        assert each is not None
    if kind == 7:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            assert read_elf(file.fileno()) == elf
            assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len(content)


def _elf(choices: Choices) -> bytes:
    is_64, order = choices.below(4) != 0, "<>"[choices.below(8) == 7]
    word = "Q" if is_64 else "I"
    header_size, segment_size, section_size = (64, 56, 64) if is_64 else (52, 32, 40)
    body = bytearray(_STRINGS)
    start = header_size
    mask = (1 << (64 if is_64 else 32)) - 1

    def or_else(usual: int) -> int:
        return (usual if choices.byte() < 225 else choices.number()) & mask

    def add(data: bytes) -> tuple[int, int]:
        at = start + len(body)
        body.extend(data)
        return at, len(data)

    libraries = [choices.pick(_PLACES) for _ in range(choices.below(4))]
    needs = b""
    for number, library in enumerate(libraries):
        names = 1 + choices.below(3)
        following = 0 if number == len(libraries) - 1 else 16 + 16 * names
        needs += struct.pack(
            order + "HHIII", 1, names, or_else(library) & 0xFFFFFFFF, 16, or_else(following) & 0xFFFFFFFF
        )
        for each in range(names):
            step = 0 if each == names - 1 else 16
            needs += struct.pack(order + "IHHII", 0, 0, 2, choices.pick(_PLACES), or_else(step) & 0xFFFFFFFF)
    needs_at = add(needs)
    note_name = choices.pick((b"GNU\0", b"Go\0\0", b"")) + bytes(choices.below(3))
    note = struct.pack(
        order + "III", or_else(len(note_name)) & 0xFFFFFFFF, or_else(20) & 0xFFFFFFFF, choices.pick((3, 3, 1))
    )
    notes_at = add((note + note_name + bytes(range(20))) * (1 + choices.below(3)))
    entries = [(1, place) for place in libraries] + [
        (5, start),
        (10, len(_STRINGS)),
        (0x6FFFFFFE, needs_at[0]),
        (0x6FFFFFFF, len(libraries)),
    ]
    entries += [(choices.pick(_TAGS), choices.pick(_PLACES)) for _ in range(choices.below(6))]
    dynamic = b"".join(struct.pack(order + word * 2, tag & mask, or_else(value)) for tag, value in entries)
    dynamic_at = add(dynamic * (1 << choices.below(8) * (choices.byte() > 240)))
    interpreter_at = (start + _STRINGS.index(b"/lib/ld"), 11)
    rows = [(1, (0, 1 << 14)), (2, dynamic_at), (4, notes_at), (3, interpreter_at)][: 1 + choices.below(5)]
    segments = b""
    for kind, (at, size) in rows:
        kind, at, size = or_else(kind) & 0xFFFFFFFF, or_else(at), or_else(size)
        row: tuple[int, ...] = (
            (kind, 5, at, at, at, size, size, 4096) if is_64 else (kind, at, at, at, size, size, 5, 4096)
        )
        segments += struct.pack(order + ("IIQQQQQQ" if is_64 else "IIIIIIII"), *row)
    segments *= 1 << choices.below(10) * (choices.byte() > 245)
    segments_at = add(segments)
    sections = bytes(section_size)
    for _ in range(choices.below(6)):
        name, kind = choices.pick(_PLACES), choices.pick((1, 2, 3, 6, 7, 8))
        row = (name, kind, 0, 0, or_else(start), or_else(len(_STRINGS)), choices.below(4), 0, 1, 0)
        sections += struct.pack(order + ("IIQQQQIIQQ" if is_64 else "IIIIIIIIII"), *row)
    sections *= 1 << choices.below(10) * (choices.byte() > 245)
    sections_at = add(sections)
    ident = b"\x7fELF" + bytes([2 if is_64 else 1, 1 if order == "<" else 2, 1, choices.below(4)]) + bytes(8)
    usual = (
        segment_size,
        len(segments) // segment_size,
        section_size,
        len(sections) // section_size,
        1 + choices.below(4),
    )
    counts = tuple(or_else(value) & 0xFFFF for value in usual)
    fields = (
        choices.below(5),
        choices.pick((62, 183, 3, 21)),
        1,
        0,
        or_else(segments_at[0]),
        or_else(sections_at[0]),
        0,
        header_size,
    )
    header = ident + struct.pack(order + "HHI" + word * 3 + "IHHHHHH", *fields, *counts)
    whole = header + bytes(body) + bytes(choices.below(40))
    return whole[: or_else(len(whole))]


def seeds() -> list[bytes]:
    made = [
        bytes([1 + step % 7, 1 + step % 3, step % 9, *[(step * 7 + at * 31 + at // 5) % 224 for at in range(110)]])
        for step in range(50)
    ]
    raw = [b"\0" + _elf(Choices(seed[1:]))[: MAX_BYTES - 1] for seed in made[:8]]
    return interleaved(made, raw)
