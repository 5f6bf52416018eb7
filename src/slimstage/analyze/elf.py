"""What an ELF file says of itself: what it needs, what is symbols and debug information, what no segment loads.

Pure reading, by offsets, of a file that is not trusted: nothing is executed or mapped for execution, every offset is
held against the file's size, every count and every text against a limit, and what lies is a fault in the result, so that
one hostile file does not end the analysis of an image. The values go to `analyze/` and `slim/`.

Source: System V ABI, gABI 4.1 "Object Files" and "Dynamic Linking"; Linux Standard Base core, "Symbol Versioning";
ld(1) on `.note.gnu.build-id`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from slimstage.analyze.elf_bytes import Bytes, ElfSource, Elsewhere, open_source
from slimstage.analyze.elf_values import SHT_NOBITS, Elf, ElfKind, Section, Segment
from slimstage.errors import FormatError

MOST_HEADERS = 65_536
"""Sections and segments, dynamic entries and version records that are read of each kind."""
_NOTES_BYTES = 1 << 20
"""Of all notes of a file together."""
_PATH_BYTES = 4096
_NAME_BYTES = 512

_KINDS: dict[int, ElfKind] = {1: "relocatable", 2: "executable", 3: "shared", 4: "core"}
_PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 2, 3, 4
_SHT_DYNAMIC, _SHT_NOTE = 6, 7
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_DT_FLAGS_1, _DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFB, 0x6FFFFFFE, 0x6FFFFFFF
_DF_1_PIE = 0x08000000
_NT_GNU_BUILD_ID = 3
_PN_XNUM = _SHN_XINDEX = 0xFFFF


def is_elf(head: bytes) -> bool:
    """True when a file that begins with these bytes (4 are enough) is meant to be an ELF file."""
    return head[:4] == b"\x7fELF"


def read_elf(source: ElfSource) -> Elf:
    """What the file says. source: its bytes (bytes, mmap, memoryview), a descriptor of a regular file, not moved, or what
    reads it.

    Raises FormatError (`not-elf`): another magic number, an unknown class or byte order, a header that is cut off;
    OSError of a descriptor.
    """
    return _Reader(open_source(source)).read()


class _Reader:
    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._faults: dict[str, None] = {}
        ident = data.head(16)
        if not is_elf(ident) or len(ident) < 16:
            raise FormatError("the file is no ELF file", code="not-elf")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise FormatError(f"the ELF file has class {ident[4]}, byte order {ident[5]}", code="not-elf")
        self._is_64 = ident[4] == 2
        self._order = "<" if ident[5] == 1 else ">"
        self._os_abi = ident[7]
        self._segments: tuple[Segment, ...] = ()

    def read(self) -> Elf:
        layout = "HHIQQQIHHHHHH" if self._is_64 else "HHIIIIIHHHHHH"
        try:
            header = self._unpack(layout, 16)
        except Elsewhere:
            raise FormatError("the header of the ELF file is cut off", code="not-elf") from None
        kind, machine, _, _, segments_at, sections_at, _, size, segment_size, segments, section_size, count, names = (
            header
        )
        first = self._first_section(sections_at, section_size)
        if first is not None:
            # Counts that do not fit into 16 bits are in the first section header.
            count = count or first[5]
            names = first[6] if names == _SHN_XINDEX else names
            segments = first[7] if segments == _PN_XNUM else segments
        self._segments = tuple(self._read_segments(segments_at, segment_size, segments))
        raw = list(self._read_sections(sections_at, section_size, count if sections_at else 0))
        sections = self._named(raw, names)
        dynamic = self._dynamic(sections)
        spans = [(s.offset, s.size_bytes) for s in sections] + [(s.offset, s.file_bytes) for s in self._segments]
        tables = [
            (0, size),
            (segments_at, segment_size * len(self._segments)),
            (sections_at, section_size * len(sections)),
        ]
        needed, soname, rpath, runpath, versions = self._needs(dynamic)
        return Elf(
            size_bytes=self._data.size,
            bits=64 if self._is_64 else 32,
            byte_order="little" if self._order == "<" else "big",
            machine=machine,
            kind=_KINDS.get(kind, "other"),
            os_abi=self._os_abi,
            is_pie=kind == 3 and any(tag == _DT_FLAGS_1 and value & _DF_1_PIE for tag, value in dynamic),
            interpreter=self._interpreter(),
            soname=soname,
            needed=needed,
            rpath=rpath,
            runpath=runpath,
            build_id=self._build_id(sections),
            versions=versions,
            sections=sections,
            segments=self._segments,
            is_dynamic=bool(dynamic),
            loaded_end=self._end([*tables[:2], *((s.offset, s.file_bytes) for s in self._segments)]),
            end=self._end([*tables, *spans]),
            faults=tuple(self._faults),
        )

    def _fault(self, sentence: str) -> None:
        self._faults[sentence] = None

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(self._order + layout, self._data.at(offset, struct.calcsize("=" + layout)))

    def _table(self, what: str, offset: int, entry_size: int, count: int, layout: str) -> Iterator[tuple[int, ...]]:
        """The entries of a table of headers, as many as are in the file."""
        needed = struct.calcsize("=" + layout)
        if count and entry_size < needed:
            self._fault(f"a {what} has {entry_size} bytes, want {needed}")
            return
        if count > MOST_HEADERS:
            self._fault(f"there are {count} {what}s, of which {MOST_HEADERS} are read")
        there = max(0, self._data.size - offset) // entry_size if entry_size else 0
        if there < count:
            self._fault(f"the table of {what}s passes the end of the file")
        unpack = struct.Struct(self._order + layout).unpack_from
        count = min(count, there, MOST_HEADERS)
        step = max(1, 65_536 // max(1, entry_size))
        for first in range(0, count, step):
            rows = min(step, count - first)
            try:
                block = self._data.at(offset + first * entry_size, (rows - 1) * entry_size + needed)
            except Elsewhere:  # of a file that is shorter than it was, or of which only the beginning was kept
                self._fault(f"the table of {what}s cannot be read")
                return
            yield from (unpack(block, row * entry_size) for row in range(rows))

    def _first_section(self, offset: int, entry_size: int) -> tuple[int, ...] | None:
        layout = "IIQQQQIIQQ" if self._is_64 else "IIIIIIIIII"
        if not offset or entry_size < struct.calcsize("=" + layout):
            return None
        try:
            return self._unpack(layout, offset)
        except Elsewhere:
            return None

    def _read_segments(self, offset: int, entry_size: int, count: int) -> Iterator[Segment]:
        if self._is_64:
            for kind, flags, at, address, _, in_file, in_memory, align in self._table(
                "program header", offset, entry_size, count, "IIQQQQQQ"
            ):
                yield Segment(kind, flags, at, address, in_file, in_memory, align)
            return
        for kind, at, address, _, in_file, in_memory, flags, align in self._table(
            "program header", offset, entry_size, count, "IIIIIIII"
        ):
            yield Segment(kind, flags, at, address, in_file, in_memory, align)

    def _read_sections(self, offset: int, entry_size: int, count: int) -> Iterator[tuple[int, Section]]:
        """(place of the name in the table of names, the section without it)."""
        layout = "IIQQQQIIQQ" if self._is_64 else "IIIIIIIIII"
        for name, kind, flags, address, at, size, link, *_ in self._table(
            "section header", offset, entry_size, count, layout
        ):
            yield name, Section("", kind, flags, address, at, 0 if kind in (0, SHT_NOBITS) else size, link)

    def _named(self, raw: list[tuple[int, Section]], names: int) -> tuple[Section, ...]:
        if not raw:
            return ()
        if names >= len(raw):
            self._fault("the table of section names is not there")
            table = Section("", 0, 0, 0, 0, 0)
        else:
            table = raw[names][1]
        found = []
        for place, s in raw:
            name = self._text(table.offset, table.size_bytes, place, _NAME_BYTES) if table.size_bytes else ""
            found.append(Section(name, s.kind, s.flags, s.address, s.offset, s.size_bytes, s.link))
        return tuple(found)

    def _text(self, table: int, table_size: int, place: int, limit: int) -> str:
        """The text at a place of a table of strings; "" and a fault when there is none."""
        text = self._data.text(table + place, min(limit, table_size - place)) if place < table_size else None
        if text is None:
            self._fault("a name is not in its table, or too long")
        return text or ""

    def _end(self, spans: Iterable[tuple[int, int]]) -> int:
        """The furthest end that is still in the file."""
        ends = [offset + size for offset, size in spans if size]
        if any(end > self._data.size for end in ends):
            self._fault("a section or segment passes the end of the file")
        return max((end for end in ends if end <= self._data.size), default=0)

    def _place(self, address: int) -> int | None:
        """The offset in the file of what is loaded at an address."""
        for segment in self._segments:
            if segment.is_loaded and segment.address <= address < segment.address + segment.file_bytes:
                return segment.offset + address - segment.address
        return None

    def _interpreter(self) -> str | None:
        for segment in self._segments:
            if segment.kind == _PT_INTERP:
                return self._text(segment.offset, segment.file_bytes, 0, _PATH_BYTES)
        return None

    def _dynamic(self, sections: tuple[Section, ...]) -> list[tuple[int, int]]:
        """(tag, value) up to the entry that ends them."""
        spans = [(s.offset, s.file_bytes) for s in self._segments if s.kind == _PT_DYNAMIC]
        spans += [(s.offset, s.size_bytes) for s in sections if s.kind == _SHT_DYNAMIC and not self._segments]
        if not spans:
            return []
        layout = "qQ" if self._is_64 else "iI"
        size = struct.calcsize("=" + layout)
        found: list[tuple[int, int]] = []
        for tag, value in self._table("dynamic entry", spans[0][0], size, spans[0][1] // size, layout):
            if tag == 0:
                break
            found.append((tag, value))
        return found

    def _needs(
        self, dynamic: list[tuple[int, int]]
    ) -> tuple[tuple[str, ...], str | None, tuple[str, ...], tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
        """(needed, soname, rpath, runpath, versions)."""
        last = dict(dynamic)
        table, size = self._place(last.get(_DT_STRTAB, 0)), last.get(_DT_STRSZ, 0)
        if table is None:
            if last.keys() & {_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH}:
                self._fault("the table of dynamic strings is not in the file")
            return (), None, (), (), ()

        def text(place: int) -> str:
            return self._text(table, size, place, _PATH_BYTES)

        def paths(tag: int) -> tuple[str, ...]:
            return tuple(part for part in text(last[tag]).split(":") if part) if tag in last else ()

        needed = tuple(text(value) for tag, value in dynamic if tag == _DT_NEEDED)
        soname = text(last[_DT_SONAME]) if _DT_SONAME in last else None
        versions: list[tuple[str, tuple[str, ...]]] = []
        if _DT_VERNEED in last and (at := self._place(last[_DT_VERNEED])) is not None:
            try:
                for file, names in self._version_needs(at, last.get(_DT_VERNEEDNUM, 0)):
                    versions.append((text(file), tuple(text(name) for name in names)))
            except Elsewhere:
                self._fault("the needed versions pass the end of the file")
        return needed, soname, paths(_DT_RPATH), paths(_DT_RUNPATH), tuple(versions)

    def _version_needs(self, at: int, count: int) -> Iterator[tuple[int, list[int]]]:
        """(place of a library's name, places of version names). Raises Elsewhere."""
        left = MOST_HEADERS
        for _ in range(min(count, MOST_HEADERS)):
            _, entries, file, first, following = self._unpack("HHIII", at)
            names: list[int] = []
            here = at + first
            for _ in range(entries):
                left -= 1
                if left < 0:
                    self._fault("there are too many needed versions")
                    return
                *_, name, next_entry = self._unpack("IHHII", here)
                names.append(name)
                if not next_entry:
                    break
                here += next_entry
            yield file, names
            if not following:
                return
            at += following

    def _build_id(self, sections: tuple[Section, ...]) -> str | None:
        spans = [(s.offset, s.file_bytes, s.align) for s in self._segments if s.kind == _PT_NOTE]
        spans += [(s.offset, s.size_bytes, 4) for s in sections if s.kind == _SHT_NOTE and not self._segments]
        left = _NOTES_BYTES
        for offset, size, align in spans:
            if size > left or left <= 0:
                self._fault("the notes are too large to be read")
                return None
            left -= max(size, 12)
            try:
                found = self._gnu_note(self._data.at(offset, size), 8 if align == 8 else 4)
            except Elsewhere:
                self._fault("a note passes the end of the file")
                continue
            if found is not None:
                return found
        return None

    def _gnu_note(self, notes: bytes, align: int) -> str | None:
        at = 0
        while at + 12 <= len(notes):
            name_size, size, kind = struct.unpack_from(self._order + "III", notes, at)
            start = at + 12 + name_size + -(12 + name_size) % align
            if start + size > len(notes):
                self._fault("a note is cut off")
                return None
            if kind == _NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0" and name_size == 4:
                return notes[start : start + size].hex()
            at = start + size + -size % align
        return None


__all__ = ["MOST_HEADERS", "Elf", "ElfKind", "ElfSource", "Section", "Segment", "is_elf", "read_elf"]
