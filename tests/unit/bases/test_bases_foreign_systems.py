"""`debian://` for an architecture that is not this host's: what is asked of mmdebstrap, and what is kept under which key.

A script stands in the place of mmdebstrap; that unpacked and emulated systems work is shown by `test_platforms_foreign.py`.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from slimstage.bases.resolve import Bases
from slimstage.bases.systems import system_key
from slimstage.bases.unpacked import set_up_hook, wanted_packages
from slimstage.events import Event, Warned
from slimstage.oci.descriptor import Platform, host_platform
from slimstage.sandbox.emulation import Runs
from slimstage.store.store import Store

FOREIGN = Platform("linux", "s390x" if host_platform().architecture != "s390x" else "arm64")
SPEC = "debian://bookworm?include=python3"
Says = Callable[[bool], None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Sets whether the foreign architecture runs on this host."""

    def put(answer: bool) -> None:
        monkeypatch.setattr(
            "slimstage.sandbox.emulation.runs",
            lambda names: {name: Runs(name, answer, "no emulator") for name in names},
        )

    return put


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """The arguments of each run of mmdebstrap."""
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("motd"))
    (tmp_path / "system.tar").write_bytes(data.getvalue())
    (tmp_path / "bin").mkdir()
    path, log = tmp_path / "bin/mmdebstrap", tmp_path / "asked"
    path.write_text(f"""#!/bin/sh
for each; do printf '%s\\0' "$each" >> '{log}'; done
printf '\\n\\0' >> '{log}'
cat '{tmp_path}/system.tar'
""")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("slimstage.bases.workspace.spare_memory", lambda: 0)

    def read() -> list[list[str]]:
        text = log.read_text() if log.exists() else ""
        return [run.split("\0")[:-1] for run in text.split("\0\n\0")[:-1]] if text else []

    return read


def test_nothing_of_a_system_that_does_not_run_is_run(
    store: Store, says: Says, asked: Callable[[], list[list[str]]]
) -> None:
    says(False)
    events: list[Event] = []
    bases = Bases(store, listener=events.append)
    base = bases.resolve(SPEC, FOREIGN)
    (arguments,) = asked()
    assert "--variant=extract" in arguments
    assert [each for each in arguments if each.startswith("--include=")] == [
        "--include=python3",
        *(f"--include={each}" for each in wanted_packages("minbase")),
    ]
    assert not [each for each in arguments if each.startswith("--customize-hook")]
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert warning.code == "base-unpacked"
    assert f'for "{FOREIGN}" is unpacked and not configured' in warning.message
    assert base.platform == FOREIGN
    assert bases.system_key(base) == system_key(SPEC, FOREIGN, unpacks=True)
    assert bases.resolve(SPEC, FOREIGN).id == base.id
    assert len(asked()) == 1


def test_a_system_that_runs_is_made_whole_though_an_unpacked_one_is_there(
    store: Store, says: Says, asked: Callable[[], list[list[str]]]
) -> None:
    says(False)
    Bases(store).resolve(SPEC, FOREIGN)
    says(True)
    bases = Bases(store)
    whole = bases.resolve(SPEC, FOREIGN)
    _, arguments = asked()
    assert "--variant=minbase" in arguments
    assert "--skip=check/qemu" in arguments
    assert bases.system_key(whole) == system_key(SPEC, FOREIGN)
    # And from then on it is used, emulator or not, without a word.
    says(False)
    events: list[Event] = []
    assert Bases(store, listener=events.append).resolve(SPEC, FOREIGN).id == whole.id
    assert events == []
    assert len(asked()) == 2


def test_extract_is_the_same_everywhere(store: Store, says: Says, asked: Callable[[], list[list[str]]]) -> None:
    spec = "debian://bookworm?variant=extract&include=busybox-static"
    events: list[Event] = []
    for answer in (False, True):
        says(answer)
        base = Bases(store, listener=events.append).resolve(spec, FOREIGN)
    assert not [event for event in events if isinstance(event, Warned)]
    (arguments,) = asked()
    assert [each for each in arguments if each.startswith("--include=")] == ["--include=busybox-static"]
    assert Bases(store).system_key(base) == system_key(spec, FOREIGN)


class Elsewhere:
    """Another machine's systems: none; what it was asked for is kept."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def system(self, key: str) -> None:
        self.keys.append(key)


def test_another_machine_is_asked_for_the_whole_system_first(
    store: Store, says: Says, asked: Callable[[], list[list[str]]]
) -> None:
    says(False)
    elsewhere = Elsewhere()
    Bases(store, made_elsewhere=elsewhere).resolve(SPEC, FOREIGN)
    assert elsewhere.keys == [system_key(SPEC, FOREIGN), system_key(SPEC, FOREIGN, unpacks=True)]


def test_the_loader_is_where_programs_look_for_it() -> None:
    assert "lib64" in set_up_hook("amd64")
    assert "lib64" not in set_up_hook("arm64")
