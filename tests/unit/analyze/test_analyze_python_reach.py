"""What of an image's Python can be reached: packages by imports, by requirements, by what its models need."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from slimstage.analyze.analyse import analyse
from slimstage.analyze.analysis import Analysis, PythonFacts
from slimstage.oci.config import ImageConfig
from support.analysing import analysed
from support.layering import opened_image
from support.system_tree import SITE, distribution
from support.trees import File, Symlink, Tree

_LIB = "usr/local/lib/python3.11"


def _package(name: str, source: str = "", *metadata: str, **modules: str) -> Tree:
    """A distribution of one package with modules of these sources."""
    files = {f"{name}/__init__.py": source, **{f"{name}/{module}.py": text for module, text in modules.items()}}
    record = "".join(f"{path},,\n" for path in files)
    return {**{f"{SITE}/{path}": text for path, text in files.items()}, **distribution(name, "1", record, *metadata)}


TREE: Tree = {
    f"{_LIB}/os.py": "",
    f"{_LIB}/json/__init__.py": "",
    "usr/local/bin/python3": File(b"\x7fELF", mode=0o755),
    "usr/bin/python3": Symlink("/usr/local/bin/python3"),
    "app/main.py": "import json, direct\nif True:\n    from deep.inner import (\n        thing,\n    )\n",
    "app/job.py": "import onlyjob\n",
    "model/m.pkl": pickle.dumps(PythonFacts()).replace(b"slimstage.analyze.analysis", b"pickled.inner.module.names"),
    **_package("direct", "import second\ndef f():\n    import lazy\n", "Requires-Dist: required\n"),
    **_package("lazy"),
    **_package("second"),
    **_package("required"),
    **_package("deep", "", inner="import importlib\nimportlib.import_module(NAME)\n"),
    **_package("pickled", "", inner=""),
    **_package("onlyjob"),
    **_package("plugged", ""),
    **_package("useless", "import alsouseless\n"),
    **_package("alsouseless"),
}
_CONFIG = ImageConfig("amd64", "linux", cmd=("python3", "main.py"), working_dir="/app", env=("PATH=/usr/local/bin",))


@pytest.fixture(params=["directory", "blob"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "directory" else None


def _analysis(place: Path | None, *entries: str, config: ImageConfig = _CONFIG, tree: Tree = TREE) -> Analysis:
    return analysed(place, tree, config=config, entries=entries).analysis


def test_packages_are_reached_by_imports_requirements_and_pickles(place: Path | None) -> None:
    python = _analysis(place).python
    assert python.entries == ("/app/main.py",)
    assert python.reachable == ("deep", "direct", "lazy", "pickled", "required", "second")
    assert python.unreachable == ("alsouseless", "onlyjob", "plugged", "useless")
    assert python.optional == ("lazy",), "imported in a function of a package, which may never be called"
    assert python.reached >= 6
    assert f"{SITE}/deep/inner.py:2" in python.dynamic


def test_another_entry_reaches_more_and_the_finding_says_what_nothing_reaches(place: Path | None) -> None:
    analysis = _analysis(place, "/app/job.py", "useless")
    assert analysis.python.unreachable == ("plugged",)
    large = _analysis(place and place / "large", tree={**TREE, f"{SITE}/useless/data.bin": b"x" * 9000})
    (finding,) = (each for each in large.findings if each.code == "unreachable-packages")
    assert finding.reason.rpartition(": ")[2].split(", ")[0] == "useless"
    assert {"alsouseless", "onlyjob", "plugged"} <= set(finding.reason.rpartition(": ")[2].split(", "))
    assert finding.saving_bytes > 9000


def test_where_nothing_of_python_is_started_nothing_is_said(place: Path | None) -> None:
    python = _analysis(place, config=ImageConfig("amd64", "linux", cmd=("nginx",))).python
    assert python == PythonFacts()


def test_an_environment_before_another_in_path_is_searched_first(place: Path | None) -> None:
    venv = "opt/venv/lib/python3.11/site-packages"
    tree: Tree = {
        **TREE,
        f"{venv}/direct/__init__.py": "import onlyjob\n",
        f"{venv}/extra.pth": "/opt/more\nimport plugged\n",
        "opt/more/added.py": "",
    }
    config = ImageConfig(
        "amd64", "linux", cmd=("python3", "/app/main.py"), env=("PATH=/opt/venv/bin:/usr/local/bin", "PYTHONPATH=/srv")
    )
    python = _analysis(place, config=config, tree=tree).python
    assert "onlyjob" in python.reachable
    assert "second" in python.unreachable
    assert "plugged" in python.reachable, "a .pth file imports it whenever Python starts"


def test_syntax_trees_lead_to_the_same_packages(place: Path | None) -> None:
    by_lines = _analysis(place).python
    with opened_image(place and place / "exact", [TREE], _CONFIG) as image:
        exact = analyse(image, is_exact=True)
    assert exact.analysis.python.is_exact
    assert (exact.analysis.python.reachable, exact.analysis.python.unreachable) == (
        by_lines.reachable, by_lines.unreachable,
    )  # fmt: skip
    assert exact.python.reached is not None
    assert exact.python.reached.chain("second") == ["main", "direct", "second"]
