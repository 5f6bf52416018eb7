"""analyze/conda.py: documents of conda-meta."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.conda import read_meta


def meta(**changes: object) -> bytes:
    document: dict[str, object] = {
        "name": "numpy",
        "version": "1.26.4",
        "build": "py311h64a7726_0",
        "build_number": 0,
        "channel": "https://conda.anaconda.org/conda-forge/linux-64",
        "depends": ["libblas >=3.9.0,<4.0a0", "python >=3.11,<3.12.0a0", "conda-forge::zlib=1.2", "__glibc >=2.17",
                    "python_abi 3.11.* *_cp311"],
        "files": ["bin/f2py", "lib/python3.11/site-packages/numpy/__init__.py"],
        "paths_data": {"paths": [{"_path": "bin/f2py", "size_in_bytes": 12}], "paths_version": 1},
    }  # fmt: skip
    return json.dumps({**document, **changes}).encode()


def test_a_package_has_its_files_below_the_environment_and_its_needs() -> None:
    found = read_meta(meta())
    assert (found.name, found.version, found.build) == ("numpy", "1.26.4", "py311h64a7726_0")
    assert found.files == ("bin/f2py", "lib/python3.11/site-packages/numpy/__init__.py")
    assert found.depends == ("libblas", "python", "zlib", "__glibc", "python_abi")
    assert found.channel.endswith("conda-forge/linux-64")
    assert not found.is_requested
    assert found.faults == ()
    assert read_meta(meta(requested_spec="numpy")).is_requested


def test_files_outside_of_the_environment_are_nobodys() -> None:
    found = read_meta(meta(files=["../../etc/passwd", "/etc/shadow", "ok"]))
    assert found.files == ("ok",)
    assert len(found.faults) == 2


def test_what_is_no_document_of_a_package_is_a_fault() -> None:
    for data in (b"", b"[]", b"{", meta(name=""), meta(files=[1]), meta(depends={}), b"[" * 100_000):
        found = read_meta(data)
        assert found.name == ""
        assert len(found.faults) == 1


@given(st.dictionaries(st.sampled_from(["name", "version", "build", "files", "depends", "channel", "requested_spec"]),
                       st.one_of(st.none(), st.text(), st.lists(st.text()), st.integers())))  # fmt: skip
def test_any_values_are_read(changes: dict[str, object]) -> None:
    assert read_meta(meta(**changes)).faults is not None
