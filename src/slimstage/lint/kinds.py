"""What a file of an ML project is, told by its path and size: data, weights, checkpoints, notebooks, things of tools.

A name is evidence, never proof: what is small, or could be what the service itself reads, is of no kind.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Literal

from slimstage.lint.subject import ContextFile
from slimstage.regex import pattern

Kind = Literal["junk", "tracking", "checkpoint", "dataset", "weights", "notebook"]

SMALLEST_WEIGHTS = 1_000_000
"""Bytes from which a file of weights is worth a layer of its own."""

SMALLEST_DATASET = 1_000_000
"""Bytes from which a table is data rather than a list of labels."""

JUNK_DIRECTORIES = {
    ".git": "history of git",
    ".hg": "history of mercurial",
    ".svn": "history of subversion",
    ".venv": "virtual environment",
    "venv": "virtual environment",
    ".conda": "conda environment",
    "__pycache__": "compiled Python",
    ".pytest_cache": "cache of pytest",
    ".mypy_cache": "cache of mypy",
    ".ruff_cache": "cache of ruff",
    ".tox": "environments of tox",
    ".nox": "environments of nox",
    ".ipynb_checkpoints": "copies of notebooks",
    ".dvc": "cache of dvc",
    ".idea": "settings of an editor",
    ".vscode": "settings of an editor",
    ".terraform": "plugins of terraform",
}
"""Directories that no program of an image reads, by their name: what they are."""

TRACKING_DIRECTORIES = {
    "wandb": "runs of wandb",
    "mlruns": "runs of mlflow",
    "lightning_logs": "runs of lightning",
    "tb_logs": "runs of tensorboard",
    ".aim": "runs of aim",
    ".neptune": "runs of neptune",
}
"""Directories in which experiment tracking keeps its runs."""

_WEIGHTS = frozenset(
    (
        *(".pt", ".pth", ".safetensors", ".onnx", ".h5", ".keras", ".tflite", ".gguf", ".ggml", ".joblib", ".pkl"),
        *(".pickle", ".ubj", ".cbm", ".lgb", ".mar", ".engine", ".plan", ".caffemodel", ".pdparams", ".pdmodel"),
        *(".mlmodel", ".pb", ".bin", ".model", ".msgpack"),
    )
)
_DATA = (
    *(".csv", ".tsv", ".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".npy", ".npz", ".hdf5", ".tfrecord"),
    *(".tfrecords", ".avro", ".orc", ".lmdb", ".mat", ".rec", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".csv.zip"),
)
_DATA_DIRECTORIES = frozenset(
    ("data", "dataset", "datasets", "raw_data", "train_data", "training_data", "training-data")
)
_MODEL_DIRECTORIES = frozenset(("model", "models", "weights", "artifacts", "onnx", "tokenizer", "vocab"))
_CHECKPOINT_DIRECTORY = pattern(r"(?:checkpoints?|ckpts?)\Z|(?:checkpoint|global_step|epoch)[-_]?\d+\Z")
_TRAINING_STATE = pattern(
    r"(?:optimizer|optim|scheduler|scaler|rng_state[^/]*|trainer_state|training_args)\.(?:pt|pth|bin|json|safetensors)\Z"
    r"|.*\.ckpt(?:\.\w+)?\Z|events\.out\.tfevents\..*"
    r"|.*(?:[-_.]|\b)(?:epoch|step|iter|ckpt|checkpoint)[-_=.]?\d+.*\.(?:pt|pth|h5|keras|safetensors|pkl|bin)\Z"
)


def kind_of(path: str, size_bytes: int) -> Kind | None:
    """What a file of the context is. A path that ends in `/` stands for all of a directory."""
    *directories, name = path.rstrip("/").split("/")
    if path.endswith("/"):
        directories.append(name)
    if any(directory in JUNK_DIRECTORIES for directory in directories) or name.endswith((".pyc", ".pyo")):
        return "junk"
    if any(directory in TRACKING_DIRECTORIES for directory in directories):
        return "tracking"
    if name.endswith(".ipynb"):
        return "notebook"
    lower = name.lower()
    if _TRAINING_STATE.match(lower):
        return "checkpoint"
    if is_weights(lower) and any(_CHECKPOINT_DIRECTORY.match(directory.lower()) for directory in directories):
        return "checkpoint"
    if is_weights(lower):
        return "weights" if size_bytes >= SMALLEST_WEIGHTS else None
    if size_bytes >= SMALLEST_DATASET and _is_data(lower, directories):
        return "dataset"
    return None


def is_weights(name: str) -> bool:
    """True of a name that files of weights have, whatever their size."""
    return posixpath.splitext(name.lower())[1] in _WEIGHTS


def _is_data(name: str, directories: list[str]) -> bool:
    if any(directory.lower() in _MODEL_DIRECTORIES for directory in directories):
        return False
    if name.endswith(_DATA):
        return True
    # Pictures, sounds and archives are data where they lie among data.
    return any(directory.lower() in _DATA_DIRECTORIES for directory in directories) and name.endswith(
        (
            ".jpg",
            ".jpeg",
            ".png",
            ".tif",
            ".tiff",
            ".wav",
            ".flac",
            ".mp3",
            ".mp4",
            ".zip",
            ".tar",
            ".gz",
            ".tgz",
            ".zst",
        )
    )


def junk_root(path: str) -> str:
    """The directory that makes a junk or tracking file one, as a path from the root, or the file's own path."""
    parts = path.rstrip("/").split("/")
    for position, part in enumerate(parts[:-1] if not path.endswith("/") else parts):
        if part in JUNK_DIRECTORIES or part in TRACKING_DIRECTORIES:
            return "/".join(parts[: position + 1])
    return path


def of_kind(files: Iterable[ContextFile], kind: Kind) -> list[ContextFile]:
    """The files of one kind, largest first."""
    found = [file for file in files if kind_of(file.path, file.size_bytes) == kind]
    return sorted(found, key=lambda file: (-file.size_bytes, file.path))


def grouped(files: Iterable[ContextFile]) -> list[tuple[str, int]]:
    """Files by the directory that makes them junk or tracking (else by themselves): (path, bytes), largest first."""
    sums: dict[str, int] = {}
    for file in files:
        root = junk_root(file.path)
        sums[root] = sums.get(root, 0) + file.size_bytes
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))
