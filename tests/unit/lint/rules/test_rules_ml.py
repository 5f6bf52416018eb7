"""Rules about what ML projects install: real files in which they have nothing to say, and what they say."""

from __future__ import annotations

import pytest

from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.finding import Finding
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example

CUDA = "FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04\n"
PY = "FROM python:3.12-slim\n"
APT = "RUN apt-get update && apt-get install -y "
UVICORN = "EXPOSE 80\nCMD uvicorn app:app\n"

SILENT: dict[str, dict[str, str | Example]] = {
    "TrainingPackagesInFinalStage": {
        "what answering takes": PY + "RUN pip install fastapi uvicorn onnxruntime numpy\n" + UVICORN,
        "an image that trains": PY + "RUN pip install optuna wandb pytest\nEXPOSE 80\nCMD python train.py\n",
        "notebooks": PY + "RUN pip install jupyterlab matplotlib\nEXPOSE 8888\nCMD jupyter lab\n",
        "a shell": PY + "RUN pip install pytest black\nCMD bash\n",
        "a program of unknown purpose": PY + "RUN pip install wandb pytest\nCMD python main.py\n",
        "tensorboard": PY + "RUN pip install wandb tensorboard\nEXPOSE 6006\nCMD python main.py\n",
        "a job, no service": PY + "RUN pip install wandb\nCMD python evaluate_all.py\n",
        "in the training stage": PY.replace("\n", " AS t\n")
        + "RUN pip install wandb\n\n"
        + PY
        + "RUN pip install flask\n"
        + UVICORN,
        "a target for tests": PY
        + "RUN pip install flask\n\nFROM python:3.12-slim AS test\nRUN pip install pytest\nCMD pytest\n",
        "classes that a saved model may need": PY
        + "RUN pip install fastapi imbalanced-learn lightning albumentations\n"
        + UVICORN,
        "plots are the service": PY
        + "RUN pip install streamlit plotly matplotlib\nEXPOSE 80\nCMD streamlit run app.py\n",
        "mlflow, which has a smaller variant": PY + "RUN pip install mlflow fastapi\n" + UVICORN,
    },
    "CudaWheelsOnCpu": {
        "the wheel without CUDA": PY + "RUN pip install torch==2.4.0+cpu -f https://example.org/whl/cpu\nCMD x\n",
        "the index without CUDA": PY + "RUN pip install --index-url https://example.org/whl/cpu torch\nCMD x\n",
        "an index with CUDA": PY + "RUN pip install --index-url https://example.org/whl/cu124 torch\nCMD x\n",
        "a CUDA base": "FROM nvidia/cuda:12.6.3-base-ubuntu24.04\nRUN pip install torch\nCMD x\n",
        "a GPU is spoken of": PY + "ENV NVIDIA_VISIBLE_DEVICES=all\nRUN pip install torch\nCMD x\n",
        "something that needs a GPU": PY + "RUN pip install vllm torch\nCMD x\n",
        "another platform": "FROM --platform=linux/arm64 python:3.12-slim\nRUN pip install torch\nCMD x\n",
        "in the builder": PY.replace("\n", " AS t\n")
        + "RUN pip install torch\n\n"
        + PY
        + "RUN pip install onnxruntime\nCMD x\n",
        "xgboost for CPUs": PY + "RUN pip install xgboost-cpu\nCMD x\n",
        "a version that has no other wheel": PY + "RUN pip install xgboost==1.7.6\nCMD x --device=cpu\n",
    },
    "HeavyVariant": {
        "headless": PY + "RUN pip install opencv-python-headless\nCMD x\n",
        "a screen": PY + "ENV DISPLAY=:0\nRUN pip install opencv-python\nCMD x\n",
        "a desktop by VNC": PY + APT + "xvfb x11vnc\nRUN pip install opencv-python\nCMD x\n",
        "another package asks for it": PY + "RUN pip install opencv-python ultralytics\nCMD x\n",
        "windows are opened": Example(
            PY + "COPY a.py .\nRUN pip install opencv-python\nCMD python a.py\n", {"a.py": "cv2.imshow('x', i)\n"}
        ),
        "the tracking server": PY + "RUN pip install mlflow\nEXPOSE 5000\nCMD mlflow server\n",
        "training with mlflow": PY + "RUN pip install mlflow\nCMD python train.py\n",
        "a server with reloading": PY + "RUN pip install uvicorn[standard] gradio\n" + UVICORN,
    },
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


def test_training_packages_are_told_with_the_lines_that_ask_for_them() -> None:
    files: dict[str, str | int] = {
        "r/serve.txt": "fastapi\n-r more.txt\n",
        "r/more.txt": "wandb\npytest==8\nmatplotlib\n",
    }
    text = PY + "WORKDIR /a\nCOPY r/ r/\nRUN pip install -r r/serve.txt optuna\n" + UVICORN
    finding = the_finding("TrainingPackagesInFinalStage", text, files)
    assert finding.message == (
        "answering needs none of optuna (training), wandb (experiment tracking), pytest (test tools), matplotlib (plotting)"
    )
    assert finding.notes == (
        "r/more.txt:1 asks for wandb",
        "r/more.txt:2 asks for pytest",
        "r/more.txt:3 asks for matplotlib",
    )
    assert (finding.severity, finding.span.line, finding.span.column) == ("warning", 4, 32)


def test_plots_alone_are_advice() -> None:
    finding = the_finding("TrainingPackagesInFinalStage", PY + "RUN pip install flask matplotlib\n" + UVICORN)
    assert (finding.severity, finding.span.column) == ("info", 23)


def mended(rule: str, dockerfile: str, files: dict[str, str | int] | None = None) -> str:
    example = Example(dockerfile, files)
    return fix_all(dockerfile, lambda text: check_example(example, [catalogue.rule(rule)], text)).text


def test_without_evidence_cuda_is_advice_and_nothing_is_changed() -> None:
    text = PY + "RUN pip install torch torchvision\nCMD python a.py\n"
    finding = the_finding("CudaWheelsOnCpu", text)
    assert (finding.severity, finding.fix, finding.saving_bytes) == ("info", None, None)
    assert finding.message == 'the wheels of "torch" carry CUDA (5.66 GB); without a GPU nothing loads it'


def test_a_file_that_says_cpu_gets_the_index_and_the_names() -> None:
    text = (
        PY
        + "ENV CUDA_VISIBLE_DEVICES=\nRUN pip install \\\n  'torch>=2' torchvision \\\n  XGBoost==2.1.4\nCMD python a.py\n"
    )
    assert mended("CudaWheelsOnCpu", text) == (
        PY + "ENV CUDA_VISIBLE_DEVICES=\nRUN pip install \\\n"
        "  --extra-index-url https://download.pytorch.org/whl/cpu 'torch>=2' torchvision \\\n  xgboost-cpu==2.1.4\n"
        "CMD python a.py\n"
    )


def test_code_that_speaks_of_a_gpu_or_may_choose_one_is_no_evidence() -> None:
    text = PY + "COPY a.py .\nRUN pip install torch\nCMD python a.py\n"
    assert the_finding("CudaWheelsOnCpu", text, {"a.py": ""}).severity == "warning"
    assert the_finding("CudaWheelsOnCpu", text, {"a.py": "x.to('cuda')\n"}).severity == "info"
    chooses = text.replace("torch", "torch sentence-transformers")
    assert the_finding("CudaWheelsOnCpu", chooses, {"a.py": ""}).severity == "info"


def test_a_wheel_in_a_requirement_file_is_told_with_its_line() -> None:
    text = PY + "WORKDIR /a\nCOPY . .\nRUN pip install -r requirements.txt\nCMD python a.py\n"
    finding = the_finding(
        "CudaWheelsOnCpu", text, {"requirements.txt": "numpy\nxgboost==2.1.4\n", "a.py": "import xgboost\n"}
    )
    assert finding.fix is None
    assert "requirements.txt:2 asks for it" in finding.notes
    assert finding.saving_bytes == 694_900_000
    assert (finding.span.line, finding.span.column) == (4, 20)


def test_opencv_becomes_headless_and_mlflow_is_advice() -> None:
    text = PY + 'RUN pip install "opencv-python>=4" mlflow flask\n' + UVICORN
    assert mended("HeavyVariant", text) == PY + 'RUN pip install "opencv-python-headless>=4" mlflow flask\n' + UVICORN
    told = check_example(Example(text), [catalogue.rule("HeavyVariant")]).findings
    assert [(each.severity, each.hint) for each in told] == [
        ("warning", 'install "opencv-python-headless"'),
        ("info", 'install "mlflow-skinny"'),
    ]


@pytest.mark.parametrize(
    "build",
    [
        "RUN python -m venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\nRUN pip install flask wandb\n",
        "RUN python -m venv /opt/venv && /opt/venv/bin/pip install flask wandb\n",
        "RUN python -m venv /opt/venv && pip --python /opt/venv/bin/python install flask wandb\n",
        "RUN pip install --prefix=/opt/venv flask wandb\n",
        "RUN pip install --target /opt/venv flask wandb\n",
        "ENV VIRTUAL_ENV=/opt/venv\nENV PATH=$VIRTUAL_ENV/bin:$PATH\nRUN uv venv /opt/venv && uv pip install flask wandb\n",
    ],
)
def test_an_environment_that_is_copied_is_part_of_the_image(build: str) -> None:
    text = PY.replace("\n", " AS b\n") + build + "\n" + PY + "COPY --from=b /opt/venv /opt/venv\n" + UVICORN
    finding = the_finding("TrainingPackagesInFinalStage", text)
    assert finding.message == "answering needs none of wandb (experiment tracking)"
    assert finding.span.line < text[: text.index("\n\n")].count("\n") + 2


@pytest.mark.parametrize(
    ("build", "path"),
    [
        ("RUN python -m venv /opt/train && /opt/train/bin/pip install wandb\n", "/opt/venv"),
        ("ENV PATH=/opt/train/bin:$PATH\nRUN pip install wandb\n", "/opt/venv"),
        ("RUN pip install wandb\n", "/opt/venv"),
        ("RUN pip install wandb\n", "/model"),
        ("RUN pip install --target /x wandb\n", "/usr/local/lib/python3.12/site-packages"),
    ],
)
def test_an_environment_that_is_not_copied_is_none_of_the_image(build: str, path: str) -> None:
    text = PY.replace("\n", " AS b\n") + build + "\n" + PY + f"COPY --from=b {path} {path}\n" + UVICORN
    assert not check_example(Example(text), [catalogue.rule("TrainingPackagesInFinalStage")]).findings
