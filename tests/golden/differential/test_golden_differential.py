"""Each folder beside this file: a case in which we once differed from BuildKit, and its recorded answer, which is ours now.

`python -m differential.record FOLDER` asks a real BuildKit again; docs/differential.md says how cases are found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.buildkit import Bases, Slimstage
from support.buildkit_case import Case
from support.buildkit_observe import differences
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox
FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/expected.json"))


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slimstage]:
    home = tmp_path_factory.mktemp("differential")
    bases = Bases(home)
    yield Slimstage(home, bases)
    bases.web.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_buildkit_answered_is_what_we_answer(folder: Path, builder: Slimstage, tmp_path: Path) -> None:
    case = Case.load(folder)
    case.lay_out(tmp_path)
    here = builder.build(case, tmp_path, "--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={folder.name}")
    assert differences(json.loads((folder / "expected.json").read_text()), here) == []
