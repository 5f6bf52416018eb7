"""What lies in the build context and no image needs: version control, virtual environments, caches, runs of experiments.

Only what is certain: a directory that the Dockerfile itself speaks of is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Env, Instruction, Run
from slimstage.lint.kinds import junk_root, kind_of
from slimstage.lint.subject import ContextFile, Subject
from slimstage.regex import pattern

_NEEDS_GIT = pattern(
    r"\bgit\b|\bpip3? install [^&|;]*(?<=\s)(?:-e|--editable|\.|\./)(?=[\s\[/]|\Z)|setup\.py|\bpython3? -m build\b"
    r"|\bpoetry (?:build|install)\b|\buv (?:sync|build|pip install)\b|\bhatch\b|\bpdm\b|\bflit\b|\bversioneer\b"
    r"|\bsetuptools[-_]scm\b|\bgo build\b|\bcargo\b|\bmake\b|\bcmake\b|\bdvc\b"
)
"""Commands that read the history of git to find a version; `--mount` of `.git` says so as well."""
_MAKES_VENV = pattern(r"\bvenv\b|\bvirtualenv\b|\buv (?:sync|venv)\b|\bpoetry\b|\bpipenv\b|\bpdm\b")


def surplus(subject: Subject, files: Iterable[ContextFile]) -> list[ContextFile]:
    """Those of the files that no image needs, in their order."""
    kept = set(_spoken_of(subject))
    return [
        file
        for file in files
        if kind_of(file.path, file.size_bytes) in ("junk", "tracking")
        and junk_root(file.path).rpartition("/")[2] not in kept
    ]


def _spoken_of(subject: Subject) -> Iterator[str]:
    """Names of directories that the Dockerfile means to have in the build."""
    runs = [each.text for each in _all(subject) if isinstance(each, Run)]
    runs += [heredoc.content for each in _all(subject) if isinstance(each, Run) for heredoc in each.heredocs]
    used = [each.text for each in _all(subject) if isinstance(each, Cmd | Entrypoint | Env)]
    if any(_NEEDS_GIT.search(text) for text in runs):
        yield from (".git", ".hg", ".svn")
    if any("dvc" in text for text in runs):
        yield ".dvc"
    if not any(_MAKES_VENV.search(text) for text in runs):
        yield from (name for name in (".venv", "venv", ".conda") if any(f"{name}/" in text for text in used))
    for each in _all(subject):
        for source in getattr(each, "sources", ()):
            yield source.strip("\"'").rstrip("/").rpartition("/")[2]
    yield from (name for name in ("wandb", "mlruns", "lightning_logs") if any(f"{name}" in text for text in used))


def _all(subject: Subject) -> Iterator[Instruction]:
    for stage in subject.stages:
        yield from stage.instructions


def ignore_lines(files: Iterable[ContextFile]) -> list[str]:
    """Lines of an ignore file that keep the files out: by name in the root, `**/NAME` where it is deeper as well."""
    at_root: set[str] = set()
    deeper: set[str] = set()
    for file in files:
        root = junk_root(file.path)
        name = root.rpartition("/")[2]
        if name.endswith((".pyc", ".pyo")):
            name = "*" + name[name.rindex(".") :]
            deeper.add(name)
        elif "/" in root:
            deeper.add(name)
        else:
            at_root.add(name)
    return sorted([*(at_root - deeper), *(f"**/{name}" for name in deeper)], key=lambda line: line.removeprefix("**/"))
