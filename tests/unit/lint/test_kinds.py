"""What a file of a project is, by its path and size."""

from __future__ import annotations

import pytest

from slimstage.lint.kinds import grouped, junk_root, kind_of
from slimstage.lint.subject import ContextFile
from slimstage.lint.surplus import ignore_lines

MB = 1_000_000


@pytest.mark.parametrize(
    ("path", "size", "kind"),
    [
        (".git/HEAD", 20, "junk"),
        ("svc/.venv/lib/python3.12/site-packages/torch/lib/x.so", 9 * MB, "junk"),
        ("src/a.cpython-312.pyc", 900, "junk"),
        (".git/", 40 * MB, "junk"),
        ("wandb/run-1/files/model.pt", 40 * MB, "tracking"),
        ("a/Explore.ipynb", 100, "notebook"),
        ("checkpoint-500/optimizer.pt", 9 * MB, "checkpoint"),
        ("checkpoint-500/model.safetensors", 9 * MB, "checkpoint"),
        ("out/epoch=3-step=90.ckpt", 9 * MB, "checkpoint"),
        ("out/unet_epoch_12.pth", 9 * MB, "checkpoint"),
        ("runs/events.out.tfevents.17.host", 9, "checkpoint"),
        ("model/model.onnx", 9 * MB, "weights"),
        ("model/model-00001-of-00003.safetensors", 9 * MB, "weights"),
        ("model.joblib", 900, None),
        ("data/train.csv", 2 * MB, "dataset"),
        ("data/labels.csv", 900, None),
        ("data/images/1.jpg", 2 * MB, "dataset"),
        ("static/hero.jpg", 2 * MB, None),
        ("model/embeddings.npy", 2 * MB, None),
        ("src/app.py", 2 * MB, None),
        ("venv.md", 900, None),
    ],
)
def test_what_a_file_is(path: str, size: int, kind: str | None) -> None:
    assert kind_of(path, size) == kind


def test_files_are_grouped_by_the_directory_that_makes_them_what_they_are() -> None:
    files = [ContextFile("a/.venv/x", 2, False), ContextFile("a/.venv/lib/y", 3, False), ContextFile("b.pyc", 9, False)]
    assert grouped(files) == [("b.pyc", 9), ("a/.venv", 5)]
    assert junk_root("a/.venv/lib/y") == "a/.venv"


def test_lines_of_an_ignore_file() -> None:
    paths = (".git/HEAD", "a/__pycache__/x.pyc", "__pycache__/y.pyc", "lib/z.pyc", ".venv/x", "b/wandb/r")
    assert ignore_lines(ContextFile(path, 1, False) for path in paths) == [
        "**/*.pyc",
        ".git",
        ".venv",
        "**/__pycache__",
        "**/wandb",
    ]
