"""analyze/npm.py: package.json."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.npm import NpmPackage, read_package


def test_a_package_needs_what_it_needs_to_run() -> None:
    document = {
        "name": "@scope/x",
        "version": "1.2.3",
        "license": "MIT",
        "dependencies": {"b": "^1", "a": "*"},
        "optionalDependencies": {"c": "1"},
        "devDependencies": {"jest": "29"},
    }
    found = read_package(json.dumps(document).encode(), "app/node_modules/@scope/x")
    assert found == NpmPackage("@scope/x", "1.2.3", "app/node_modules/@scope/x", ("a", "b", "c"), "MIT")


def test_a_marker_of_a_module_system_is_no_package() -> None:
    assert read_package(b'{"type": "module"}', "x/esm").name == ""


def test_what_is_wrong_is_a_fault_and_the_rest_counts() -> None:
    found = read_package(b'{"name": "a", "version": 1, "dependencies": "b", "license": {"type": "MIT"}}', "")
    assert (found.name, found.version, found.depends, found.licence) == ("a", "", (), "")
    assert len(found.faults) == 2
    assert len(read_package(b"nothing", "").faults) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    assert read_package(data, "d").directory == "d"
