"""Rules about what ML projects install: real files in which they have nothing to say, and what they say."""

from __future__ import annotations

import pytest

from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example

CUDA = "FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04\n"
PY = "FROM python:3.12-slim\n"
APT = "RUN apt-get update && apt-get install -y "

SILENT: dict[str, dict[str, str | Example]] = {
    "CudaInBaseAndWheels": {
        "the base image of CUDA": "FROM nvidia/cuda:12.6.3-base-ubuntu24.04\nRUN pip install torch\n",
        "another base": PY + "RUN pip install torch\n",
        "onnxruntime uses the base's": CUDA + "RUN pip install torch onnxruntime-gpu\n",
        "nothing that brings CUDA": CUDA + "RUN pip install fastapi\n",
        "a wheel without CUDA": CUDA + "RUN pip install torch --index-url https://example.org/whl/cpu\n",
        "kernels are compiled": CUDA.replace("runtime", "devel") + "RUN pip install torch\n",
        "torch in the builder": CUDA.replace("\n", " AS b\n")
        + "RUN pip install torch\n\n"
        + PY
        + "COPY --from=b /v /v\n",
    },
    "TwoBlasLibraries": {
        "numpy is built from source": PY + APT + "libopenblas-dev\nRUN pip install --no-binary numpy numpy\n",
        "no numpy": PY + APT + "libopenblas0\nRUN pip install fastapi\n",
        "no library of the system": PY + APT + "libgl1\nRUN pip install numpy\n",
        "something that may use it": PY + APT + "libopenblas0\nRUN pip install numpy scikit-sparse\n",
        "a program that is compiled": PY + APT + "libopenblas-dev\nRUN pip install numpy\nRUN make\n",
        "a program that is copied": "FROM a AS b\n\n"
        + PY
        + APT
        + "libopenblas0\nRUN pip install numpy\nCOPY --from=b /x /x\n",
        "requirements that are not known": PY + APT + "libopenblas0\nRUN pip install -r requirements.txt\n",
    },
}


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        pytest.param(rule, given, id=f"{rule}: {name}")
        for rule, cases in SILENT.items()
        for name, given in cases.items()
    ],
)
def test_has_nothing_to_say(rule: str, given: str | Example) -> None:
    example = Example(given) if isinstance(given, str) else given
    checked = check_example(example, [catalogue.rule(rule)])
    assert not checked.faults
    assert not checked.findings


def the_finding(rule: str, dockerfile: str, files: dict[str, str | int] | None = None) -> Finding:
    (finding,) = check_example(Example(dockerfile, files), [catalogue.rule(rule)]).findings
    return finding


def test_requirements_of_the_context_bring_cuda_too() -> None:
    text = CUDA + "WORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    finding = the_finding("CudaInBaseAndWheels", text, {"requirements.txt": "fastapi\nTorch==2.5.1\n"})
    assert (finding.span.line, finding.span.column) == (1, 6)
    assert '"torch" (line 4) brings its own' in finding.message
    assert finding.hint is not None
    assert '"nvidia/cuda:12.6.3-base-ubuntu24.04"' in finding.hint


def test_a_library_of_the_system_is_told_at_its_word() -> None:
    finding = the_finding("TwoBlasLibraries", PY + APT + "curl libatlas-base-dev\nRUN pip install numpy pandas\n")
    assert (finding.span.line, finding.span.column, finding.span.end_column) == (2, 47, 64)
