"""Bills of materials: read by the formats' own libraries, and the same bytes for the same image."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from slimstage.analyze.bill import Subject, cyclonedx, spdx
from slimstage.analyze.debian import DebianPackage, read_status
from slimstage.analyze.distribution import read_distribution
from slimstage.analyze.inventory import (
    Inventory,
    PythonPackage,
    System,
    Weights,
    read_os_release,
    take_inventory,
    weights_format,
)
from slimstage.analyze.purl import debian_purl, image_purl, purl, python_purl, weights_purl
from slimstage.digest import Digest
from slimstage.tree.union import UnionTree

STATUS = """\
Package: libc6
Status: install ok installed
Installed-Size: 12993
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Source: glibc (2.36-9+deb12u8)
Version: 2.36-9+deb12u8
Description: GNU C Library: Shared libraries
 a folded line: not a field
Homepage: https://www.gnu.org/software/libc/libc.html

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: base-files
Status: install ok installed
Architecture: amd64
Version: 12.4+deb12u5
"""
DIGEST = Digest("sha256:" + "ab" * 32)
SUBJECT = Subject("registry.lan:5000/team/iris:1", DIGEST, "amd64", 1_700_000_000)


def faults(document: dict[str, object]) -> list[str]:
    """What SPDX' own library finds wrong."""
    parsed = JsonLikeDictParser().parse(document)  # type: ignore[no-untyped-call] # the library has no types
    return [str(message) for message in validate_full_spdx_document(parsed)]


def distribution(directory: str, metadata: str) -> PythonPackage:
    read = {"METADATA": metadata.encode()}.get
    licence = "BSD-3-Clause" if "License-Expression" in metadata else None
    return PythonPackage(read_distribution(directory, read), licence)


INVENTORY = Inventory(
    System("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
    tuple(read_status(STATUS)),
    (
        distribution(
            "opt/venv/lib/python3.11/site-packages/scikit_learn-1.5.0.dist-info",
            "Name: scikit-learn\nVersion: 1.5.0\nRequires-Dist: numpy>=1.19\nRequires-Dist: pytest; extra == 'tests'\n"
            "License-Expression: BSD-3-Clause\n\n",
        ),
        distribution(
            "opt/venv/lib/python3.11/site-packages/numpy-1.26.4.dist-info", "Name: numpy\nVersion: 1.26.4\n\n"
        ),
        distribution("usr/lib/python3/dist-packages/numpy-1.26.4.dist-info", "Name: NumPy\nVersion: 1.26.4\n\n"),
        distribution("usr/lib/python3/dist-packages/pytest-8.0.dist-info", "Name: pytest\nVersion: 8.0\n\n"),
    ),
    (Weights("model/iris model.joblib", "joblib", 1234, Digest("sha256:" + "cd" * 32)),),
)


def test_a_status_file_names_what_is_installed() -> None:
    libc, base = INVENTORY.debian
    assert (libc.name, libc.version, libc.source) == ("libc6", "2.36-9+deb12u8", ("glibc", "2.36-9+deb12u8"))
    assert libc.installed_kib == 12993
    assert (base.name, base.source) == ("base-files", None)


def test_spdx_is_what_its_own_library_takes() -> None:
    document = spdx(INVENTORY, SUBJECT)
    assert faults(document) == []
    names = {(package["name"], package.get("versionInfo")) for package in document["packages"]}
    assert {("libc6", "2.36-9+deb12u8"), ("scikit-learn", "1.5.0"), ("iris model.joblib", None)} <= names


def test_spdx_says_what_depends_on_what_but_not_what_an_extra_would() -> None:
    document = spdx(INVENTORY, SUBJECT)
    ids = {package["SPDXID"]: package["name"] for package in document["packages"]}
    found = [
        (ids[each["spdxElementId"]], ids[each["relatedSpdxElement"]])
        for each in document["relationships"]
        if each["relationshipType"] == "DEPENDS_ON"
    ]
    assert found == [("scikit-learn", "numpy")]


def test_cyclonedx_keeps_its_schema() -> None:
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(cyclonedx(INVENTORY, SUBJECT)))
    assert problem is None, problem


def test_a_package_that_is_there_twice_is_listed_twice() -> None:
    document = cyclonedx(INVENTORY, SUBJECT)
    refs = [each["bom-ref"] for each in document["components"]]
    assert len(refs) == len(set(refs))
    assert len([each for each in document["components"] if each["name"] == "numpy"]) == 2


