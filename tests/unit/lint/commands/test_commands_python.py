"""What Python installers are asked for, option by option."""

from __future__ import annotations

import pytest

from slimstage.lint.commands.command import Clean, Compile, Install, Remove
from slimstage.lint.shell.script import UNKNOWN
from support.commanding import commands_in, only


def names(install: Install) -> list[str]:
    return [f"{each.name}{each.constraint}" for each in install.packages]


@pytest.mark.parametrize(
    "run",
    [
        "pip install numpy",
        "pip3 install numpy",
        "pip3.11 -q install numpy",
        "/opt/venv/bin/pip --no-input install numpy",
        "python -m pip install numpy",
        "python3 -u -m pip install numpy",
        "python3.12 -W ignore -mpip --quiet install numpy",
        "sudo -H pip install -U numpy",
        "pip install --timeout 60 --retries=3 --proxy p numpy",
        "pip install --root-user-action ignore --progress-bar off numpy",
        "pip install --config-settings a=b -C c=d numpy",
        "pip install numpy -qq --no-warn-script-location",
        "pip install -- numpy",
    ],
)
def test_pip_install_under_any_name(run: str) -> None:
    found = only(Install, run)
    assert (found.manager, found.family, found.action, names(found)) == ("pip", "python", "install", ["numpy"])


@pytest.mark.parametrize(
    ("text", "name", "constraint", "is_pinned"),
    [
        ("Scikit_Learn", "scikit-learn", "", False),
        ("torch==2.1.0", "torch", "==2.1.0", True),
        ("'torch == 2.1.0'", "torch", "== 2.1.0", True),
        ("'torch==2.*'", "torch", "==2.*", False),
        ("'torch>=2,<3'", "torch", ">=2,<3", False),
        ("torch~=2.1", "torch", "~=2.1", False),
        ("torch===2.1+cpu", "torch", "===2.1+cpu", True),
        ("'jax[cuda12]==0.4'", "jax", "==0.4", True),
        ("\"numpy ; python_version < '3.12'\"", "numpy", "", False),
        ("torch==$V", "torch", f"=={UNKNOWN}", True),
        ("$P", "", "", False),
        ("ruamel.yaml", "ruamel-yaml", "", False),
    ],
)
def test_requirements(text: str, name: str, constraint: str, is_pinned: bool) -> None:
    package = only(Install, f"pip install {text}").packages[0]
    assert (package.name, package.constraint, package.is_pinned) == (name, constraint, is_pinned)


@pytest.mark.parametrize(
    ("text", "name", "kind", "is_pinned"),
    [
        (".", "", "path", True),
        ("./pkg[dev]", "", "path", True),
        ("/w/torch-2.1.0+cpu-cp311-cp311-linux_x86_64.whl", "torch", "path", True),
        ("/w/*.whl", "", "path", False),
        ("https://x/w/torch-2.1.0-cp311-cp311-linux_x86_64.whl", "torch", "url", True),
        ("git+https://x/y.git", "", "vcs", False),
        ("git+https://x/y.git@0123456789abcdef", "", "vcs", True),
        ("git+https://x/y.git@main#egg=My_Pkg", "my-pkg", "vcs", False),
        ("'pkg @ git+https://x/y.git@main'", "pkg", "vcs", False),
        ("'pkg @ https://x/pkg-1.0.tar.gz'", "pkg", "url", True),
    ],
)
def test_what_is_no_name(text: str, name: str, kind: str, is_pinned: bool) -> None:
    package = only(Install, f"pip install {text}").packages[0]
    assert (package.name, package.kind, package.is_pinned) == (name, kind, is_pinned)


def test_extras_are_normalised() -> None:
    package = only(Install, "pip install 'uvicorn[Standard,a_b]'").packages[0]
    assert (package.name, package.extras) == ("uvicorn", ("standard", "a-b"))


def test_version_is_the_one_that_is_asked_for() -> None:
    found = only(Install, "pip install a==1 b===2 'c>=3' d==$V")
    assert [each.version for each in found.packages] == ["1", "2", None, None]


def test_files_of_pip() -> None:
    found = only(Install, "pip install -r requirements.txt -rdev.txt --requirement=x.txt -c constraints.txt -r $F")
    assert [(each.path, each.kind) for each in found.files] == [
        ("requirements.txt", "requirements"),
        ("dev.txt", "requirements"),
        ("x.txt", "requirements"),
        (None, "requirements"),
        ("constraints.txt", "constraints"),
    ]
    assert found.files[0].span.column == len("RUN pip install -r ") + 1
    assert not found.packages


def test_options_of_pip() -> None:
    options = only(
        Install,
        "pip install --no-cache-dir -i https://a --extra-index-url=https://b --extra-index-url https://$C -f ./w -t /t "
        "--prefix /p --no-deps --user --upgrade --require-hashes --no-binary :all: --only-binary=x --no-compile -e . y",
    ).options
    assert options.no_cache
    assert options.index_urls == ("https://a", "https://b", f"https://{UNKNOWN}")
    assert (options.find_links, options.target, options.prefix) == (("./w",), "/t", "/p")
    assert (options.no_binary, options.only_binary) == ((":all:",), ("x",))
    assert options.no_deps
    assert options.is_user
    assert options.is_upgrade
    assert options.requires_hashes
    assert options.no_compile
    assert options.is_editable


def test_an_abbreviated_option_of_pip_is_known() -> None:
    assert only(Install, "pip install --no-cache x").options.no_cache


def test_editable_is_a_package() -> None:
    assert [each.raw for each in only(Install, "pip install -e .[dev] x").packages] == ["x", ".[dev]"]


