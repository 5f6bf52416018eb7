"""safetensors: a JSON header in front of the numbers.

Source: safetensors, README.md, "Format": eight bytes little-endian with the length of the header, the header, the buffer.
"""

from __future__ import annotations

from slimstage.analyze.weights.facts import MOST_ELEMENTS, Gathered, Source, Unreadable, elements_of
from slimstage.errors import FormatError
from slimstage.oci.document import read_object

_HEADER_BYTES = 64 << 20
"""The format allows 100 MB; a header of a hundred thousand tensors has 12."""
_BITS = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E8M0": ("float8_e8m0", 8), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F4": ("float4", 4), "F6_E2M3": ("float6_e2m3", 6), "F6_E3M2": ("float6_e3m2", 6), "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "U32": ("uint32", 32), "I32": ("int32", 32), "F32": ("float32", 32),
    "U64": ("uint64", 64), "I64": ("int64", 64), "F64": ("float64", 64), "C64": ("complex64", 64), "C128": ("complex128", 128),
}  # fmt: skip


def is_safetensors(head: bytes, size: int) -> bool:
    """True when a file that begins like this (10 bytes are enough) can be one."""
    length = int.from_bytes(head[:8], "little")
    return len(head) > 9 and head[8:10] == b'{"' and 2 <= length <= size - 8


def read_safetensors(source: Source) -> Gathered:
    """Raises what `Source` raises; else faults are in what is gathered."""
    found = Gathered("safetensors")
    try:
        _read(source, found)
    except (Unreadable, FormatError) as error:
        found.fault(str(error))
    return found


def _read(source: Source, found: Gathered) -> None:
    length = int.from_bytes(source.at(0, 8), "little")
    if length > _HEADER_BYTES:
        raise Unreadable(f"its header has {length} bytes")
    header = read_object(source.at(8, length), "the header", _HEADER_BYTES)
    buffer = source.size - 8 - length
    notes = header.values.get("__metadata__")
    if isinstance(notes, dict):
        for key, value in notes.items():
            found.say(key, value)
    covered = 0
    for name, tensor in header.values.items():
        if name == "__metadata__":
            continue
        dtype, shape, offsets = _tensor(tensor)
        if dtype is None:
            found.fault("a tensor is not described as one")
            continue
        elements = elements_of(shape)
        label, bits = _BITS.get(dtype, (dtype.lower()[:40], 0))
        found.tensor(label, elements)
        begin, end = offsets
        if not 0 <= begin <= end <= buffer:
            found.fault("a tensor passes the end of the file")
        elif bits and (end - begin) * 8 != elements * bits:
            found.fault("a tensor has other bytes than its shape and type need")
        covered += max(0, end - begin)
    if covered != buffer:
        found.fault(f"its tensors have {covered} bytes, of which {buffer} are there")


def _tensor(value: object) -> tuple[str | None, list[int], tuple[int, int]]:
    """(type, shape, offsets), the type None where it is not described so."""
    if isinstance(value, dict):
        dtype, shape, offsets = value.get("dtype"), _sizes(value.get("shape")), _sizes(value.get("data_offsets"))
        if isinstance(dtype, str) and shape is not None and offsets is not None and len(offsets) == 2:
            return dtype, shape, (offsets[0], offsets[1])
    return None, [], (0, 0)


def _sizes(value: object) -> list[int] | None:
    if isinstance(value, list) and all(type(each) is int and 0 <= each < MOST_ELEMENTS for each in value):
        return value
    return None
