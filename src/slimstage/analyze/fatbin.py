"""Device code in a library: how many of its bytes are for which GPU architecture.

A CUDA library carries its kernels once for each architecture, and often as PTX beside them, which a driver compiles for
architectures that are newer. A machine has one of them; the others are never loaded. Nothing is executed here: headers are
read by offsets of a file that is not trusted, every size is held against its section, and what lies is a fault.

Source: the sections `.nv_fatbin` and `__nv_relfatbin` as nvcc's fatbinary makes them, which NVIDIA does not document: a row of
containers, each 16 bytes (u32 magic 0xBA55ED50, u16 version, u16 header size, u64 payload) and entries, each a header (u16
kind, u16, u32 header size, u64 padded payload, …, u32 architecture at 28, …, u64 flags at 40) and its payload, compressed or
not. Read from more than twenty libraries of CUDA 12 and 13. In these all but the containers' headers is attributed: libcurand
10.3.10 has 123,864,352 bytes in 11 containers (13 architectures and PTX), libnccl 2.32.3 413,742,784 in 205 of both sections.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

from slimstage.analyze.elf import is_elf, read_elf
from slimstage.errors import FormatError
from slimstage.values import dataclass, field

SECTIONS = (".nv_fatbin", "__nv_relfatbin")
"""The second holds what is linked on the device. Containers elsewhere (`.ldata` of cuFFT, `.cask_resource`) are not counted."""
_MAGIC = 0xBA55ED50
_CONTAINER, _ENTRY = 16, 64
_PTX, _CUBIN, _LTO = 1, 2, 8
_EXACT, _FAMILY = 0x100000, 0x200000
"""Flags of `sm_90a` and `sm_100f`: for that architecture alone, for its family. So nvcc 13.0 makes them."""
_MOST_ENTRIES = 1_000_000
_MOST_TARGETS = 1000
_MOST_FAULTS = 20
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Fatbins:
    """by_target: bytes with headers, of `sm_80`, `sm_90a`, `ptx_compute_90`, `lto_90`, largest first. section_bytes: of the
    sections, of which up to 7 bytes a container are padding. containers, entries: how many. faults: a sentence each.
    """

    by_target: Mapping[str, int] = field(default_factory=dict)
    section_bytes: int = 0
    containers: int = 0
    entries: int = 0
    faults: tuple[str, ...] = ()


def gpu_bytes(read_at: Callable[[int, int], bytes], size: int) -> Mapping[str, int]:
    """Bytes of device code by what it is for; empty for a file without any. See `read_fatbins`."""
    return read_fatbins(read_at, size).by_target


def read_fatbins(read_at: Callable[[int, int], bytes], size: int) -> Fatbins:
    """The device code of an ELF file. A file that is none has none.

    read_at: (offset, count) → bytes, fewer at the end of what is there. size: of the file. Raises: what `read_at` raises.
    """
    if not is_elf(read_at(0, min(4, size))):
        return Fatbins()
    try:
        elf = read_elf(_Source(read_at, size))
    except FormatError as error:
        return Fatbins(faults=(error.message,))
    walker = _Walker(read_at, size)
    for section in elf.sections:
        if section.name in SECTIONS and section.size_bytes:
            walker.section(section.offset, section.offset + section.size_bytes)
    by_target = dict(sorted(walker.by_target.items(), key=lambda item: (-item[1], item[0])))
    return Fatbins(by_target, walker.section_bytes, walker.containers, walker.entries, tuple(walker.faults))


class _Source:
    """What `read_elf` reads from."""

    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at, self.size = read_at, size

    def at(self, offset: int, count: int) -> bytes:
        return self._read_at(offset, count)


class _Walker:
    def __init__(self, read_at: Callable[[int, int], bytes], size: int) -> None:
        self._read_at, self._size = read_at, size
        self._block, self._block_at = b"", 0
        self.by_target: dict[str, int] = {}
        self.section_bytes = self.containers = self.entries = self._steps = 0
        self.faults: dict[str, None] = {}
        self._done: dict[int, int] = {}

    def section(self, start: int, end: int) -> None:
        if end > self._size:
            self._fault("a section of device code passes the end of the file")
            end = self._size
        if any(start < other_end and other < end for other, other_end in self._done.items()):
            self._fault("sections of device code overlap")
            return
        self._done[start] = end
        self.section_bytes += max(0, end - start)
        for first, last in self._containers(start, end):
            self._entries(first, last)

    def _containers(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        """(start, end) of the entries of each container."""
        while at + _CONTAINER <= end and self._may_go_on():
            head = self._bytes(at, _CONTAINER)
            if len(head) < _CONTAINER:
                self._fault("not all of the device code is there to be read")
                return
            magic, _, header, payload = struct.unpack("<IHHQ", head)
            if magic != _MAGIC or header < _CONTAINER:
                self._fault("a section of device code holds something else")
                return
            last = at + header + payload
            if last > end:
                self._fault("a container of device code passes the end of its section")
                last = end
            self.containers += 1
            yield at + header, last
            at = last + -last % 8

    def _entries(self, at: int, end: int) -> None:
        while at + _ENTRY <= end and self._may_go_on():
            head = self._bytes(at, _ENTRY)
            if len(head) < _ENTRY:
                self._fault("not all of the device code is there to be read")
                return
            kind, _, header, payload = struct.unpack_from("<HHIQ", head)
            architecture, flags = struct.unpack_from("<I8xQ", head, 28)
            whole = header + payload
            if header < _ENTRY or at + whole > end:
                self._fault("an entry of device code passes the end of its container")
                return
            self.entries += 1
            self._count(_target(kind, architecture, flags), whole)
            at += whole

    def _count(self, target: str, size_bytes: int) -> None:
        if target not in self.by_target and len(self.by_target) >= _MOST_TARGETS:
            self._fault("there is device code for more architectures than there are")
            return
        self.by_target[target] = self.by_target.get(target, 0) + size_bytes

    def _may_go_on(self) -> bool:
        self._steps += 1
        if self._steps > _MOST_ENTRIES:
            self._fault(f"there are more than {_MOST_ENTRIES} entries of device code")
            return False
        return True

    def _bytes(self, at: int, count: int) -> bytes:
        """Few at a time: what is between headers is passed over."""
        place = at - self._block_at
        if not 0 <= place <= len(self._block) - count:
            self._block, self._block_at, place = self._read_at(at, min(_BLOCK, self._size - at)), at, 0
        return self._block[place : place + count]

    def _fault(self, sentence: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults[sentence] = None


def _target(kind: int, architecture: int, flags: int) -> str:
    suffix = "a" if flags & _EXACT else "f" if flags & _FAMILY else ""
    if kind == _CUBIN:
        return f"sm_{architecture}{suffix}"
    if kind == _PTX:
        return f"ptx_compute_{architecture}{suffix}"
    return f"lto_{architecture}{suffix}" if kind == _LTO else f"kind_{kind}_{architecture}"
