"""Files of a project → facts."""

from __future__ import annotations

from slimstage.lint.context_view import GivenContext
from slimstage.scaffold.project import Folder, Model
from slimstage.scaffold.reading import read_project

TRAIN = "import joblib\nfrom sklearn.svm import SVC\nm = SVC().fit([[0], [1]], [0, 1])\njoblib.dump(m, 'm.joblib')\n"
API = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/health')\ndef health(): return 1\n"


def test_training_and_serving_sources_are_told_apart_by_what_they_do() -> None:
    project = read_project(GivenContext({"fit_it.py": TRAIN, "web.py": API, "tests/test_web.py": "import web\n"}))
    by_path = {each.path: each for each in project.code}
    assert [by_path[name].use for name in ("fit_it.py", "web.py", "tests/test_web.py")] == ["train", "serve", "test"]
    assert by_path["fit_it.py"].imports == ("joblib", "sklearn")
    assert by_path["fit_it.py"].strings == ("m.joblib",)
    web = by_path["web.py"]
    assert (web.framework, web.application, web.routes) == ("fastapi", "app", ("/health",))


def test_needs_of_poetry_are_written_as_pip_reads_them_and_versions_come_from_the_lock() -> None:
    pyproject = '[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^2.3"\nnumpy = "^0.4.1"\n'
    lock = '[[package]]\nname = "Flask"\nversion = "2.3.3"\n'
    project = read_project(GivenContext({"pyproject.toml": pyproject, "poetry.lock": lock}))
    assert [each.text for each in project.needs] == ["flask>=2.3,<3", "numpy>=0.4.1,<0.5"]
    assert project.locked == (("flask", "2.3.3"),)
    assert project.python == "^3.11"


def test_setup_py_is_parsed_and_its_extension_is_seen() -> None:
    setup = "from setuptools import setup\nsetup(install_requires=['numpy>=1.26'])\nraise SystemExit(1)\n"
    project = read_project(GivenContext({"setup.py": setup, "src/fast.c": "int x;\n"}))
    assert project.is_package
    assert project.extensions == ("src/fast.c",)
    assert [each.text for each in project.needs] == ["numpy>=1.26"]


def test_models_data_notebooks_and_parts_are_found() -> None:
    files: dict[str, str | int] = {"m.onnx": 10, "data/a.csv": 7, "a.ipynb": "{}", "api/requirements.txt": "flask\n"}
    project = read_project(GivenContext(files))
    assert project.models == (Model("m.onnx", 10, "onnx"),)
    assert project.data == (Folder("data", 7),)
    assert project.notebooks == ("a.ipynb",)
    assert project.parts == ("api",)
