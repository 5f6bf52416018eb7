"""Rules about what the build context brings: real files in which they have nothing to say, and what they say."""

from __future__ import annotations

import pytest

from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.finding import Finding
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example

WHOLE = "FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD python serve.py\n"
GIT = {".git/objects/pack/a.pack": 40_000_000}

SILENT: dict[str, dict[str, Example]] = {
    "NoIgnoreFile": {
        "nothing but sources": Example(WHOLE, {"serve.py": "print()\n", "README.md": "# x\n"}),
        "nothing is known of the context": Example(WHOLE),
        "single files": Example("FROM a\nCOPY serve.py .\n", {"serve.py": "print()\n", **GIT}),
        "the history is asked for": Example(
            "FROM a\nCOPY . .\nRUN git describe > version\n", {"serve.py": "print()\n", **GIT}
        ),
        "the version comes from the history": Example(
            "FROM a\nCOPY . .\nRUN pip install .\n", {"pyproject.toml": "[project]\n", **GIT}
        ),
        "the environment is used in the image": Example(
            "FROM a\nWORKDIR /app\nCOPY . .\nCMD /app/.venv/bin/python serve.py\n",
            {".venv/bin/python": 6_000_000, "serve.py": ""},
        ),
        "in a stage that nobody needs": Example(
            "FROM a AS dev\nCOPY . .\n\nFROM b\nCOPY serve.py .\n", {"serve.py": "", **GIT}
        ),
    },
    "IgnoreMissesLargeFiles": {
        "all kept out": Example(WHOLE, {"a.py": "", **GIT, "x/.venv/a": 9_000_000}, ignore=".git\n**/.venv\n"),
        "everything but one": Example(WHOLE, {"a.py": "", **GIT}, ignore="*\n!a.py\n"),
        "small": Example(WHOLE, {"a.py": "", "__pycache__/a.pyc": 3_000}, ignore=".git\n"),
        "large files of unknown use": Example(WHOLE, {"a.bin": 90_000_000}, ignore=".git\n"),
        "not copied": Example("FROM a\nCOPY src .\n", {"src/a.py": "", **GIT}, ignore="x\n"),
        "left out by the COPY": Example("FROM a\nCOPY --exclude=.git . .\n", {"a.py": "", **GIT}, ignore="x\n"),
        "named by a COPY": Example("FROM a\nCOPY . .\nCOPY venv /venv\n", {"venv/a.so": 9_000_000}, ignore="x\n"),
    },
    "BigContext": {
        "small": Example(WHOLE, {"a.mp4": 90_000_000}),
        "one large model": Example(WHOLE, {"model/a.safetensors": 2_000_000_000}),
        "named": Example("FROM a\nCOPY videos .\n", {"videos/a.mp4": 900_000_000}),
        "kept out": Example(WHOLE, {"videos/a.mp4": 900_000_000}, ignore="videos\n"),
        "unknown": Example(WHOLE),
        "what another rule tells": Example(WHOLE, {"a.py": "", ".git/a.pack": 900_000_000}),
    },
    "DatasetInImage": {
        "a lookup table": Example("FROM a\nCOPY data/labels.csv .\n", {"data/labels.csv": 12_000_000}),
        "small": Example(WHOLE, {"data/a.csv": 4_000_000}),
        "below the model": Example("FROM a\nCOPY model/ model/\n", {"model/embeddings.npy": 90_000_000}),
        "an image that trains": Example("FROM a\nCOPY . .\nCMD python train.py\n", {"data/a.csv": 90_000_000}),
        "in the training stage alone": Example(
            "FROM a AS train\nWORKDIR /w\nCOPY . .\nRUN python train.py\n\nFROM b\nCOPY --from=train /w/model.onnx /\n",
            {"data/a.csv": 90_000_000},
        ),
        "kept out": Example(WHOLE, {"data/a.csv": 90_000_000}, ignore="data\n"),
        "removed in the training stage": Example(
            "FROM a AS t\nCOPY . /w\nRUN python train.py && rm -rf /w/data\n\nFROM b\nCOPY --from=t /w /w\nCMD serve\n",
            {"data/a.csv": 90_000_000},
        ),
        "pictures of a web page": Example(WHOLE, {"static/hero.png": 12_000_000}),
    },
    "CheckpointsBesideModel": {
        "one model": Example("FROM a\nCOPY model.safetensors .\n", {"model.safetensors": 400_000_000}),
        "a model in shards": Example(
            "FROM a\nCOPY model model\n", {f"model/model-0000{n}-of-00003.safetensors": 400_000_000 for n in (1, 2, 3)}
        ),
        "the only checkpoint is the model": Example(
            "FROM a\nCOPY run run\n", {"run/epoch=3-step=90.ckpt": 400_000_000}
        ),
        "shards of the only checkpoint": Example(
            "FROM a\nCOPY c c\n", {f"c/checkpoint-9/pytorch_model-{n}-of-2.bin": 90_000_000 for n in (1, 2)}
        ),
        "small": Example("FROM a\nCOPY . .\n", {"m.pt": 2_000_000, "checkpoints/m.pt": 2_000_000}),
        "in another stage": Example(
            "FROM a AS t\nCOPY run /run\nRUN x\n\nFROM b\nCOPY --from=t /run/model.onnx /\n",
            {"run/model.onnx": 9_000_000, "run/optimizer.pt": 90_000_000},
        ),
    },
    "EarlyArgInvalidates": {
        "a version of what is installed": Example(
            "FROM a\nARG TORCH_VERSION=2.4\nRUN pip install x\nRUN pip install torch==$TORCH_VERSION\n"
        ),
        "in front of its use": Example("FROM a\nRUN pip install x\nARG GIT_SHA\nLABEL revision=$GIT_SHA\n"),
        "used at once": Example("FROM a\nARG COMMIT\nRUN pip install git+https://example.org/x@$COMMIT\n"),
        "before the first FROM": Example("ARG GIT_SHA\nFROM a\nRUN pip install x\n"),
        "a commit of something else": Example(
            "FROM a\nARG TRITON_COMMIT\nRUN pip install x\nRUN make $TRITON_COMMIT\n"
        ),
        "a commit that is pinned": Example(
            "FROM a\nARG GIT_REF=0f3d2a1\nRUN pip install x\nRUN git checkout $GIT_REF\n"
        ),
        "breaks the cache on purpose": Example("FROM a\nARG CACHEBUST\nRUN apt-get update && apt-get install -y x\n"),
        "nothing is installed behind it": Example("FROM a\nARG BUILD_DATE\nRUN mkdir /x\nENV DATE=$BUILD_DATE\n"),
        "read from the environment": Example(
            "FROM a\nARG BUILD_NUMBER\nRUN python -c 'import os; os.environ[\"BUILD_NUMBER\"]'\nRUN pip install x\n"
        ),
        "passed on by ENV and used": Example(
            "FROM a\nARG GIT_REF\nENV REF=$GIT_REF\nRUN git checkout $REF\nRUN pip install .\n"
        ),
    },
    "DependenciesAfterSource": {
        "requirements first": Example(
            "FROM a\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n"
        ),
        "requirements first, and the rest before too": Example(
            "FROM a\nCOPY requirements.txt .\nCOPY . .\nRUN pip install -r requirements.txt\n"
        ),
        "the project itself": Example("FROM a\nCOPY . .\nRUN pip install .\n"),
        "the project, editable": Example("FROM a\nCOPY . .\nRUN pip install -r requirements.txt -e .\n"),
        "a mount": Example(
            "FROM a\nCOPY . .\nRUN --mount=type=bind,source=requirements.txt,target=/r.txt pip install -r /r.txt\n"
        ),
        "nothing of the sources is read": Example("FROM a\nCOPY . .\nRUN pip install numpy\n"),
        "system packages": Example("FROM a\nCOPY . .\nRUN apt-get update && apt-get install -y curl\n"),
        "lock files by a wildcard": Example("FROM node\nCOPY package*.json ./\nCOPY . .\nRUN npm ci\n"),
        "a stage that nobody needs": Example(
            "FROM a AS dev\nCOPY . .\nRUN pip install -r requirements.txt\n\nFROM b\nCMD x\n"
        ),
        "a directory of requirements": Example(
            "FROM a\nCOPY requirements/ requirements/\nRUN pip install -r requirements/base.txt\nCOPY . .\n",
            {"requirements/base.txt": "x\n", "a.py": ""},
        ),
    },
    "WeightsCopiedThroughStages": {
        "from the context": Example("FROM a AS b\nRUN x\n\nFROM c\nCOPY model.onnx /m/\n"),
        "converted": Example("FROM a AS b\nCOPY m.pt /m/\nRUN python convert.py\n\nFROM c\nCOPY --from=b /m /m\n"),
        "modes are set": Example("FROM a AS b\nCOPY m.pt /m/\nRUN chmod -R a+r /m\n\nFROM c\nCOPY --from=b /m /m\n"),
        "trained": Example("FROM a AS b\nRUN python train.py /m\n\nFROM c\nCOPY --from=b /m/model.onnx /m/\n"),
        "small": Example("FROM a AS b\nCOPY m.pt /m/\n\nFROM c\nCOPY --from=b /m /m\n", {"m.pt": 900_000}),
        "among other things": Example(
            "FROM a AS b\nCOPY . /m/\n\nFROM c\nCOPY --from=b /m /m\n", {"m.pt": 20_000_000, "v.mp4": 9_000_000}
        ),
        "an image of weights": Example("FROM c\nCOPY --from=ghcr.io/org/weights:3 /m.safetensors /m/\n"),
    },
    "LargeFileCopiedEarly": {
        "behind the installation": Example("FROM a\nRUN pip install x\nCOPY v v\n", {"v/a.bin": 90_000_000}),
        "a wheel that is installed": Example("FROM a\nCOPY x.whl .\nRUN pip install x.whl\n", {"x.whl": 90_000_000}),
        "an installer": Example("FROM a\nCOPY i.run .\nRUN ./i.run && apt-get install -y x\n", {"i.run": 90_000_000}),
        "small": Example("FROM a\nCOPY v v\nRUN pip install x\n", {"v/a.mp4": 9_000_000}),
        "everything": Example("FROM a\nCOPY . .\nRUN pip install x\n", {"v/a.mp4": 90_000_000}),
        "nothing is installed": Example("FROM a\nCOPY v v\nRUN ls v\n", {"v/a.mp4": 90_000_000}),
    },
    "WeightsInEarlyLayer": {
        "behind the installation": Example("FROM a\nRUN pip install x\nCOPY model.onnx .\n"),
        "small": Example("FROM a\nCOPY model.onnx .\nRUN pip install x\n", {"model.onnx": 900_000}),
        "in a stage that converts": Example(
            "FROM a AS c\nCOPY m.pt .\nRUN pip install onnx\nRUN x\n\nFROM b\nCOPY --from=c /m.onnx /\n"
        ),
        "no installation": Example("FROM a\nCOPY model.onnx .\nCOPY a.py .\nRUN mkdir /x\n"),
        "a table": Example("FROM a\nCOPY labels.csv .\nRUN pip install x\n"),
        "a pickle of unknown size": Example("FROM a\nCOPY vocab.pkl .\nRUN pip install x\n"),
    },
    "WeightsInCodeLayer": {
        "an instruction of their own": Example(
            "FROM a\nCOPY m.onnx /m/\nCOPY src /app/\n", {"m.onnx": 90_000_000, "src/a.py": ""}
        ),
        "left out of the rest": Example("FROM a\nCOPY --exclude=m.onnx . .\n", {"m.onnx": 90_000_000, "a.py": ""}),
        "small": Example(WHOLE, {"m.onnx": 9_000_000, "a.py": ""}),
        "in the stage that trains": Example(
            "FROM a AS t\nCOPY . .\nRUN x\n\nFROM b\nCOPY --from=t /m.onnx /\n", {"m.onnx": 90_000_000, "a.py": ""}
        ),
        "a model with its vocabulary": Example(
            "FROM a\nCOPY model /m\n", {"model/m.onnx": 90_000_000, "model/vocab.txt": ""}
        ),
        "unknown sizes": Example(WHOLE),
    },
    "CudaDevelInFinalStage": {
        "runtime": Example("FROM nvidia/cuda:12.6.3-runtime-ubuntu24.04\nCMD x\n"),
        "the builder": Example(
            "FROM nvidia/cuda:12.6.3-devel-ubi9 AS b\nRUN make\n\nFROM nvidia/cuda:12.6.3-base-ubi9\nCOPY --from=b /x /x\n"
        ),
        "it compiles while it runs": Example(
            "FROM nvidia/cuda:12.6.3-devel-ubuntu24.04\nRUN pip install vllm\nCMD vllm serve\n"
        ),
        "an image to work in": Example("FROM nvidia/cuda:12.6.3-devel-ubi9\nCMD bash\n"),
        "deepspeed": Example("FROM pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel\nRUN pip install deepspeed\n"),
        "a devel of something else": Example("FROM quay.io/pypa/x:devel\nCMD x\n"),
        "no tag": Example("ARG BASE\nFROM $BASE\nCMD x\n"),
    },
    "NotebookInImage": {
        "no notebook": Example(WHOLE, {"a.py": ""}),
        "kept out": Example(WHOLE, {"a.ipynb": 900}, ignore="**/*.ipynb\n"),
        "jupyter is the service": Example("FROM jupyter/base-notebook\nCOPY . .\n", {"a.ipynb": 900}),
        "papermill runs it": Example("FROM a\nRUN pip install papermill\nCOPY . .\n", {"a.ipynb": 900}),
        "its requirements have voila": Example(WHOLE, {"a.ipynb": 900, "requirements.txt": "voila==0.5\n"}),
        "in the training stage": Example(
            "FROM a AS t\nCOPY . /w\nRUN x\n\nFROM b\nCOPY --from=t /w/out/m.onnx /\n", {"a.ipynb": 900}
        ),
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
def test_has_nothing_to_say(rule: str, given: Example) -> None:
    checked = check_example(given, [catalogue.rule(rule)])
    assert not checked.faults
    assert not checked.findings


def the_finding(rule: str, example: Example) -> Finding:
    (finding,) = check_example(example, [catalogue.rule(rule)]).findings
    return finding


def test_the_ignore_file_has_lines_for_what_is_there() -> None:
    files: dict[str, str | int] = {
        "a.py": "",
        **GIT,
        "src/__pycache__/a.cpython-312.pyc": 900,
        "svc/.venv/lib/x.so": 7_000_000,
        "__pycache__/b.cpython-312.pyc": 100,
        "mlruns/0/meta.yaml": 10,
    }
    finding = the_finding("NoIgnoreFile", Example(WHOLE, files))
    assert finding.fix is not None
    (file,) = finding.fix.files
    assert (file.path, file.is_addition) == (".dockerignore", False)
    assert file.text == "# What no image needs.\n.git\n**/.venv\n**/__pycache__\nmlruns\n"
    assert finding.message == (
        'there is no ".dockerignore", and this copies ".git", "svc/.venv", "src/__pycache__", "__pycache__" and 1 more '
        "(47 MB)"
    )
    assert not check_example(
        Example(WHOLE, files, ignore=file.text), [catalogue.rule("IgnoreMissesLargeFiles")]
    ).findings


def test_lines_are_added_to_the_ignore_file() -> None:
    finding = the_finding("IgnoreMissesLargeFiles", Example(WHOLE, {"a.py": "", **GIT}, ignore="*.md\n"))
    assert finding.fix is not None
    (file,) = finding.fix.files
    assert (file.path, file.text, file.is_addition) == (".dockerignore", ".git\n", True)
    assert (finding.span.line, finding.span.column, finding.saving_bytes) == (3, 6, 40_000_000)


def test_data_that_comes_by_way_of_the_training_stage() -> None:
    text = (
        "FROM a AS train\nWORKDIR /w\nCOPY . .\nRUN python train.py\n\nFROM b\nCOPY --from=train /w /app\nCMD serve\n"
    )
    finding = the_finding("DatasetInImage", Example(text, {"data/a.csv": 90_000_000, "train.py": ""}))
    assert finding.message == '90 MB of data come into the image by way of "train": "data/a.csv"'
    assert (finding.span.line, finding.span.column, finding.span.end_column) == (7, 19, 21)


def test_only_the_last_checkpoint_is_the_model() -> None:
    files: dict[str, str | int] = {f"run/checkpoint-{n}/model.safetensors": 40_000_000 for n in (500, 1000)}
    files["run/checkpoint-1000/optimizer.pt"] = 80_000_000
    finding = the_finding("CheckpointsBesideModel", Example("FROM a\nCOPY run/ /m/\n", files))
    assert "checkpoint-500/model.safetensors" in finding.message
    assert "checkpoint-1000/model" not in finding.message
    assert finding.saving_bytes == 120_000_000


def test_large_notebooks_are_a_warning() -> None:
    assert the_finding("NotebookInImage", Example(WHOLE, {"a.ipynb": 20_000_000})).severity == "warning"
    assert the_finding("NotebookInImage", Example(WHOLE, {"a.ipynb": 20_000})).severity == "info"


def test_an_argument_that_is_passed_on_is_told_at_the_argument() -> None:
    text = "FROM a\nARG X=1 GIT_SHA\nENV SHA=$GIT_SHA\nRUN apt-get update && apt-get install -y x\nRUN echo $SHA\n"
    finding = the_finding("EarlyArgInvalidates", Example(text))
    assert (finding.span.line, finding.span.column, finding.span.end_column) == (2, 9, 16)
    assert "line 4 too" in finding.message


def test_the_runtime_image_of_the_same_version_is_named() -> None:
    finding = the_finding(
        "CudaDevelInFinalStage", Example("FROM pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel AS x\nCMD x\n")
    )
    assert finding.hint is not None
    assert 'end on "pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime"' in finding.hint
    assert (finding.span.column, finding.span.end_column) == (6, 49)


def test_weights_of_a_training_stage_count_as_well() -> None:
    text = "FROM a AS train\nRUN x\n\nFROM b\nCOPY --from=train /m/model.onnx /m/\nRUN pip install onnxruntime\n"
    finding = the_finding("WeightsInEarlyLayer", Example(text))
    assert (finding.span.line, finding.span.column) == (5, 19)


def test_the_size_of_weights_is_told() -> None:
    text = "FROM b\nCOPY models/ /m/\nRUN pip install onnxruntime\n"
    finding = the_finding("WeightsInEarlyLayer", Example(text, {"models/a/model.onnx": 90_000_000, "models/a.txt": ""}))
    assert finding.message.startswith("weights (90 MB) are copied in front of line 3")


def mended(rule: str, example: Example) -> str:
    return fix_all(example.dockerfile, lambda text: check_example(example, [catalogue.rule(rule)], text)).text


def test_requirements_go_in_front_of_the_sources() -> None:
    text = (
        "FROM a\nWORKDIR /app\n# all\nCOPY . /app/\nENV X=1\n# packages\nRUN pip install \\\n    -r reqs/base.txt -c pins.txt\n"
        "CMD python a.py\n"
    )
    files: dict[str, str | int] = {"reqs/base.txt": "numpy\n", "pins.txt": "numpy==2\n", "a.py": ""}
    assert mended("DependenciesAfterSource", Example(text, files)) == (
        "FROM a\nWORKDIR /app\n# all\nCOPY reqs/base.txt /app/reqs/\nCOPY pins.txt /app/\nENV X=1\n# packages\n"
        "RUN pip install \\\n    -r reqs/base.txt -c pins.txt\nCOPY . /app/\nCMD python a.py\n"
    )


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("FROM a\nCOPY . .\nRUN pip install -r r.txt\n", {"r.txt": "x\n"}),
        ("FROM a\nWORKDIR /a\nCOPY . .\nRUN pip install -r r.txt\n", {"r.txt": "-r s.txt\n"}),
        ("FROM a\nWORKDIR /a\nCOPY . .\nRUN pip install -r r.txt\n", {"r.txt": "./lib\n"}),
        ("FROM a\nWORKDIR /a\nCOPY . .\nRUN pip install -r r.txt && python b.py\n", {"r.txt": "x\n"}),
        ("FROM a\nWORKDIR /a\nCOPY . .\nRUN make\nRUN pip install -r r.txt\n", {"r.txt": "x\n"}),
        ("FROM a\nWORKDIR /a\nCOPY --chown=app . .\nRUN pip install -r r.txt\n", {"r.txt": "x\n"}),
        ("FROM a\nWORKDIR /a\nCOPY . .\nRUN pip install -r r.txt\n", None),
    ],
    ids=[
        "unknown directory",
        "a missing include",
        "a path",
        "more in the RUN",
        "between",
        "owner",
        "no context",
    ],
)
def test_requirements_are_left_where_moving_them_is_not_certain(text: str, files: dict[str, str | int] | None) -> None:
    finding = the_finding("DependenciesAfterSource", Example(text, files))
    assert finding.fix is None
    assert finding.hint is not None
    assert finding.hint.startswith("copy r.txt first")


def test_lock_files_of_other_managers_count() -> None:
    finding = the_finding("DependenciesAfterSource", Example("FROM node\nWORKDIR /a\nCOPY . .\nRUN npm ci\n"))
    assert finding.hint == (
        "copy package.json and package-lock.json first, install, and then copy the rest: COPY package.json package-lock.json ./"
    )
    assert (finding.span.line, finding.span.column) == (4, 5)


def test_included_files_go_with_the_one_that_includes_them() -> None:
    text = "FROM a\nWORKDIR /a\nCOPY . .\nRUN pip install -r r/all.txt\n"
    files: dict[str, str | int] = {
        "r/all.txt": "-r base.txt\n-c ../pins.txt\n",
        "r/base.txt": "x\n",
        "pins.txt": "x==1\n",
    }
    assert mended("DependenciesAfterSource", Example(text, files)) == (
        "FROM a\nWORKDIR /a\nCOPY r/all.txt r/base.txt ./r/\nCOPY pins.txt .\nRUN pip install -r r/all.txt\nCOPY . .\n"
    )
