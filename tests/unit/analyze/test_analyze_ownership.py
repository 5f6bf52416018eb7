"""Whose each file of an image is, and why a package is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimstage.analyze.analysis import OwnedPackage
from slimstage.analyze.contents import Contents
from slimstage.analyze.databases import read_installed
from slimstage.analyze.installed import Installed
from slimstage.analyze.needs import Link, closure, requirements, why, with_needs
from slimstage.analyze.ownership import assign
from support.layering import opened_image
from support.rpm_databases import header, sqlite
from support.system_tree import INFO, OWN, PACKAGES, SITE, STATUS, STATUS_WITH_GCC, SYSTEM
from support.trees import Symlink, Tree, Whiteout


def _owned(place: Path | None, *trees: Tree) -> tuple[Contents, list[Installed], dict[str, tuple[str, bool]]]:
    """(contents, packages, path → (owner, whether its list names it)) of the files that are seen."""
    made = [*(["RUN install"] * (len(trees) - 1)), "COPY . /"]
    with opened_image(place, trees, created_by=made) as image:
        contents = Contents(image, lambda path, size: size, lambda number, entries: None)
        faults: list[str] = []
        installed = read_installed(contents, faults)
        owners = assign(contents, installed)
    found = {}
    for file in contents.files:
        owner = owners[file.owner]
        found[file.path] = (f"{owner.kind}:{owner.name}".rstrip(":"), file.is_listed)
    assert sum(owner.size_bytes for owner in owners) == sum(contents.files.sizes)
    return contents, installed, found


@pytest.fixture(params=["directory", "blob"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "directory" else None


def test_files_are_of_the_package_whose_list_names_them(place: Path | None) -> None:
    _, _, found = _owned(place, SYSTEM, PACKAGES, OWN)
    assert found["usr/lib/libc.so.6"] == ("debian:libc6", True), "listed as /lib/libc.so.6, where /lib is a symlink"
    assert found["usr/bin/python3"] == ("debian:python3", True)
    assert found[f"{INFO}/libc6:amd64.md5sums"] == ("debian:libc6", False)
    assert found[f"{SITE}/top/__init__.py"] == ("python:top", True)


def test_bytecode_and_unlisted_files_are_of_the_package_around_them(place: Path | None) -> None:
    _, _, found = _owned(place, SYSTEM, PACKAGES, OWN)
    assert found[f"{SITE}/top/__pycache__/__init__.cpython-311.pyc"] == ("python:top", False)
    assert found[f"{SITE}/__pycache__/base.cpython-311.pyc"] == ("python:base", False)
    assert found[f"{SITE}/top/data/unlisted.bin"] == ("python:top", False)
    assert found[f"{SITE}/quick-3.0.dist-info/METADATA"] == ("python:quick", False)
    assert found[f"{SITE}/shared/c.py"] == ("none", False), "two packages are in that directory"
    assert found[f"{SITE}/stray.py"] == ("none", False)


def test_what_no_package_has_is_the_users_or_nobodys(place: Path | None) -> None:
    _, _, found = _owned(place, SYSTEM, PACKAGES, OWN)
    assert found["app/main.py"] == ("own", False)
    assert found["usr/lib/copied.so"] == ("own", False), "copied in, above the layer of the system"
    assert found["usr/lib/unowned.bin"] == ("none", False)
    assert found["var/lib/dpkg/status"] == ("none", False)


def test_what_installing_left_in_an_environment_is_nobodys(place: Path | None) -> None:
    own: Tree = {
        "opt/venv/pyvenv.cfg": "home = /usr/bin\n",
        "opt/venv/bin/activate": "deactivate",
        "opt/conda/conda-meta/history": "",
        "opt/conda/conda-meta/x.json": "{}",
        "opt/conda/pkgs/big.conda": b"b" * 99,
        "opt/app/run": b"r",
    }
    _, _, found = _owned(place, SYSTEM, own)
    nobodys = ("opt/venv/pyvenv.cfg", "opt/venv/bin/activate", "opt/conda/pkgs/big.conda")
    assert {found[path] for path in nobodys} == {("none", False)}
    assert found["opt/app/run"] == ("own", False)


def test_a_record_that_names_what_is_not_the_packages_takes_nothing_outside(place: Path | None) -> None:
    """`../../..` stays below the image's root, and what another package's list names goes to the one that goes first."""
    tree: Tree = {**SYSTEM, f"{INFO}/thing.list": "/etc/os-release\n"}
    _, installed, found = _owned(place, tree, PACKAGES)
    assert found["etc/os-release"] == ("debian:thing", True)
    (top,) = (each for each in installed if each.name == "top")
    assert all(not path.startswith(("/", "..")) for path in top.files)


def test_a_removed_package_still_owns_what_is_stored(place: Path | None) -> None:
    with_gcc: Tree = {
        "var/lib/dpkg/status": STATUS_WITH_GCC,
        f"{INFO}/gcc.list": "/usr/bin/gcc\n",
        "usr/bin/gcc": b"g" * 99,
    }
    without: Tree = {"var/lib/dpkg/status": STATUS, f"{INFO}/gcc.list": Whiteout(), "usr/bin/gcc": Whiteout()}
    _, installed, found = _owned(place, SYSTEM, with_gcc, without)
    assert found["usr/bin/gcc"] == ("debian:gcc", True)
    assert [each.name for each in installed if each.is_removed] == ["gcc"]


# Needs --------------------------------------------------------------------------------------------------------


def _names(installed: list[Installed], edges: dict[int, dict[int, str]]) -> dict[str, set[str]]:
    return {
        installed[number].key: {installed[other].key for other in others} for number, others in edges.items() if others
    }


def test_requirements_follow_alternatives_provides_extras_and_markers(place: Path | None) -> None:
    _, installed, _ = _owned(place, SYSTEM, PACKAGES, OWN)
    edges = requirements(installed, "amd64")
    assert _names(installed, edges) == {"python3": {"libc6", "thing"}, "top": {"base"}, "base": {"quick"}}
    numbers = {each.key: number for number, each in enumerate(installed)}
    assert closure(edges, [numbers["top"]]) == {numbers["top"], numbers["base"], numbers["quick"]}


def test_why_is_the_chain_of_requirements_from_what_nobody_needs(place: Path | None) -> None:
    _, installed, _ = _owned(place, SYSTEM, PACKAGES, OWN)
    edges = requirements(installed, "amd64")
    (chain,) = why(installed, edges, "Quick")
    assert [installed[link.owner - 2].name for link in chain] == ["top", "base", "quick"]
    assert [link.asked for link in chain] == ["", "base[fast]>=1", 'quick; extra == "fast"']
    assert why(installed, edges, "absent") == []
    numbers = {each.key: number for number, each in enumerate(installed)}
    assert why(installed, edges, "top") == [[Link(numbers["top"] + 2)]]


def test_packages_that_need_each_other_have_a_chain(place: Path | None) -> None:
    tree = {
        **SYSTEM,
        "var/lib/dpkg/status": STATUS.replace("Essential: yes", "Depends: python3"),
    }
    _, installed, _ = _owned(place, tree)
    edges = requirements(installed, "amd64")
    (chain,) = why(installed, edges, "libc6")
    assert installed[chain[-1].owner - 2].name == "libc6"


def test_owners_know_who_needs_them(place: Path | None) -> None:
    _, installed, _ = _owned(place, SYSTEM, PACKAGES)
    owners: list[OwnedPackage] = [OwnedPackage("none"), OwnedPackage("own")]
    owners += [OwnedPackage(each.kind, each.name) for each in installed]
    found = {owner.name: owner for owner in with_needs(owners, installed, requirements(installed, "amd64"))}
    assert found["base"].needed_by == ("top",)
    assert found["base"].requires == ("quick",)
    assert found["libc6"].needed_by == ("python3",)


_MUSL = "P:musl\nV:1.2\nA:x86_64\np:so:libc.musl.so.1=1\nF:lib\nR:ld-musl.so.1\n\n"
_APK = _MUSL + "P:app\nV:3\nA:x86_64\nD:so:libc.musl.so.1\nF:usr/bin\nR:app\n\n"
_CONDA = (
    '{"name": "numpy", "version": "1", "build": "0", "files": ["lib/np.so", "lib/python3.12/site-packages/numpy/x.py"]}'
)


def test_alpine_conda_and_npm_packages_own_their_files(place: Path | None) -> None:
    site = "opt/conda/lib/python3.12/site-packages"
    tree: Tree = {
        "lib/apk/db/installed": _APK,
        "etc/apk/world": "app\n",
        "lib/ld-musl.so.1": b"m",
        "usr/bin/app": b"a",
        "opt/conda/conda-meta/numpy-1-0.json": _CONDA,
        "opt/conda/lib/np.so": b"n",
        f"{site}/numpy/x.py": b"x",
        f"{site}/numpy/y.py": b"y",
        f"{site}/numpy-1.dist-info/METADATA": "Name: numpy\nVersion: 1\n",
        f"{site}/numpy-1.dist-info/RECORD": "numpy/x.py,,\nnumpy/y.py,,\n",
        "srv/node_modules/left/package.json": '{"name": "left", "version": "1", "dependencies": {"right": "1"}}',
        "srv/node_modules/left/lib/i.js": b"i",
        "srv/node_modules/left/node_modules/@s/right/package.json": '{"name": "right", "version": "2"}',
        "srv/node_modules/left/node_modules/@s/right/r.js": b"r",
        "srv/node_modules/left/lib/package.json": '{"type": "module"}',
    }
    _, installed, found = _owned(
        place, tree, {"lib/apk/db/installed": _APK.partition("\n\n")[0] + "\n\n", "usr/bin/app": Whiteout()}
    )
    assert found["lib/ld-musl.so.1"] == ("alpine:musl", True)
    assert found["usr/bin/app"] == ("alpine:app", True)
    assert found["opt/conda/lib/np.so"] == found[f"{site}/numpy/x.py"] == ("conda:numpy", True)
    assert found[f"{site}/numpy/y.py"] == ("python:numpy", True)
    assert found["opt/conda/conda-meta/numpy-1-0.json"] == ("conda:numpy", True)
    assert (
        found["srv/node_modules/left/lib/i.js"]
        == found["srv/node_modules/left/lib/package.json"]
        == ("npm:left", False)
    )
    assert found["srv/node_modules/left/node_modules/@s/right/r.js"] == ("npm:right", False)
    assert [each.name for each in installed if each.is_removed] == ["app"]
    assert _names(installed, requirements(installed, "amd64")) == {"left": {"right"}}


def test_rpm_packages_own_their_files_and_need_whoever_has_a_file_or_a_name(place: Path | None) -> None:
    shell = header({1000: "bash", 1001: "5", 1022: "x86_64", 1047: ["bash"], 1049: ["libc.so.6", "/etc/hosts"],
                    1116: [0], 1117: ["sh"], 1118: ["/usr/bin/"]})  # fmt: skip
    libc = header({1000: "glibc", 1001: "2", 1022: "x86_64", 1027: ["/lib64/libc.so.6"], 1047: ["libc.so.6"]})
    setup = header({1000: "setup", 1001: "1", 1022: "noarch", 1027: ["/etc/hosts"]})
    tree: Tree = {
        "usr/lib64/libc.so.6": b"c",
        "lib64": Symlink("usr/lib64"),
        "usr/bin/sh": b"s",
        "etc/hosts": b"h",
        "var/lib/rpm/rpmdb.sqlite": sqlite([shell, libc, setup]),
    }
    _, installed, found = _owned(
        place, tree, {"var/lib/rpm/rpmdb.sqlite": sqlite([libc, setup]), "usr/bin/sh": Whiteout()}
    )
    assert found["usr/lib64/libc.so.6"] == ("rpm:glibc", True)
    assert found["usr/bin/sh"] == ("rpm:bash", True)
    assert [each.name for each in installed if each.is_removed] == ["bash"]
    _, installed, _ = _owned(place and place / "whole", tree)
    assert _names(installed, requirements(installed, "amd64")) == {"bash": {"glibc", "setup"}}
