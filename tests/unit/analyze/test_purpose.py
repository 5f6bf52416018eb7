"""analyze/purpose.py: each purpose by examples, what must never be taken for waste, the table of the documentation."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.purpose import PURPOSES, Purpose, purpose_of

SITE = "usr/local/lib/python3.11/site-packages"
DOCS = Path(__file__).parents[3] / "docs/purposes.md"
MANY = 5 << 20

EXAMPLES: dict[Purpose, list[str]] = {
    "application": [
        "app/main.py", "srv/api/tests/test_api.py", "home/user/x/include/a.h", "usr/src/app/server.js", "var/task/handler.py",
        "opt/service/config.yaml", "start.sh", "app/requirements.txt", "app/models/config.json",
    ],
    "weights": [
        "models/a.safetensors", "app/model.onnx", "srv/m.gguf", "app/checkpoints/last.ckpt", "opt/model/pytorch_model.bin",
        "root/.cache/huggingface/hub/models--a--b/blobs/0123", "root/.cache/torch/hub/checkpoints/resnet.pth", "tmp/x/best.pt",
        f"{SITE}/rapidocr/models/det.onnx", "usr/share/models/x.tflite",
    ],
    "datasets": ["app/data/train.csv", "data/part-0.parquet", "root/.cache/huggingface/hub/datasets--x/blobs/1"],
    "interpreter": [
        "usr/bin/python3.11", "usr/local/lib/python3.11/asyncio/__init__.py", "usr/local/lib/libpython3.11.so.1.0",
        "usr/bin/node",
        "usr/local/lib/python3.11/lib-dynload/math.cpython-311-x86_64-linux-gnu.so", "usr/lib/jvm/java-17/lib/modules",
        "opt/conda/bin/python3.11", "usr/bin/perl",
    ],
    "library": [
        f"{SITE}/numpy/testing/_private/utils.py", f"{SITE}/pandas/testing.py", f"{SITE}/pandas/_testing/__init__.py",
        f"{SITE}/torch/testing/_internal/common.py", f"{SITE}/jinja2/tests.py", f"{SITE}/botocore/docs/docstring.py",
        f"{SITE}/astropy/tests/runner.py", f"{SITE}/django/test/client.py", f"{SITE}/tensorflow/_api/v2/test/__init__.py",
        f"{SITE}/ray/rllib/examples/x.py", f"{SITE}/xgboost/lib/libxgboost.so", f"{SITE}/numpy.libs/libopenblas-1.so",
        f"{SITE}/certifi/cacert.pem", f"{SITE}/__editable__.x.pth", f"{SITE}/six.py", f"{SITE}/mypy/typeshed/stdlib/os.pyi",
        f"{SITE}/huggingface_hub/templates/modelcard_template.md", "usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0",
        "usr/lib/node_modules/express/lib/application.js", "app/node_modules/x/package.json", f"{SITE}/numba/core/_x.h",
        f"{SITE}/torch/lib/libtorch_cpu.so", f"{SITE}/skimage/data/__init__.pyi", f"{SITE}/tables/tests/a.h5",
        f"{SITE}/django/conf/locale/en/LC_MESSAGES/django.mo", f"{SITE}/babel/locale-data/root.dat",
        f"{SITE}/trimesh/models/face.obj", f"{SITE}/babel/locale-data/en_001.dat",
    ],
    "bytecode": [f"{SITE}/numpy/__pycache__/x.cpython-311.pyc", "usr/lib/python3.11/__pycache__/os.cpython-311.pyc"],
    "cuda": [
        f"{SITE}/nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9", f"{SITE}/torch/lib/libtorch_cuda.so",
        f"{SITE}/onnxruntime/capi/libonnxruntime_providers_cuda.so", f"{SITE}/triton/backends/nvidia/include/cuda.h",
        "usr/local/cuda-12.4/lib64/libcublas.so.12", "usr/lib/x86_64-linux-gnu/libnccl.so.2.20.5", f"{SITE}/cupy/_core/x.cuh",
        "opt/rocm-6.0/lib/libamdhip64.so", f"{SITE}/tensorrt_libs/libnvinfer.so.10",
    ],
    "build-tools": [
        "usr/bin/gcc-12", "usr/bin/x86_64-linux-gnu-g++-12", "usr/bin/ld.bfd", "usr/bin/make", "usr/bin/git",
        "usr/lib/gcc/x86_64-linux-gnu/12/cc1plus", "usr/lib/x86_64-linux-gnu/libbfd-2.40-system.so",
        "usr/bin/python3.11-config",
        "usr/lib/git-core/git-remote-http", "usr/share/cmake-3.25/Modules/x.cmake", f"{SITE}/torch/bin/protoc-3.13.0.0",
        f"{SITE}/torch/share/cmake/Torch/TorchConfig.cmake", f"{SITE}/cmake/data/bin/cmake", "usr/local/cuda-12/bin/nvcc",
        "usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc", "usr/bin/dpkg-buildpackage", f"{SITE}/nvidia/cuda_nvcc/bin/ptxas",
    ],
    "headers": [
        "usr/include/stdio.h", f"{SITE}/numpy/_core/include/numpy/arrayobject.h", f"{SITE}/sklearn/tree/_tree.pyx",
        f"{SITE}/scipy/_lib/x.pxd", f"{SITE}/torch/include/ATen/ATen.h", "usr/lib/gcc/x86_64-linux-gnu/12/include/stddef.h",
        f"{SITE}/nvidia/cuda_runtime/include/cuda.h", "usr/local/include/python3.11/Python.h", "opt/conda/include/zlib.h",
    ],
    "static-libraries": [
        "usr/lib/x86_64-linux-gnu/libc.a", f"{SITE}/torch/lib/libx.a", "usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a",
        "usr/local/cuda-12.4/lib64/libcudart_static.a", "usr/lib/x86_64-linux-gnu/crt1.o",
        f"{SITE}/nvidia/nccl/lib/libnccl_static.a",
        "usr/lib/python3.11/config-3.11-x86_64-linux-gnu/libpython3.11.a",
    ],
    "debug-symbols": ["usr/lib/debug/.build-id/ab/cd.debug", f"{SITE}/x/_x.pdb", "usr/lib/libx.so.debug"],
    "tests": [
        f"{SITE}/numpy/tests/test_x.py", f"{SITE}/pandas/tests/io/data/a.csv", f"{SITE}/joblib/test/test_x.py",
        f"{SITE}/sklearn/tests/__pycache__/x.cpython-311.pyc", f"{SITE}/onnx/backend/test/data/model.onnx",
        f"{SITE}/tests/x.py",
        "usr/lib/python3.11/test/support/__init__.py", "usr/lib/python3.11/unittest/test/x.py", "app/node_modules/x/test/a.js",
        f"{SITE}/astropy/io/tests/x.py", f"{SITE}/numpy/_core/tests/data/a.pkl", f"{SITE}/scipy/io/tests/x.c",
    ],
    "docs": [
        "usr/share/man/man1/ls.1.gz", "usr/share/doc/gcc/README.Bugs", "usr/share/info/dir", f"{SITE}/x/README.md",
        f"{SITE}/x/docs/index.html", "app/node_modules/x/README.md", "usr/share/doc/bash/examples/a.sh",
    ],
    "licences": [
        "usr/share/doc/libc6/copyright", "usr/share/common-licenses/GPL-3", f"{SITE}/numpy-2.0.dist-info/licenses/LICENSE.txt",
        f"{SITE}/x/LICENSE", f"{SITE}/torch-2.0.dist-info/NOTICE", "app/node_modules/x/LICENSE.md",
    ],
    "type-stubs": [
        f"{SITE}/numpy/__init__.pyi", f"{SITE}/pandas-stubs/core.py", f"{SITE}/x/py.typed", "a/node_modules/x/i.d.ts",
    ],
    "sample-data": [
        f"{SITE}/sklearn/datasets/data/iris.csv", f"{SITE}/matplotlib/mpl-data/sample_data/x.npz",
        f"{SITE}/x/examples/a.ipynb.txt",
        f"{SITE}/sklearn/datasets/descr/iris.rst",
    ],
    "locales": [
        f"{SITE}/django/conf/locale/de/LC_MESSAGES/django.mo", f"{SITE}/babel/locale-data/fr.dat",
        "usr/share/locale/de/LC_MESSAGES/bash.mo", "usr/lib/locale/locale-archive", "usr/share/i18n/locales/de_DE"],
    "package-managers": [
        f"{SITE}/pip/_vendor/x.py", f"{SITE}/setuptools/tests/x.py", f"{SITE}/pip-24.0.dist-info/RECORD", "usr/bin/apt-get",
        "usr/bin/dpkg", "usr/lib/x86_64-linux-gnu/libapt-pkg.so.6.0.0", "usr/lib/python3.11/ensurepip/_bundled/pip.whl",
        "usr/local/lib/node_modules/npm/lib/cli.js", "opt/conda/bin/conda", "etc/apt/sources.list", "sbin/apk", "usr/bin/pip3",
        f"{SITE}/distutils-precedence.pth",
    ],
    "package-metadata": [
        "var/lib/dpkg/status", "lib/apk/db/installed", "var/lib/rpm/rpmdb.sqlite", f"{SITE}/numpy-2.0.dist-info/RECORD",
        "opt/conda/conda-meta/zlib-1.json", f"{SITE}/x.egg-info/PKG-INFO", "a/node_modules/.package-lock.json",
    ],
    "caches": [
        "root/.cache/pip/http/a/b", "var/cache/apt/archives/x.deb", "var/lib/apt/lists/deb_x_Packages", "tmp/build/x.c",
        "opt/conda/pkgs/zlib-1/lib/libz.so", "root/.npm/_cacache/x", "app/.pytest_cache/v/x", "var/log/dpkg.log",
    ],
    "notebooks": ["app/explore.ipynb", f"{SITE}/x/a.ipynb"],
    "vcs": ["app/.git/objects/pack/a.pack", "x/.hg/store/a"],
    "system": [
        "etc/passwd", "usr/bin/ls", "usr/share/zoneinfo/Europe/Berlin", "etc/ssl/certs/ca-certificates.crt",
        "usr/lib/os-release", "usr/share/gcc/python/libstdcxx/v6/printers.py", "usr/share/gcc-10/python/libstdcxx/__init__.py",
        "usr/share/gdb/auto-load/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30-gdb.py",
        "usr/lib/locale/C.utf8/LC_CTYPE", "usr/share/fonts/a.ttf", "bin/busybox", "usr/bin/sort", "usr/bin/patchy",
    ],
}  # fmt: skip


@pytest.mark.parametrize("purpose", EXAMPLES)
def test_each_purpose_has_the_files_that_it_says(purpose: Purpose) -> None:
    assert {path: purpose_of(path, MANY) for path in EXAMPLES[purpose]} == dict.fromkeys(EXAMPLES[purpose], purpose)


def test_every_purpose_is_defined_in_one_sentence_and_documented() -> None:
    assert tuple(PURPOSES) == get_args(Purpose)
    assert set(EXAMPLES) == set(PURPOSES)
    assert all(text[0] == text[0].lower() or text.startswith("Jupyter") for text in PURPOSES.values())
    table = "".join(f"| `{name}` | {text} |\n" for name, text in PURPOSES.items())
    assert table in DOCS.read_text()


def test_small_files_are_neither_weights_nor_data_sets() -> None:
    assert purpose_of("app/model.bin", 10) == "application"
    assert purpose_of("app/labels.csv", 5000) == "application"


@given(
    st.lists(
        st.sampled_from(
            [*"abz", "site-packages", "tests", "usr", "lib", "python3.11", ".git", "\udcff", "é", "x.so.1", ""]
        )
    ),
    st.integers(0, 1 << 60),
)
def test_any_path_has_a_purpose(parts: list[str], size_bytes: int) -> None:
    assert purpose_of("/".join(parts), size_bytes) in PURPOSES


def test_no_module_of_this_interpreter_that_was_imported_is_taken_for_waste() -> None:
    """Whatever this process has loaded is needed by something; only what is not a module may go."""
    waste = {
        "tests",
        "docs",
        "headers",
        "static-libraries",
        "caches",
        "sample-data",
        "type-stubs",
        "locales",
        "licences",
    }
    prefix, wrong = os.path.realpath(sysconfig.get_paths()["stdlib"]), {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str):
            continue
        site = path.find("site-packages/")
        if site >= 0:
            path = f"{SITE}/{path[site + 14 :]}"
        elif path.startswith(f"{prefix}/"):
            path = f"usr/lib/python3.11/{path[len(prefix) + 1 :]}"
        else:
            continue
        if (found := purpose_of(path, MANY)) in waste:
            wrong[path] = found
    assert wrong == {}
