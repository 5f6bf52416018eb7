"""analyze/modules.py and reach.py: which file a name leads to, and what entries lead to, beside what Python itself imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.modules import Module, Modules, site_paths
from slimstage.analyze.reach import Reached, reachable
from support.trees import make_tree

SITE = "usr/lib/python3/site-packages"


class Tree:
    """Files of an image by their paths."""

    def __init__(self, files: dict[str, str | bytes]) -> None:
        self.files = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}

    def names(self, directory: str) -> set[str]:
        prefix = f"{directory}/" if directory else ""
        return {path[len(prefix) :].partition("/")[0] for path in self.files if path.startswith(prefix)}

    def modules(self, *directories: str) -> Modules:
        return Modules(directories or ("app", SITE), self.names)

    def reach(
        self, *entries: str, scripts: tuple[str, ...] = (), plugins: dict[str, list[str]] | None = None
    ) -> Reached:
        found = plugins or {}
        return reachable(entries, self.modules(), self.files.get, scripts, plugins=lambda group: found.get(group, ()))


def site(files: dict[str, str | bytes]) -> dict[str, str | bytes]:
    return {f"{SITE}/{path}": data for path, data in files.items()}


def test_a_name_leads_to_the_file_that_python_would_take() -> None:
    tree = Tree(
        {
            "app/a.py": "", "app/b/__init__.py": "", "app/b/c.py": "", "app/d.cpython-311-x86_64-linux-gnu.so": "",
            "app/d.py": "",
            "app/e.abi3.so": "", "app/f.pyc": "", "app/n/m.py": "", f"{SITE}/n/o.py": "", f"{SITE}/a/__init__.py": "",
            "app/x.so.1": "", "app/g/__init__.cpython-311-x86_64-linux-gnu.so": "", "app/h/__init__.pyc": "",
            "app/data/": "",
        }
    )  # fmt: skip
    find = tree.modules().find
    assert find("a") == Module("a", "source", "app/a.py")
    assert find("b") == Module("b", "source", "app/b/__init__.py", ("app/b",))
    assert find("b.c") == Module("b.c", "source", "app/b/c.py")
    assert find("d") == Module("d", "extension", "app/d.cpython-311-x86_64-linux-gnu.so")
    assert find("e") == Module("e", "extension", "app/e.abi3.so")
    assert find("f") == Module("f", "bytecode", "app/f.pyc")
    assert find("n") == Module("n", "namespace", "", ("app/n", f"{SITE}/n"))
    assert find("n.o") == Module("n.o", "source", f"{SITE}/n/o.py")
    assert find("g") == Module("g", "extension", "app/g/__init__.cpython-311-x86_64-linux-gnu.so", ("app/g",))
    assert find("h") == Module("h", "bytecode", "app/h/__init__.pyc", ("app/h",))
    for name in ("x", "a.b", "nothing", "", ".", "b..c", "a" * 300, ".".join("a" * 5000)):
        assert find(name) is None
    assert tree.modules().name_of("app/b/c.py") == "b.c"
    assert tree.modules().name_of(f"{SITE}/a/__init__.py") is None  # the one in app comes first
    assert tree.modules().name_of("elsewhere/x.py") is None


def test_path_files_add_directories_and_modules() -> None:
    tree = Tree(
        site(
            {
                "x.pth": "../src\nmissing\n# import no\nimport _virtualenv, b.c; x()\n/opt/own\n../../../../../etc\n",
                "y.txt": "",
            }
        )
        | {"usr/lib/python3/src/a.py": "", "opt/own/b.py": ""}
    )
    found = site_paths(SITE, tree.names, tree.files.get)
    assert found.directories == ("usr/lib/python3/src", "opt/own")
    assert found.started == ("_virtualenv", "b.c")


def test_all_that_may_be_imported_is_reached_and_what_must_be_is_told_apart() -> None:
    tree = Tree(
        site(
            {
                "web/__init__.py": "from . import core\ntry:\n    import fast\nexcept ImportError: pass\n",
                "web/core.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import typed\n"
                "from .sub.deep import x\ndef f():\n    import lazy\nimport gone\n",
                "web/sub/__init__.py": "", "web/sub/deep.py": "", "web/other.py": "", "fast.py": "import faster",
                "faster.py": "",
                "typed.py": "", "lazy.py": "", "late.py": "", "unused/__init__.py": "",
            }
        )
    )  # fmt: skip
    tree.files["app/main.py"] = b"import web\ndef f():\n    import late\n"
    found = tree.reach("main")
    assert set(found.modules) == {
        "main", "web", "web.core", "web.sub", "web.sub.deep", "fast", "faster", "lazy", "late",
    }  # fmt: skip
    assert found.certain == {"main", "web", "web.core", "web.sub", "web.sub.deep", "late"}
    assert found.chain("faster") == ["main", "web", "fast", "faster"]
    assert found.chain("unused") == []
    assert found.missing == {"gone": "web.core"}
    assert f"{SITE}/web/sub/deep.py" in found.paths
    assert found.faults == ()


def test_texts_that_name_modules_are_followed() -> None:
    tree = Tree(
        site(
            {
                "a/__init__.py": "import importlib\ndef __getattr__(name):\n    return importlib.import_module(f'a.{name}')\n",
                "a/b.py": "",
                "a/c/__init__.py": "from importlib.metadata import entry_points\nentry_points(group='plugs')\n",
                "a/tests/__init__.py": "import big", "big.py": "", "plug.py": "",
                "p/__init__.py": "__all__ = ['q']", "p/q.py": "",
                "d.py": "from p import *\nimportlib.import_module(name)\n",
            }
        )
    )  # fmt: skip
    found = tree.reach("a", "d", plugins={"plugs": ["plug"]})
    assert {"a.b", "a.c", "plug", "p", "p.q"} <= set(found.modules)
    assert not {"a.tests", "big"} & set(found.modules)
    assert found.dynamic == (f"{SITE}/d.py:2",)


def test_an_extension_module_brings_what_is_beside_it_and_what_it_names() -> None:
    tree = Tree(
        site(
            {
                "s/__init__.py": "", "s/x/__init__.py": "from . import _fast",
                "s/x/_fast.abi3.so": b"\0s.y.named\0s.none\0other.z\0",
                "s/x/_helper.cpython-311-x86_64-linux-gnu.so": "", "s/x/_valid.py": "", "s/x/sub/__init__.py": "",
                "s/y/__init__.py": "",
                "s/y/named.py": "", "s/y/unnamed.py": "", "other/__init__.py": "", "other/z.py": "",
            }
        )
    )  # fmt: skip
    tree.files[f"{SITE}/s/x/_fast.pyx"] = b"cimport numpy as np\nfrom ..z import v\nfrom libc.math cimport sqrt\n"
    tree.files[f"{SITE}/s/z.py"] = tree.files[f"{SITE}/numpy.py"] = b""
    found = set(tree.reach("s.x").modules)
    assert {"s.x._fast", "s.x._helper", "s.x._valid", "s.y.named", "s.z", "numpy"} <= found
    assert not {"s.x.sub", "s.y.unnamed", "other"} & found


def test_scripts_and_code_are_entries_too() -> None:
    tree = Tree(
        {"srv/run": "import a", "app/tool.py": "import b", "app/__main__.py": "", "app/a.py": "", "app/b.py": ""}
    )
    found = reachable([], tree.modules(), tree.files.get, ["srv/run", "app/tool.py"], [b"import tool"])
    assert set(found.modules) == {"a", "b", "tool"}
    assert found.paths == {"srv/run", "app/tool.py", "app/a.py", "app/b.py"}
    assert found.chain("a") == ["srv/run", "a"]


def test_what_cannot_be_read_is_a_fault() -> None:
    tree = Tree({"app/a.py": "import b, c", "app/b.pyc": b"\0", "app/c.py": "import d\n)("})
    found = tree.reach("a", scripts=("gone.py",))
    assert len(found.faults) == 3
    assert "gone.py" not in found.paths
    assert set(found.modules) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "program",
    ["import urllib3; urllib3.PoolManager()", "import msgspec.json, rich.live"],
)
def test_whatever_python_imports_of_packages_here_was_reached(program: str, tmp_path: Path) -> None:
    """A real process is asked what it imported; the modules of packages among it must all have been found by reading."""
    paths = sysconfig.get_paths()
    site_directory = paths["purelib"].lstrip("/")
    standard = [path.lstrip("/") for path in sys.path if path and "site-packages" not in path and path.startswith("/")]
    code = f"""{program}
