"""slimstage's commands in this process, on a store of their own, with a home that holds nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimstage.cli.main import main

_VARIABLES = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SLIMSTAGE_CONFIG")
_DOCKERFILE = "FROM {base}\nCOPY model /model\nCOPY notes /notes\n"


@dataclass(frozen=True)
class InProcess:
    """`context`: a directory with a large file `model` and a small one `notes`."""

    root: Path
    context: Path
    capture: pytest.CaptureFixture[str]

    @classmethod
    def of(cls, path: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcess:
        monkeypatch.setenv("HOME", str(path / "home"))
        for name in _VARIABLES:
            monkeypatch.delenv(name, raising=False)
        context = path / "context"
        context.mkdir()
        (context / "model").write_bytes(b"weights " * 20_000)
        (context / "notes").write_bytes(b"note\n")
        monkeypatch.chdir(path)
        return cls(path / "store", context, capture)

    def __call__(self, *args: str, status: int = 0) -> tuple[str, str]:
        """(stdout, stderr) of a command that ends with the status."""
        self.capture.readouterr()
        got = main([*args, "--root", str(self.root)])
        said = self.capture.readouterr()
        assert got == status, said.err
        return said.out, said.err

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "--json")[0])

    def build(self, name: str, base: str = "scratch", *args: str) -> Any:
        """What `build --json` says of an image of two small layers on the base."""
        (self.context / "Dockerfile").write_text(_DOCKERFILE.format(base=base))
        return self.json("build", "-t", name, *args, str(self.context))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """Commands on a store of the test's own."""
    return InProcess.of(tmp_path, capsys, monkeypatch)
