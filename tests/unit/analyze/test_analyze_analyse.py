"""A whole analysis: what it attributes, what it finds, and that nothing an image says ends it."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.analysis import Analysis, AnalysisFinding, type_of
from slimstage.analyze.budget import Budget, exceeded
from slimstage.analyze.document import document
from slimstage.oci.config import ImageConfig
from support.analysing import analysed, check_sums
from support.fatbins import container, entry, library
from support.layering import layer_tar
from support.system_tree import PACKAGES, SYSTEM
from support.trees import Dir, File, Hardlink, Symlink, Tree, Whiteout

_BIG = bytes(range(256)) * 40


@pytest.fixture(params=["directory", "blob"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "directory" else None


def _codes(analysis: Analysis) -> dict[str, AnalysisFinding]:
    return {each.code: each for each in analysis.findings}


def test_an_image_is_attributed_to_its_last_byte(place: Path | None) -> None:
    analysis = analysed(
        place, SYSTEM, PACKAGES, {"app/main.py": b"x" * 100}, created_by=["a", "b", "COPY . /app"]
    ).analysis
    assert analysis.system.id == "debian"
    assert [layer.created_by for layer in analysis.layers] == ["a", "b", "COPY . /app"]
    assert analysis.purposes["application"] == 100
    assert analysis.by_directory(1)["app"] == 100
    assert analysis.by_type()[".so"] == 100
    assert analysis.largest(1)[0].size_bytes == max(analysis.files.sizes)


def test_store_and_blobs_give_the_same_document(tmp_path: Path) -> None:
    trees: list[Tree] = [SYSTEM, PACKAGES, {"a": _BIG, "b": _BIG, "usr/bin/python3": Whiteout()}]
    documents = []
    for place in (tmp_path, None):
        found = document(analysed(place, *trees).analysis)
        for each in found["findings"]:
            del each["compressed_saving_bytes"]  # what a blob did not keep is estimated by its layer
        documents.append(found)
    assert documents[0] == documents[1]
    json.dumps(documents[0])


def test_hidden_bytes_are_found_with_the_layer_that_stores_them(place: Path | None) -> None:
    analysis = analysed(
        place,
        {"data/big": _BIG, "data/old": b"o" * 8000, "home/key": b"x"},
        {"data/big": Whiteout(), "data/old": b"n" * 9000},
        created_by=["RUN fetch", "RUN rm"],
    ).analysis
    found = _codes(analysis)
    assert (found["deleted-later"].saving_bytes, found["deleted-later"].layer) == (len(_BIG), 0)
    assert found["deleted-later"].paths == ("data/big",)
    assert "layer 1" in found["deleted-later"].reason
    assert (found["overwritten-later"].saving_bytes, found["overwritten-later"].layer) == (8000, 0)
    waste = analysis.waste
    assert (waste.overwritten_bytes, waste.deleted_bytes) == (8000, len(_BIG))
    assert waste.dive_wasted_bytes == len(_BIG) + 17000


def test_a_chown_is_told_from_new_content(place: Path | None) -> None:
    analysis = analysed(place, {"app/model": File(_BIG)}, {"app/model": File(_BIG, mode=0o600)}).analysis
    (finding,) = (each for each in analysis.findings if each.code == "copied-again")
    assert (finding.saving_bytes, finding.layer, finding.paths) == (len(_BIG), 1, ("app/model",))
    assert "overwritten-later" not in _codes(analysis)


def test_a_deleted_secret_is_said_whatever_its_size(place: Path | None) -> None:
    analysis = analysed(place, {"k/id_rsa": b"secret"}, {"k/id_rsa": Whiteout()}).analysis
    finding = _codes(analysis)["secret-still-there"]
    assert (finding.layer, finding.paths, finding.saving_bytes) == (0, ("k/id_rsa",), 6)


def test_duplicates_are_seen_files_with_one_content_and_no_hard_links(place: Path | None) -> None:
    analysis = analysed(
        place,
        {"a": _BIG, "b": Hardlink("a"), "c": _BIG, "d": _BIG[:-1] + b"x", "small": b"s", "small2": b"s"},
        {"e": _BIG},
    ).analysis
    (duplicate,) = analysis.duplicates
    assert duplicate.paths == ("a", "c", "e")
    assert duplicate.saving_bytes == analysis.waste.duplicate_bytes == 2 * len(_BIG)


def test_caches_are_said_by_whose_they_are(place: Path | None) -> None:
    analysis = analysed(
        place,
        {"root/.cache/pip/http/x": _BIG, "var/lib/apt/lists/y": _BIG[1:], "var/cache/apt/archives/z.deb": _BIG[2:]},
    ).analysis
    assert {"pip-cache", "apt-lists", "apt-archives"} <= _codes(analysis).keys()
    assert all(finding.compressed_saving_bytes is not None for finding in analysis.findings)


def test_symbols_at_the_end_of_a_library_are_a_part_of_their_own(place: Path | None) -> None:
    analysis = analysed(place, {"usr/lib/libx.so.1": _elf(40_000, symbols=20_000)}).analysis
    assert analysis.purposes["debug-symbols"] == 20_000 + 64 * 3
    assert _codes(analysis)["unneeded-symbols"].saving_bytes == 20_000 + 64 * 3


def test_models_are_known_by_their_headers(place: Path | None) -> None:
    header = b'{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    tree: Tree = {
        "model/a.safetensors": struct.pack("<Q", len(header)) + header + bytes(24),
        "model/b.pkl": pickle.dumps(_Evil("x")),
        "srv/settings.pkl": b"no pickle",
        "opt/lib/python3.11/site-packages/x/tests/small.onnx": b"x" * 100,
    }
    analysis = analysed(place, tree).analysis
    found = {each.path: each for each in analysis.weights}
    assert found.keys() == {"model/a.safetensors", "model/b.pkl"}
    safe = found["model/a.safetensors"]
    assert (safe.format, safe.parameters, safe.dtypes, safe.tensors) == ("safetensors", 6, {"float32": 6}, 1)
    assert found["model/b.pkl"].classes == ("posix.system",)
    assert analysis.purposes["weights"] == sum(each.size_bytes for each in analysis.weights)


def test_device_code_is_counted_by_architecture_and_only_one_is_of_use(place: Path | None) -> None:
    code = container(entry(2, 80, 40_000), entry(2, 90, 60_000), entry(1, 90, 10_000))
    data = library(nv_fatbin=code)
    tree: Tree = {"usr/lib/libmixed.so": data, "opt/lib/python3.11/site-packages/nvidia/x/lib/libx.so.1": data}
    analysis = analysed(place, tree).analysis
    assert analysis.cuda == {"sm_90": 2 * 60_064, "sm_80": 2 * 40_064, "ptx_compute_90": 2 * 10_064}
    assert analysis.purposes["cuda"] == sum(analysis.cuda.values()) // 2 + len(data)
    found = _codes(analysis)
    assert found["other-gpus"].saving_bytes == 2 * 40_064
    assert "sm_80 0.0801 MB, sm_90 0.12 MB" in found["other-gpus"].reason
    assert found["gpu-libraries"].saving_bytes == analysis.purposes["cuda"]
    config = ImageConfig("amd64", "linux", env=("NVIDIA_VISIBLE_DEVICES=all",))
    assert "gpu-libraries" not in _codes(analysed(place and place / "gpu", tree, config=config).analysis)


def test_an_empty_image_and_one_without_layers_have_no_bytes(place: Path | None) -> None:
    assert analysed(place).analysis.size_bytes == 0
    analysis = analysed(place, {"d": Dir()}).analysis
    assert (analysis.size_bytes, analysis.waste.efficiency, analysis.findings) == (0, 1.0, ())


def test_types_are_endings_that_say_something() -> None:
    names = ("a/b.PY", "lib.so.1.2", "x.so.d", ".profile", "a.tar.gz", "README", "a.b-c", "python3.11")
    assert [type_of(name) for name in names] == [
        ".py", ".so", ".d", "", ".gz", "", "", "",
    ]  # fmt: skip


# What an image may say -----------------------------------------------------------------------------------------


def test_what_lies_is_a_fault_and_the_rest_counts(place: Path | None) -> None:
    site = "usr/lib/python3/dist-packages"
    tree: Tree = {
        f"{site}/evil-1.dist-info/METADATA": "Name: ../../x\nVersion: 1\n",
        f"{site}/evil-1.dist-info/RECORD": "../../../../../../etc/passwd,,\n/etc/shadow,,\n" + "a" * 9000 + ",,\n",
        f"{site}/evil.pth": "import os; os.system('touch /tmp/pwned')\n",
        f"{site}/sitecustomize.py": "raise SystemExit\n",
        "usr/lib/cut.so": b"\x7fELF\x02\x01\x01" + b"\xff" * 60_000,
        "usr/lib/short.so": b"\x7fELF" + bytes(40_000),
        "model/a.safetensors": struct.pack("<Q", 1 << 63) + b"{}" * 100,
        "model/b.gguf": b"GGUF" + b"\xff" * 200,
        "model/c.pt": b"cos\nsystem\n(S'touch /tmp/pwned'\ntR." * 5,
        "var/lib/dpkg/status": "Package: x\nVersion: \x1b[31m1\nStatus: install ok installed\n\n" * 3,
        "etc/os-release": Symlink("/proc/self/environ"),
        "loop": Symlink("loop"),
    }
    analysis = analysed(place, tree).analysis
    assert any("cut.so" in fault or "short.so" in fault for fault in analysis.faults)
    assert any("evil" in fault for fault in analysis.faults)
    assert {each.path for each in analysis.weights} == {"model/a.safetensors", "model/b.gguf", "model/c.pt"}
    assert [each.name for each in analysis.packages if each.kind == "debian"] == ["x"]
    assert not Path("/tmp/pwned").exists()
    json.dumps(document(analysis))


def test_nothing_of_an_image_is_imported_or_run(place: Path | None, tmp_path: Path) -> None:
    """Each of these writes a file when it is run, imported, loaded or unpickled."""
    mark = tmp_path / "run"
    site = "usr/local/lib/python3.11/site-packages"
    touch = f"import os; os.system('touch {mark}')\n"
    script = File(f"#!/bin/sh\ntouch {mark}\n".encode(), mode=0o755)
    tree: Tree = {
        f"{site}/evil.pth": touch,
        f"{site}/sitecustomize.py": touch,
        f"{site}/json.py": touch,
        f"{site}/evil/__init__.py": touch,
        f"{site}/evil-1.dist-info/METADATA": "Name: evil\nVersion: 1\n",
        f"{site}/evil-1.dist-info/entry_points.txt": "[console_scripts]\n../../x = evil:main\n",
        "usr/bin/python3": script,
        "usr/bin/ldd": script,
        "usr/local/bin/pip": script,
        "app/main.py": touch,
        "model/m.pkl": pickle.dumps(_Evil(str(mark))),
        "model/m.joblib": pickle.dumps(_Evil(str(mark))) * 3,
        "model/pytorch_model.bin": pickle.dumps(_Evil(str(mark))) * 3,
    }
    config = ImageConfig("amd64", "linux", cmd=("python3", "/app/main.py"))
    analysis = analysed(place and place / "image", tree, config=config, entries=("evil",)).analysis
    assert analysis.python.entries == ("-m evil", "/app/main.py")
    assert not mark.exists()


class _Evil:
    def __init__(self, mark: str) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._mark}",)


def test_a_layer_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from slimstage.analyze import gathering
    from slimstage.errors import FormatError

    monkeypatch.setattr(gathering, "MOST_ENTRIES", 10)
    with pytest.raises(FormatError, match="entries"):
        analysed(None, {f"f{number}": b"" for number in range(20)})
    monkeypatch.setattr(gathering, "MOST_UNPACKED_BYTES", 1000)
    with pytest.raises(FormatError, match="GiB"):
        analysed(None, {"a": bytes(2000)})


_NAMES = st.sampled_from(
    ["a", "b", "c", "usr/lib/x.so", "usr/share/doc/y", "d/e", "d/f", "d", "usr/bin/z", "root/.cache/pip/q"]
)
_NODES = st.one_of(
    st.binary(max_size=40),
    st.just(bytes(5000)),
    st.just(Whiteout()),
    st.just(Dir()),
    st.just(Symlink("usr")),
    st.sampled_from(["a", "d/e"]).map(Hardlink),
)
_LAYERS = st.lists(st.dictionaries(_NAMES, _NODES, max_size=6), max_size=4)


@given(_LAYERS)
def test_every_attribution_sums_to_the_image_whatever_is_in_it(layers: list[Tree]) -> None:
    found = analysed(None, *layers).analysis
    stored = sum(len(node) for layer in layers for node in layer.values() if isinstance(node, bytes))
    assert found.size_bytes <= stored
    assert all(layer_tar(layer) for layer in layers)
    check_sums(found)


# Budgets ------------------------------------------------------------------------------------------------------


def test_one_byte_over_any_limit_is_said(place: Path | None) -> None:
    analysis = analysed(place, SYSTEM, PACKAGES, created_by=["base", "RUN pip"]).analysis
    size, layer = analysis.size_bytes, max(each.size_bytes for each in analysis.layers)
    top = next(owner.size_bytes for owner in analysis.packages if owner.name == "top")
    interpreter = analysis.purposes["interpreter"]
    assert analysis.compressed_bytes is not None
    fits = Budget(size, analysis.compressed_bytes, layer, {"interpreter": interpreter}, {"top": top, "gone": 0}, 0)
    assert exceeded(analysis, fits, analysis) == ()
    small = analysed(place and place / "small", {"x": b"1"}).analysis
    purposes, packages = {"interpreter": interpreter - 1}, {"python:top": top - 1, "TOP": top - 1}
    tight = Budget(size - 1, analysis.compressed_bytes - 1, layer - 1, purposes, packages, 0)
    broken = exceeded(analysis, tight, small)
    assert [(each.kind, each.over_bytes) for each in broken] == [
        ("total", 1), ("compressed", 1), ("layer", 1), ("purpose", 1), ("package", 1), ("package", 1),
        ("growth", size - 1),
    ]  # fmt: skip
    assert broken[0].details[0][1] >= broken[0].details[-1][1]


def _elf(size: int, symbols: int) -> bytes:
    """A shared object of one segment of `size` bytes, and a symbol table behind it."""
    names = b"\0.symtab\0.shstrtab\0"
    end = size + symbols
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, length, 0, 0, 1, 24 * (kind == 2))
        for name, kind, offset, length in ((0, 0, 0, 0), (1, 2, size, symbols), (9, 3, 100, len(names)))
    )
    head = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, end, 0, 64, 56, 1, 64, 3, 2)
    )
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    body = (head + program).ljust(100, b"\0") + names
    return body.ljust(size, b"\0") + bytes(symbols) + sections
