"""An ELF file as a value: its headers, what it needs, and what follows from them about its bytes.

Made by `elf.py`; pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from slimstage.values import dataclass

PT_LOAD, SHT_SYMTAB, SHT_NOBITS = 1, 2, 8
_MACHINES = {
    3: "386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 50: "ia64", 62: "amd64", 183: "arm64", 190: "cuda",
    224: "amdgpu", 243: "riscv", 247: "bpf", 258: "loong64",
}  # fmt: skip
_DEBUG_NAMES = (".debug_", ".zdebug_", ".gdb_index", ".stab", ".gnu.debuglto_")

ElfKind = Literal["relocatable", "executable", "shared", "core", "other"]


@dataclass(frozen=True, slots=True)
class Section:
    """One section header as written. `size_bytes`: in the file, 0 where the section has none there (.bss)."""

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size_bytes: int
    link: int = 0

    @property
    def is_debug(self) -> bool:
        """True for debug information, compressed or not: nothing needs it to run."""
        return self.name.startswith(_DEBUG_NAMES)


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header as written."""

    kind: int
    flags: int
    offset: int
    address: int
    file_bytes: int
    memory_bytes: int
    align: int

    @property
    def is_loaded(self) -> bool:
        return self.kind == PT_LOAD

    @property
    def is_aligned(self) -> bool:
        """False when a loader refuses it: offset and address differ within a page (as naive `strip` leaves them)."""
        return self.align < 2 or self.offset % self.align == self.address % self.align


@dataclass(frozen=True, slots=True)
class Elf:
    """A whole file. Sizes are in bytes; texts are decoded with surrogateescape; () and None: not there.

    needed, rpath, runpath: in the order written; paths split at colons, `$ORIGIN` kept. versions: (library, version
    names) that the file needs. loaded_end: where the last segment ends in the file, headers included.
    faults: what the file says that cannot be, one sentence each; what could be read is there all the same.
    """

    size_bytes: int
    bits: int
    byte_order: Literal["little", "big"]
    machine: int
    kind: ElfKind
    os_abi: int = 0
    is_pie: bool = False
    interpreter: str | None = None
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    build_id: str | None = None
    versions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    sections: tuple[Section, ...] = ()
    segments: tuple[Segment, ...] = ()
    is_dynamic: bool = False
    loaded_end: int = 0
    end: int = 0
    """Where the last header, segment or section ends in the file."""
    faults: tuple[str, ...] = ()

    @property
    def machine_name(self) -> str:
        """In Go's names where it has one, else `machine-NUMBER`."""
        name = _MACHINES.get(self.machine, f"machine-{self.machine}")
        return f"{name}le" if name == "ppc64" and self.byte_order == "little" else name

    @property
    def has_symtab(self) -> bool:
        """True when the full symbol table is there, beside the dynamic one that is always loaded."""
        return any(section.kind == SHT_SYMTAB and section.size_bytes for section in self.sections)

    @property
    def debug_bytes(self) -> int:
        """Bytes of the file that are debug information; what several sections claim counts once."""
        return _covered((section.offset, section.size_bytes) for section in self.sections if section.is_debug)

    @property
    def is_stripped(self) -> bool:
        """True when there is neither a symbol table nor debug information, as file(1) has it."""
        return not self.has_symtab and not self.debug_bytes

    @property
    def unloaded_bytes(self) -> int:
        """Bytes behind the last segment: symbols, debug information, section headers, whatever was appended."""
        return max(0, self.size_bytes - self.loaded_end) if self.segments else 0

    @property
    def tail_bytes(self) -> int:
        """Bytes behind everything that a header names: appended by something that is no linker."""
        return max(0, self.size_bytes - self.end)

    @property
    def misaligned(self) -> tuple[Segment, ...]:
        """Segments that no loader takes."""
        return tuple(segment for segment in self.segments if segment.is_loaded and not segment.is_aligned)


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Bytes that lie in at least one of the (offset, size) spans."""
    total = end = 0
    for offset, size in sorted(spans):
        total += max(0, offset + size - max(offset, end))
        end = max(end, offset + size)
    return total
