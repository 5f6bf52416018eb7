"""What `run` says about an image that is not here."""

from __future__ import annotations

import pytest

from slimstage.cli.runnable import _not_here
from slimstage.errors import PlanError, RegistryError


@pytest.mark.parametrize("kind", [PlanError, RegistryError])
def test_someone_who_runs_is_told_to_build(kind: type[PlanError | RegistryError]) -> None:
    error = kind("cannot get it", code="unknown-host", notes=["a proxy is set"])
    found = _not_here(error, "app").diagnostics[0]
    assert found.message == "cannot get it"
    assert found.code == "unknown-host"
    assert found.notes == (
        'the store has no image "app"; it is here when it was built: slimstage build -t app .',
        "a proxy is set",
    )


def test_the_hint_is_kept() -> None:
    assert _not_here(PlanError("x", hint='did you mean "apps"?'), "app").diagnostics[0].hint == 'did you mean "apps"?'