def test_weights_have_a_digest_and_a_size() -> None:
    (model,) = [
        each for each in cyclonedx(INVENTORY, SUBJECT)["components"] if each["type"] == "machine-learning-model"
    ]
    assert model["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert {"name": "slimstage:size-bytes", "value": "1234"} in model["properties"]


def test_the_same_image_has_the_same_bill() -> None:
    assert spdx(INVENTORY, SUBJECT) == spdx(INVENTORY, SUBJECT)
    other = Subject(SUBJECT.name, Digest("sha256:" + "ef" * 32), "amd64", SUBJECT.created_s)
    assert spdx(INVENTORY, other)["documentNamespace"] != spdx(INVENTORY, SUBJECT)["documentNamespace"]


def test_an_image_of_nothing_has_a_bill_too() -> None:
    empty = Inventory(System())
    subject = Subject("", DIGEST, "arm64", 0)
    assert faults(spdx(empty, subject)) == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(cyclonedx(empty, subject))) is None


# Package URLs -----------------------------------------------------------------------------------------------------


def test_package_urls_are_read_by_the_reference_library() -> None:
    libc = PackageURL.from_string(debian_purl(INVENTORY.debian[0], INVENTORY.system))
    assert (libc.type, libc.namespace, libc.name, libc.version) == ("deb", "debian", "libc6", "2.36-9+deb12u8")
    assert libc.qualifiers == {"arch": "amd64", "distro": "debian-12", "upstream": "glibc@2.36-9+deb12u8"}
    numpy = PackageURL.from_string(python_purl(INVENTORY.python[2].distribution))
    assert (numpy.type, numpy.name, numpy.version) == ("pypi", "numpy", "1.26.4")
    image = PackageURL.from_string(image_purl(SUBJECT.name, DIGEST, "amd64"))
    assert (image.type, image.name, image.version) == ("oci", "iris", DIGEST)
    assert image.qualifiers == {"arch": "amd64", "repository_url": "registry.lan:5000/team/iris", "tag": "1"}
    weights = PackageURL.from_string(weights_purl(INVENTORY.weights[0]))
    assert (weights.name, weights.qualifiers) == ("iris model.joblib", {"checksum": "sha256:" + "cd" * 32})


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=20).filter(str.strip),
    version=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_any_name_and_version_come_back(name: str, version: str) -> None:
    found = PackageURL.from_string(purl("generic", name, version))
    assert (found.name, found.version or "") == (name.strip(), version.strip())


# What is found in a tree -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("model/iris.joblib", "joblib"),
        ("m/pytorch_model-00001-of-00002.bin", "pytorch"),
        ("m/model.safetensors", "safetensors"),
        ("m/Weights.ONNX", "onnx"),
        ("m/model.pkl", "model"),
        ("usr/bin/tool.bin", None),
        ("opt/venv/lib/python3.11/site-packages/sklearn/datasets/model.joblib", None),
        ("m/.pt", None),
    ],
)
def test_weights_are_known_by_their_names(path: str, want: str | None) -> None:
    found = weights_format(path)
    assert found == want or (want == "pytorch" and found == "model")


def test_os_release_says_what_the_system_is() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n# ID=other\n'
    assert read_os_release(text) == System("debian", "12", "Debian GNU/Linux 12 (bookworm)")


def test_an_inventory_is_of_the_tree_as_a_process_would_see_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.mktemp("layers")
    site = "usr/lib/python3/dist-packages"
    for layer, files in (
        ("base", {"var/lib/dpkg/status": STATUS, f"{site}/old-1.0.dist-info/METADATA": "Name: old\nVersion: 1.0\n\n"}),
        (
            "top",
            {
                "var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
                "var/lib/dpkg/status.d/tzdata.md5sums": "Package: no\nVersion: 1\n",
                f"{site}/old-1.0.dist-info/METADATA": "Name: old\nVersion: 1.1\n\n",
                f"{site}/broken-1.egg-info/PKG-INFO": "\x00",
                "m/model.onnx": "x" * 100,
                "m/empty.onnx": "",
            },
        ),
    ):
        for path, text in files.items():
            place = top / layer / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    with UnionTree([str(top / "base"), str(top / "top")]) as tree:
        found = take_inventory(tree)
    assert [each.name for each in found.debian] == ["base-files", "libc6", "tzdata"]
    assert [(each.distribution.name, each.distribution.version) for each in found.python] == [
        ("broken", ""),
        ("old", "1.1"),
    ]
    assert [(each.path, each.size_bytes) for each in found.weights] == [("m/model.onnx", 100)]


def test_packages_are_compared_by_all_they_say() -> None:
    assert DebianPackage("a", "1", "amd64") != DebianPackage("a", "1", "arm64")
