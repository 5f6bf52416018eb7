"""analyze/weights/: files that the real libraries wrote (tests/unit/analyze/weights/), torch's made here, and files that lie.

The small files are by numpy 2.4, joblib 1.6 with scikit-learn 1.9, safetensors 0.8, onnx 1.23, gguf 0.19 and xgboost 3.2.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.analyze.weights import WeightsFacts, read_weights

FILES = Path(__file__).parent / "weights"


def read(path: str, data: bytes) -> WeightsFacts | None:
    return read_weights(path, lambda offset, count: data[offset : offset + count], len(data))


def facts(path: str, data: bytes | None = None) -> WeightsFacts:
    found = read(path, (FILES / path).read_bytes() if data is None else data)
    assert found is not None
    return found


WRITTEN: dict[str, tuple[str, int | None, dict[str, int], int]] = {
    "array.npy": ("npy", 12, {"uint8": 12}, 1),
    "arrays.npz": ("npz", 1205, {"float16": 1200, "float64": 5}, 2),
    "arrays.joblib": ("joblib", 11, {"float32": 6, "float64": 5, "object": 2}, 3),
    "compressed.joblib": ("joblib", 1000, {"int32": 1000}, 1),
    "pipeline.joblib": ("joblib", 31, {"float64": 27, "int32": 1, "int64": 3}, 7),
    "protocol0.pkl": ("pickle", 8, {"float32": 4, "int64": 4}, 2),
    "protocol5.pkl": ("pickle", 10, {"float32": 10}, 1),
    "m.safetensors": ("safetensors", 23, {"float32": 20, "int64": 3}, 2),
    "m.onnx": ("onnx", 211, {"float16": 8, "float32": 203}, 4),
    "external.onnx": ("onnx", 211, {"float16": 8, "float32": 203}, 4),
    "m.gguf": ("gguf", 192, {"float16": 64, "float32": 128}, 2),
    "m.ubj": ("xgboost", None, {}, 0),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_of_the_real_library_has_its_parameters(name: str) -> None:
    found = facts(name)
    assert (found.format, found.parameters, found.dtypes, found.tensors) == WRITTEN[name]
    assert found.faults == ()


def test_a_pickle_says_what_loading_it_would_import_behind_raw_arrays_too() -> None:
    assert facts("pipeline.joblib").classes == (
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
        "numpy.ndarray",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
    )


def test_what_a_file_says_of_itself_is_kept() -> None:
    assert facts("m.safetensors").metadata == {"format": "pt"}
    assert facts("m.gguf").metadata["general.architecture"] == "llama"
    assert facts("m.gguf").metadata["llama.context_length"] == "512"
    assert facts("m.onnx").metadata["producer_name"] == "test"
    assert facts("external.onnx").external == ("external.data",)
    assert facts("m.txt", b"tree\nversion=v4\nnum_class=3\ntree_sizes=1 2 3\n\nTree=0\n").metadata["trees"] == "3"


# torch -------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names that torch's pickles refer to; torch itself is not needed to write them."""
    module, private = ModuleType("torch"), ModuleType("torch._utils")
    for name in ("FloatStorage", "BFloat16Storage", "UntypedStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2() -> None: ...
    def _rebuild_tensor_v3() -> None: ...

    for function in (_rebuild_tensor_v2, _rebuild_tensor_v3):
        function.__module__, function.__qualname__ = "torch._utils", function.__name__
        setattr(private, function.__name__, function)
    module.float8_e4m3fn = type("float8_e4m3fn", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    module.utils = private  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", private)
    return module


class Storage:
    def __init__(self, kind: type, key: str, count: int) -> None:
        self.identity = ("storage", kind, key, "cpu", count)


class Tensor:
    def __init__(self, function: Any, storage: Storage, shape: tuple[int, ...], *more: object) -> None:
        self.function, self.arguments = function, (storage, 0, shape, (1,) * len(shape), False, {}, *more)

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.function, self.arguments


class Pickler(pickle.Pickler):
    is_legacy = False

    def persistent_id(self, value: object) -> object:
        if isinstance(value, Storage):
            return (*value.identity, None) if self.is_legacy else value.identity
        return None


def state(torch: Any) -> dict[str, object]:
    weight, scale = Storage(torch.FloatStorage, "0", 12), Storage(torch.BFloat16Storage, "1", 5)
    v2, v3 = torch.utils._rebuild_tensor_v2, torch.utils._rebuild_tensor_v3
    small = Storage(torch.UntypedStorage, "2", 7)
    return collections.OrderedDict(
        a=Tensor(v2, weight, (3, 4)),
        tied=Tensor(v2, weight, (4, 3)),
        b=Tensor(v2, scale, (5,)),
        c=Tensor(v3, small, (7,), torch.float8_e4m3fn),
    )


def pickled(value: object, *, is_legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    pickler = Pickler(stream, protocol=2)
    pickler.is_legacy = is_legacy
    pickler.dump(value)
    return stream.getvalue()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def torch_archive(torch: Any, **changes: bytes) -> bytes:
    storages = {"m/data/0": bytes(48), "m/data/1": bytes(10), "m/data/2": bytes(7)}
    storages |= {f"m/data/{key[1:]}": data for key, data in changes.items()}
    return archive({"m/data.pkl": pickled(state(torch)), **storages, "m/version": b"3\n"})


def test_an_archive_of_torch_counts_each_storage_once(torch: Any) -> None:
    found = facts("model.pt", torch_archive(torch))
    assert (found.format, found.parameters, found.tensors) == ("pytorch", 24, 4)
    assert found.dtypes == {"bfloat16": 5, "float32": 12, "float8_e4m3fn": 7}
    assert "torch._utils._rebuild_tensor_v2" in found.classes
    assert found.faults == ()
    assert facts("x", torch_archive(torch)).format == "pytorch"


def test_a_storage_that_is_cut_or_missing_is_a_fault(torch: Any) -> None:
    assert facts("m.pt", torch_archive(torch, s0=bytes(47))).faults == (
        "a storage has fewer bytes than its tensors need",
    )
    found = facts("m.pt", archive({"m/data.pkl": pickled(state(torch))}))
    assert found.parameters == 24
    assert found.faults == ("a storage is not in the archive",)


def test_an_archive_of_which_only_the_beginning_is_there_is_read_by_its_first_member(torch: Any) -> None:
    data = torch_archive(torch)
    kept = data[:2000]
    found = read_weights("m.pt", lambda offset, count: kept[offset : offset + count], len(data) + 5_000_000)
    assert found is not None
    assert (found.parameters, found.tensors) == (24, 4)


def test_a_file_of_which_the_beginning_is_there_is_read_in_blocks() -> None:
    header = b'{"a":{"dtype":"U8","shape":[1000000],"data_offsets":[0,1000000]}}'
    kept = safetensors(header)
    reads: list[int] = []

    def read_at(offset: int, count: int) -> bytes:
        reads.append(count)
        return kept[offset : offset + count]

    found = read_weights("m.safetensors", read_at, len(kept) + 1_000_000)
    assert found is not None
    assert (found.parameters, found.faults) == (1_000_000, ())
    assert len(reads) < 10
    opcodes, reads = b"\x80\x04" + b"N0" * 100_000, []
    kept = opcodes
    found = read_weights("m.pkl", read_at, len(kept) + 1_000_000)
    assert found is not None
    assert found.faults == ("not all of the file is there to be read",)
    assert len(reads) < 10


def test_the_older_row_of_pickles_is_read(torch: Any) -> None:
    row = [pickle.dumps(each, protocol=2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    data = (
        b"".join(row) + pickled(state(torch), is_legacy=True) + pickle.dumps(["0", "1", "2"], protocol=2) + bytes(100)
    )
    found = facts("old.pth", data)
    assert (found.format, found.parameters, found.tensors, found.faults) == ("pytorch", 24, 4, ())


# Files that lie ----------------------------------------------------------------------------------------------


def safetensors(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 1 << 63) + b'{"a',
        struct.pack("<Q", 70 << 20) + b'{"' + bytes(100),
        safetensors(b'{"a":{"dtype":"F32","shape":[9223372036854775807,3],"data_offsets":[0,4]}}', bytes(4)),
        safetensors(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', bytes(4)),
        safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        safetensors(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
        safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', bytes(4)),
        safetensors(b'{"a":1}', bytes(4)),
        safetensors(b'{"a":' + b"[" * 100_000, b""),
        safetensors(b'{"a":' + b"9" * 5000 + b"}"),
    ],
)
def test_headers_of_safetensors_that_lie_are_faults(data: bytes) -> None:
    assert facts("m.safetensors", data).faults


def gguf(tensors: int = 0, pairs: int = 0, rest: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


@pytest.mark.parametrize(
    "data",
    [
        gguf(version=9),
        gguf(tensors=1 << 63),
        gguf(pairs=1 << 62),
        gguf(pairs=1, rest=struct.pack("<Q", 1 << 60)),
        gguf(pairs=1, rest=text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 63)),
        gguf(pairs=1, rest=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 63)),
        gguf(pairs=1, rest=text(b"k") + struct.pack("<IIQ", 9, 9, 3) + struct.pack("<IQ", 9, 3) * 50),
        gguf(pairs=1, rest=text(b"k") + struct.pack("<I", 99)),
        gguf(tensors=1, rest=text(b"t") + struct.pack("<I", 1 << 31)),
        gguf(tensors=1, rest=text(b"t") + struct.pack("<IQQIQ", 2, 1 << 62, 4, 0, 0)),
        gguf(tensors=1, rest=text(b"t") + struct.pack("<IQIQ", 1, 1024, 12, 0)),
    ],
)
def test_ggufs_that_lie_are_faults(data: bytes) -> None:
    assert facts("m.gguf", data).faults


def test_an_older_and_a_big_endian_gguf_are_read() -> None:
    old = b"GGUF" + struct.pack("<III", 1, 1, 1) + struct.pack("<I", 1) + b"k" + struct.pack("<II", 4, 7)
    old += struct.pack("<I", 1) + b"t" + struct.pack("<IIIQ", 1, 256, 12, 0)
    found = facts("m.gguf", old + bytes(-len(old) % 32) + bytes(144))
    assert (found.dtypes, found.metadata["k"], found.faults) == ({"q4_k": 256}, "7", ())
    big = b"GGUF" + struct.pack(">IQQ", 3, 1, 0) + struct.pack(">Q", 1) + b"t" + struct.pack(">IQIQ", 1, 2, 0, 0)
    assert facts("m.gguf", big + bytes(40)).dtypes == {"float32": 2}


def field(number: int, content: bytes) -> bytes:
    size, head = len(content), b""
    while size > 0x7F:
        head, size = head + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + head + bytes([size]) + content


def test_graphs_of_onnx_that_lie_are_faults() -> None:
    nested = b""
    for _ in range(40):
        nested = field(1, field(5, field(6, nested)))
    tensor = b"\x08\x02\x10\x01"
    for data in (
        b"",
        field(7, b"")[:1],
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff" * 40,
        field(7, field(5, tensor + field(9, bytes(7)))),
        field(7, field(5, b"\x08" + b"\xff" * 9 + b"\x01\x10\x01")),
        field(7, nested),
    ):
        assert facts("m.onnx", data).faults, data
    assert facts("m.onnx", field(7, field(5, tensor + field(9, bytes(8))))).faults == ()


def test_pickles_that_lie_are_faults_and_nothing_of_them_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(mark),)

    found = facts("m.pkl", pickle.dumps(Evil()))
    assert found.classes == ("posix.mkdir",)
    assert found.parameters is None
    assert not mark.exists()
    for data in (
        b"\x80\x04",
        b"\x80\x04.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62),
        b"\x80\x04\x8b\xff\xff\xff\xff.",
        b"\x80\x04h\x07.",
        b"\x80\x04R.",
        b"\x80\x04t.",
        b"\x80\x04(.",
        b"\x80\x04\xff.",
        b"\x80\x04I" + b"9" * 100_000,
    ):
        assert facts("m.pkl", data).faults, data


def test_an_array_of_joblib_larger_than_the_file_is_a_fault() -> None:
    data = (FILES / "arrays.joblib").read_bytes()
    assert facts("a.joblib", data.replace(b"K\x05\x85", b"K\xff\x85")).faults
    assert facts("a.joblib", data[:-40]).faults


def test_pickles_in_each_other_end() -> None:
    data = (FILES / "arrays.joblib").read_bytes()
    inner = data.index(b"\x80", 2)
    assert "nested deeper" in str(facts("a.joblib", data[:inner] * 100 + data[inner:]).faults)


def test_bombs_are_cut() -> None:
    data = zlib.compress(b"\x80\x04" + b"N" * 5_000_000 + b".", 9)
    assert "opcodes" in facts("bomb.joblib", data).faults[0]
    bomb = archive({"a.npy": b"\x93NUMPY\1\0\xff\xff" + bytes(60_000_000)}, zipfile.ZIP_DEFLATED)
    assert facts("bomb.npz", bomb).faults
    assert len(bomb) < 100_000


def test_archives_that_lie_are_faults(torch: Any) -> None:
    data = torch_archive(torch)
    end = data.rfind(b"PK\5\6")
    far = data[: end + 16] + struct.pack("<I", 0x7FFFFFFF) + data[end + 20 :]
    many = data[: end + 10] + struct.pack("<H", 60_000) + data[end + 12 :]
    for each in (far, many):
        assert facts("m.pt", each).parameters is not None  # by its first member
    assert facts("m.pt", data.replace(b"PK\1\2", b"PK\1\3")).parameters is not None
    assert read("wheel.whl", archive({"a.py": b"x"})) is None


@pytest.mark.parametrize("name", ["a.py", "notes.txt", "model.json", "x.zip"])
def test_other_files_are_no_models(name: str) -> None:
    assert read(name, b'{"a": 1}') is None
    assert read(name, b"") is None


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=50)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6), cut=st.integers(0, 1 << 16)
)
def test_a_mutated_file_is_read_as_far_as_it_goes(name: str, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray((FILES / name).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    check(read(name, bytes(data)))
    check(read(name, bytes(data)[: cut % len(data)]))


@given(
    st.sampled_from(["a.safetensors", "a.onnx", "a.pkl", "a.pt", "a.gguf", "a.npz", "a.h5"]), st.binary(max_size=300)
)
def test_any_bytes_are_read(name: str, data: bytes) -> None:
    check(read(name, data))


def check(found: WeightsFacts | None) -> None:
    if found is not None:
        assert found.parameters is None or found.parameters >= 0
        assert len(found.faults) <= 20
        assert len(found.metadata) <= 64
