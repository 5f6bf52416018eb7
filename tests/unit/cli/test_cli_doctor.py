"""`doctor`: what it says about host and store, and with which status it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimstage.cli.examination import StoreState, is_well
from slimstage.cli.main import main
from slimstage.sandbox.host import Capability
from slimstage.store.doctor import Finding
from slimstage.store.store import Store

SOUND = StoreState("/s", ())


def test_only_what_is_required_decides_over_the_host() -> None:
    there = Capability("a", True, "", None, True)
    missing = Capability("b", False, "", "get it", False)
    needed = Capability("c", False, "", "get it", True)
    assert is_well([there, missing], SOUND)
    assert not is_well([there, needed], SOUND)


def test_a_store_that_is_broken_or_cannot_be_opened_is_not_well() -> None:
    assert not is_well([], StoreState("/s", (), "newer version"))
    assert not is_well([], StoreState("/s", (Finding("bad-blob", "x"),)))
    assert is_well([], StoreState("/s", (Finding("bad-blob", "x", True),)))


def test_a_damaged_blob_is_found_repaired_and_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(root))
    with Store.open(root) as store:
        digest, _ = store.blobs.put(b"whole")
        path = Path(store.blobs.path(digest))
    path.chmod(0o600)
    path.write_bytes(b"other")

    def findings(*arguments: str) -> list[tuple[str, bool]]:
        main(["doctor", "--json", *arguments])
        document = json.loads(capsys.readouterr().out)
        return [(finding["code"], finding["is_repaired"]) for finding in document["store"]["findings"]]

    assert findings("--quick") == []
    assert findings() == [("bad-blob", False)]
    assert main(["doctor"]) == 3
    said = capsys.readouterr()
    assert "bad-blob" in said.out
    assert "slimstage doctor --repair" in said.err
    assert findings("--repair") == [("bad-blob", True)]
    assert findings() == []


def test_a_store_of_a_newer_version_is_said_and_the_host_still_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    Store.open(root).close()
    (root / "version").write_text("99\n")
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(root))
    assert main(["doctor", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert "format 99" in document["store"]["error"]
    assert any(each["name"] == "kernel" for each in document["host"])
