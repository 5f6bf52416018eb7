"""analyze/record.py and analyze/distribution.py: this environment's packages beside importlib.metadata; texts that lie."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

import pytest

from slimstage.analyze.distribution import (
    EntryPoint,
    egg_requirements,
    headers,
    normalised,
    read_distribution,
    read_entry_points,
)
from slimstage.analyze.record import below_root, read_installed_files, read_record

SITE = "usr/lib/python3/site-packages"
INSTALLED = sorted(importlib.metadata.distributions(), key=lambda found: str(found.metadata["Name"]))


def reader(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode("utf-8", "surrogateescape") for name, text in files.items()}


def directory_of(found: importlib.metadata.Distribution) -> Path:
    path = getattr(found, "_path", None)
    assert isinstance(path, Path)
    return path


@pytest.mark.parametrize("known", INSTALLED, ids=lambda found: str(found.metadata["Name"]))
def test_an_installed_package_reads_as_importlib_metadata_reads_it(known: importlib.metadata.Distribution) -> None:
    place = directory_of(known)

    def read(name: str) -> bytes | None:
        return (place / name).read_bytes() if (place / name).exists() else None

    found = read_distribution(str(place).lstrip("/"), read)
    assert (found.name, found.version) == (known.metadata["Name"], known.version)
    assert found.requires_python == known.metadata["Requires-Python"]
    assert len(found.requires) == len(known.requires or [])
    assert found.provides_extra == tuple(known.metadata.get_all("Provides-Extra") or ())
    points = [(entry.group, entry.name, entry.value) for entry in known.entry_points]
    assert [(entry.group, entry.name, entry.value) for entry in found.entry_points] == points
    assert [(entry.module, entry.attribute) for entry in found.entry_points] == [
        (entry.module, entry.attr or "") for entry in known.entry_points
    ]
    assert (found.installer or "") == (known.read_text("INSTALLER") or "").strip()
    assert found.faults == ()
    owned = found.files or ()
    assert [file.written for file in owned] == list(dict.fromkeys(str(file) for file in known.files or ()))
    for file, path in zip(owned, known.files or (), strict=True):
        assert "/" + file.path == os.path.normpath(place.parent / str(path))
        assert file.size_bytes == path.size
        assert file.algorithm == (path.hash.mode if path.hash else None)


def test_the_hashes_of_a_record_are_those_of_the_files() -> None:
    place = directory_of(importlib.metadata.distribution("packaging"))
    files = read_record((place / "RECORD").read_bytes(), str(place.parent)).files
    hashed = [file for file in files if file.algorithm == "sha256"]
    assert len(hashed) > 10
    for file in hashed:
        content = Path("/" + file.path).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file.digest, file.size_bytes)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a/b.py", f"{SITE}/a/b.py"),
        ("./a//b.py", f"{SITE}/a/b.py"),
        ("../../../bin/tool", "usr/bin/tool"),
        ("/usr/bin/tool", "usr/bin/tool"),
        ("/../etc/passwd", None),
        ("../../../../../etc/passwd", None),
        ("../../../../etc/passwd", "etc/passwd"),
        ("a/../../../../../..", None),
        ("", None),
        ("..", "usr/lib/python3"),
        ("/", None),
        ("a\0b", None),
        ("a" * 5000, None),
    ],
)
def test_a_path_is_taken_from_its_directory_and_never_leads_above_the_root(written: str, path: str | None) -> None:
    assert below_root(written, SITE) == path


def test_a_record_that_leads_outside_is_marked_and_the_rest_counts() -> None:
    found = read_record(b'../../../../../etc/shadow,,\n"a,b.py",sha256=YQ,1\na/c.py,,\n', SITE)
    assert [(file.path, file.is_outside) for file in found.files] == [
        ("", True),
        (f"{SITE}/a,b.py", False),
        (f"{SITE}/a/c.py", False),
    ]
    assert [(file.algorithm, file.digest) for file in found.files] == [(None, None), ("sha256", "61"), (None, None)]
    assert found.faults == ("row 1 leads outside: '../../../../../etc/shadow'",)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (b"a,md5,1", "a hash that is none"),
        (b"a,sha256=\xff,1", "a hash that is none"),
        (b"a,,-1", "a size that is none"),
        (b"a,,1e3", "a size that is none"),
        (b"a,," + b"9" * 5000, "a size that is none"),
        (b'"' + b"a" * 200_000 + b'",,', "cannot be read"),
    ],
)
def test_a_row_that_lies_is_a_fault(row: bytes, fault: str) -> None:
    found = read_record(row + b"\nb.py,,2\n", SITE)
    assert len(found.faults) == 1
    assert fault in found.faults[0]
    assert found.files[-1].path == f"{SITE}/b.py"


def test_a_path_that_is_written_twice_is_one_file() -> None:
    assert len(read_record(b"a.py,,1\n./a.py,,2\n", SITE).files) == 1


def test_very_many_faults_are_counted_not_listed() -> None:
    found = read_record(b"../../../../../x,,\n" * 10_000, SITE)
    assert len(found.faults) == 21
    assert found.faults[-1] == "and 9980 more"


def test_installed_files_are_taken_from_the_egg_info() -> None:
    found = read_installed_files(b"../a/__init__.py\r\nPKG-INFO\n\n../../../../bin/a\n", f"{SITE}/a.egg-info")
    assert [file.path for file in found.files] == [f"{SITE}/a/__init__.py", f"{SITE}/a.egg-info/PKG-INFO", "usr/bin/a"]


def test_an_egg_info_reads_as_a_package() -> None:
    files = reader(
        {
            "PKG-INFO": "Name: My.Pkg\nVersion: 2\nSummary: two\n        lines\n\nRequires-Dist: not-a-header\n",
            "requires.txt": "numpy>=1\n\n[plots]\nmatplotlib\n\n[:python_version < '3.8']\ntyping-extensions\n",
            "top_level.txt": "my_pkg\n_native\n",
        }
    )
    found = read_distribution(f"{SITE}/My.Pkg-2.egg-info", files.get)
    assert (found.name, found.key, found.version, found.files) == ("My.Pkg", "my-pkg", "2", None)
    assert found.top_level == ("my_pkg", "_native")
    assert [str(requirement) for requirement in found.requires] == [
        "numpy>=1",
        'matplotlib; extra == "plots"',
        'typing-extensions; python_version < "3.8"',
    ]


def test_a_direct_url_is_shown_without_its_credentials() -> None:
    url = {
        "url": "https://user:token@git.example/a.git",
        "vcs_info": {"vcs": "git", "commit_id": "abc"},
        "subdirectory": "x",
    }
    files = reader({"METADATA": "Name: a\nVersion: 1\n", "direct_url.json": json.dumps(url), "REQUESTED": ""})
    found = read_distribution(f"{SITE}/a-1.dist-info", files.get)
    assert found.origin is not None
    assert found.origin.url == "https://git.example/a.git"
    assert (found.origin.vcs, found.origin.commit, found.origin.subdirectory) == ("git", "abc", "x")
    assert found.is_requested
    editable = reader(
        {"METADATA": "Name: a\n", "direct_url.json": '{"url": "file:///a", "dir_info": {"editable": true}}'}
    )
    origin = read_distribution(f"{SITE}/a-1.dist-info", editable.get).origin
    assert origin is not None
    assert origin.is_editable


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 1}', '{"url": "a", "url": "b"}', '{"url": "a", "dir_info": 1}'])
def test_a_direct_url_that_is_none_is_a_fault(text: str) -> None:
    found = read_distribution("a-1.dist-info", reader({"METADATA": "Name: a\n", "direct_url.json": text}).get)
    assert (found.origin, len(found.faults)) == (None, 1)


@pytest.mark.parametrize("line", ["numpy >=", "((((", "a; " + "(" * 2000, "a" * 5000, "-r other.txt", "a @"])
def test_a_requirement_that_is_none_is_a_fault_and_the_others_count(line: str) -> None:
    metadata = f"Name: a\nVersion: 1\nRequires-Dist: {line}\nRequires-Dist: numpy>=1; extra == 'x'\n"
    found = read_distribution("a-1.dist-info", reader({"METADATA": metadata}).get)
    assert [str(requirement) for requirement in found.requires] == ['numpy>=1; extra == "x"']
    assert len(found.faults) == 1


@pytest.mark.parametrize(
    ("text", "name"), [("", "real_name"), ("Name: ../../x\n", "real_name"), ("Name: \udcff\n", "real_name")]
)
def test_metadata_without_a_name_leaves_the_directorys(text: str, name: str) -> None:
    found = read_distribution(f"{SITE}/real_name-1.0.dist-info", reader({"METADATA": text}).get)
    assert found.name == name
    assert "names no package" in found.faults[0]


def test_entry_points_are_read_with_their_parts() -> None:
    text = "# c\n[console_scripts]\nrun = pkg.main:cli.go [x, y]\nplain = pkg\n[other.group]\nodd = a b\nno-value\n"
    assert list(read_entry_points(text)) == [
        EntryPoint("console_scripts", "run", "pkg.main:cli.go [x, y]", "pkg.main", "cli.go", ("x", "y")),
        EntryPoint("console_scripts", "plain", "pkg", "pkg"),
        EntryPoint("other.group", "odd", "a b"),
    ]


def test_an_extra_with_a_marker_keeps_both() -> None:
    text = "[all:platform_system == 'Linux']\nuvloop\n"
    assert list(egg_requirements(text)) == ["uvloop ; (platform_system == 'Linux') and extra == \"all\""]


def test_headers_end_where_the_description_begins() -> None:
    assert list(headers("A: 1\n b\nC:2\n\nD: 3\n")) == [("a", "1\nb"), ("c", "2")]


def test_names_are_compared_normalised() -> None:
    assert normalised("My__Pkg.-x") == "my-pkg-x"