def test_what_else_pip_does() -> None:
    assert [each.name for each in only(Remove, "pip uninstall -y torch_x Y").packages] == ["torch-x", "y"]
    assert only(Clean, "pip cache purge").caches == {"pip"}
    assert only(Install, "pip wheel -w /w -r r.txt").action == "wheel"
    assert only(Compile, "pip wheel -w /w -r r.txt").tool == "pip"
    assert only(Install, "pip download -d /w x").options.target == "/w"
    assert not commands_in("pip list && pip check && pip --version && pip config set a b && pip")


def test_build_from_source() -> None:
    assert only(Compile, "python setup.py build_ext --inplace").tool == "setup.py"
    assert only(Compile, "python -m build --wheel").tool == "build"
    assert only(Install, "python setup.py install").packages[0].kind == "path"
    assert not commands_in("python train.py && python -c 'import x' && python -m venv /v && python -m pytest")


def test_pipx() -> None:
    found = only(Install, "pipx install --python python3.12 'poetry==1.8'")
    assert (found.manager, names(found)) == ("pipx", ["poetry==1.8"])
    assert only(Install, "python -m pipx inject poetry plugin").packages[0].name == "plugin"


def test_uv_pip() -> None:
    found = only(
        Install,
        "uv pip install --system --no-cache -r requirements.txt --torch-backend cpu -p 3.12 --index https://x 'torch>=2'",
    )
    assert (found.manager, found.action, names(found)) == ("uv", "install", ["torch>=2"])
    assert [each.path for each in found.files] == ["requirements.txt"]
    options = found.options
    assert (options.no_cache, options.is_global, options.torch_backend) == (True, True, "cpu")
    assert options.extra_index_urls == ("https://x",)
    assert only(Install, "uv pip sync requirements.lock").files[0].path == "requirements.lock"
    assert only(Install, "uv pip install -r pyproject.toml --extra serve").files[0].kind == "project"


def test_uv_sync_and_add() -> None:
    found = only(Install, "uv sync --frozen --no-dev --no-install-project --extra gpu --group a --no-cache")
    assert (found.action, [each.path for each in found.files]) == ("sync", ["pyproject.toml", "uv.lock"])
    assert (found.options.is_frozen, found.options.no_dev, found.options.groups) == (True, True, ("gpu", "a"))
    assert not only(Install, "uv sync").options.no_dev
    assert names(only(Install, "uv add torch numpy==1")) == ["torch", "numpy==1"]
    assert names(only(Install, "uv tool install ruff@latest --with x")) == ["ruff@latest", "x"]
    assert only(Clean, "uv cache clean").caches == {"uv"}
    assert only(Install, "python -m uv pip install x").manager == "uv"
    assert not commands_in("uv venv /v && uv lock && uv build && uv python install 3.12")


def test_poetry_pdm_pipenv() -> None:
    found = only(Install, "poetry install --only main -E gpu --no-root --no-interaction")
    assert (found.manager, found.action, found.options.no_dev, found.options.groups) == (
        "poetry",
        "sync",
        True,
        ("gpu",),
    )
    assert [each.path for each in found.files] == ["pyproject.toml", "poetry.lock"]
    assert not only(Install, "poetry install").options.no_dev
    assert only(Install, "poetry install --without dev,test").options.no_dev
    assert only(Install, "pdm sync --prod --no-editable").options.no_dev
    assert only(Install, "pipenv install --system --deploy").options.is_frozen
    assert names(only(Install, "poetry run pip install x")) == ["x"]


@pytest.mark.parametrize(
    ("text", "name", "constraint", "is_pinned"),
    [
        ("numpy", "numpy", "", False),
        ("numpy=1.26", "numpy", "=1.26", True),
        ("numpy==1.26.4", "numpy", "==1.26.4", True),
        ("'numpy>=1.26'", "numpy", ">=1.26", False),
        ("'numpy=1.*'", "numpy", "=1.*", False),
        ("conda-forge::numpy=1.26=py311_0", "numpy", "=1.26=py311_0", True),
        ("python=$V", "python", f"={UNKNOWN}", True),
        ("_libgcc_mutex", "_libgcc_mutex", "", False),
    ],
)
def test_specifications_of_conda(text: str, name: str, constraint: str, is_pinned: bool) -> None:
    package = only(Install, f"conda install -y {text}").packages[0]
    assert (package.name, package.constraint, package.is_pinned) == (name, constraint, is_pinned)


def test_conda() -> None:
    found = only(Install, "mamba create -y -n env -c conda-forge -c nvidia --file r.txt python=3.11 numpy")
    assert (found.manager, found.action, names(found)) == ("conda", "create", ["python=3.11", "numpy"])
    assert (found.options.channels, found.options.environment) == (("conda-forge", "nvidia"), "env")
    assert found.options.assume_yes
    assert [(each.path, each.kind) for each in found.files] == [("r.txt", "requirements")]
    assert only(Install, "conda env create -f env.yml").files[0].kind == "environment"
    assert only(Install, "conda env update -n base").files[0].path == "environment.yml"
    assert only(Install, "micromamba install -y -n base -f env.yaml").files[0].kind == "environment"
    assert only(Install, "conda run -n x pip install y").manager == "pip"


@pytest.mark.parametrize(
    ("run", "cleans"),
    [
        ("conda clean -afy", True),
        ("conda clean --all --yes", True),
        ("conda clean -tipsy", True),
        ("micromamba clean --all -y", True),
        ("conda clean -i", False),
        ("conda clean --all --dry-run", False),
        ("rm -rf /opt/conda/pkgs", True),
        ("rm -rf /root/miniconda3/pkgs/*", True),
    ],
)
def test_cleaning_conda(run: str, cleans: bool) -> None:
    assert bool([each for each in commands_in(run) if isinstance(each, Clean)]) is cleans