import json, sys
loaded = [m for m in list(sys.modules.values()) if getattr(m, "__spec__", None)]
print(json.dumps([m.__spec__.name for m in loaded if "site-packages" in str(getattr(m, "__file__", ""))]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=tmp_path)
    real = set(json.loads(done.stdout))

    def names(directory: str) -> list[str]:
        return os.listdir(f"/{directory}") if os.path.isdir(f"/{directory}") else []

    def read(path: str) -> bytes | None:
        return Path(f"/{path}").read_bytes() if os.path.isfile(f"/{path}") else None

    started = site_paths(site_directory, names, read).started
    found = reachable(
        started, Modules([*standard, site_directory], names), read, codes=[program.encode()], closed=standard
    )
    assert real
    assert {name for name in real if not name.startswith("__editable")} <= set(found.modules)


def test_a_real_tree_is_read_as_python_imports_it(tmp_path: Path) -> None:
    root = (
        make_tree(
            tmp_path,
            {
                "app/main.py": "import pkg\nprint(pkg.sub.value)\n",
                "site-packages/pkg/__init__.py": "from .sub import *\nfrom . import sub\n",
                "site-packages/pkg/sub/__init__.py": "from ..other import value\n__all__ = ['leaf', 'value']\n",
                "site-packages/pkg/sub/leaf.py": "",
                "site-packages/pkg/other.py": "import space.inner\nvalue = space.inner.__name__\n",
                "site-packages/space/inner.py": "",
            },
        )
        or tmp_path
    )
    code = """
import sys
sys.path[:0] = ["app", "site-packages"]
import main
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("pkg", "space", "main")))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True, text=True, cwd=tmp_path)
    files = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*.py")}
    tree = Tree(dict(files))
    found = reachable(["main"], Modules(["app", "site-packages"], tree.names), tree.files.get)
    assert done.stdout.split()[1:] == sorted(found.modules)
    assert root


@given(
    st.dictionaries(
        st.sampled_from(["app/a.py", "app/b/__init__.py", "app/b/c.py", "app/c.abi3.so", "app/b/d.pyc"]),
        st.lists(
            st.sampled_from(
                [*"abcd.*", "import ", "from ", "\n", " ", "b.c", "(", "'", "import_module('", "f'{a}", "')"]
            )
        ),
    )
)
def test_any_tree_is_walked(files: dict[str, list[str]]) -> None:
    tree = Tree({path: "".join(words) for path, words in files.items()})
    found = tree.reach("a", "b.c")
    assert found.certain <= set(found.modules)
    assert all(found.chain(name)[-1:] == [name] for name in found.modules)
