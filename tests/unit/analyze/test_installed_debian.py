"""analyze/debian_files.py: lists, diversions and settings; on Debian itself beside dpkg's own answers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.debian_files import Diversion, owned_files, read_conffiles, read_diversions, spellings

DIVERSIONS = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/x\n/usr/bin/x.real\n:\n/cut/off\n"


def test_a_list_gives_paths_below_the_root() -> None:
    assert owned_files("/.\n/usr\n/usr/bin\n/usr/bin/a b\n/../x\n\n/usr\n") == ("usr", "usr/bin", "usr/bin/a b")


def test_a_diverted_file_is_where_it_was_put_except_for_whose_diversion_it_is() -> None:
    diversions = read_diversions(DIVERSIONS)
    assert diversions == {"bin/sh": Diversion("bin/sh.distrib", "dash"), "usr/bin/x": Diversion("usr/bin/x.real", "")}
    assert owned_files("/bin/sh\n", "bash", diversions) == ("bin/sh.distrib",)
    assert owned_files("/bin/sh\n", "dash", diversions) == ("bin/sh",)
    assert owned_files("/usr/bin/x\n", "x", diversions) == ("usr/bin/x.real",)


def test_settings_are_read_from_both_places() -> None:
    assert read_conffiles("/etc/a\nremove-on-upgrade /etc/b\n") == ("etc/a", "etc/b")
    assert read_conffiles(" /etc/a 1234\n /etc/old 55 obsolete\n") == ("etc/a",)


def test_merged_directories_have_two_spellings() -> None:
    assert spellings("lib/x.so") == ("lib/x.so", "usr/lib/x.so")
    assert spellings("usr/bin/a") == ("usr/bin/a", "bin/a")
    assert spellings("usr/share/a") == ("usr/share/a",)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is not installed")
def test_the_files_of_packages_here_are_what_dpkg_lists() -> None:
    diversions = read_diversions(Path("/var/lib/dpkg/diversions").read_text())
    for package in ("bash", "coreutils", "dash"):
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=True).stdout.split("\n")
        wanted: list[str] = []
        follows = ""
        for line in listed:
            if line.startswith(("diverted by", "package diverts others to: ")):
                follows = line.rpartition("to: ")[2] if line.startswith("diverted by") else ""
                if follows:
                    wanted[-1] = follows.strip("/")
            elif line.strip("/."):
                wanted.append(line.strip("/"))
        text = Path(f"/var/lib/dpkg/info/{package}.list").read_text()
        assert list(owned_files(text, package, diversions)) == wanted


@given(st.text(alphabet="/a.\n:\r \udcff"))
def test_any_text_is_read(text: str) -> None:
    paths = [*owned_files(text, "a", read_diversions(text)), *read_conffiles(text)]
    assert all(path and not path.startswith("/") and ".." not in path.split("/") for path in paths)
