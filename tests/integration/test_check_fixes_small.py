"""Fixes of names and ignore files, built over a base of one program: the image holds the same files."""

from __future__ import annotations

from pathlib import Path

from support.building import Project

FILES = {
    "Dockerfile": (
        "FROM base\nRUN mkdir /out && echo built > /out/app\n\nFROM base AS Second\nRUN echo two > /two\n\n"
        "FROM base\nCOPY --from=0 /out/app /app\nCOPY --from=1 /two /two\nCOPY . /src/\n"
    ),
    ".git/objects/pack/a.pack": "0" * 1_500_000,
    "main.txt": "text\n",
}


def test_mended_names_and_a_written_ignore_file_give_the_same_image_without_the_history_of_git(
    project: Project, tmp_path: Path
) -> None:
    for name, text in FILES.items():
        project.write(name, text)
    before = project.layout("before")
    fixed = project.run("check", "--rule", "stages", "--rule", "caching", "--fix", ".")
    assert "wrote .dockerignore" in fixed.err
    text = (project.path / "Dockerfile").read_text()
    assert "FROM base AS builder\n" in text
    assert "--from=builder /out/app" in text
    assert "--from=Second /two" in text
    after = project.layout("after")
    assert [after.read(name) for name in ("app", "two", "src/main.txt")] == [b"built\n", b"two\n", b"text\n"]
    assert [before.read(name) for name in ("app", "two")] == [after.read(name) for name in ("app", "two")]
    names = {name for layer in after.layers() for name in layer}
    assert "src/.git/objects/pack/a.pack" in {name for layer in before.layers() for name in layer}
    assert not [name for name in names if ".git/" in name]
