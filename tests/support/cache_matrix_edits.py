"""Ways to change the project of the cache matrix, and what else may happen to a builder between two builds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from slimstage.oci.descriptor import host_platform
from support.base_image import write_busybox
from support.cache_matrix import DOCKERFILE, TRIGGERS, Workspace


class Tool(Protocol):
    """A builder with what it has built so far."""

    def build(self, work: Workspace, *more: str, fails: bool = False) -> object: ...

    def prune(self) -> object: ...


def put(name: str, text: str | bytes) -> Callable[[Workspace], object]:
    return lambda work: work.write(name, text)


def swap(old: str, new: str) -> Callable[[Workspace], object]:
    return lambda work: work.replace(old, new)


def chmod(name: str, mode: int) -> Callable[[Workspace], object]:
    return lambda work: (work.project / name).chmod(mode)


def everything(work: Workspace) -> list[Path]:
    return [work.project, *sorted(work.project.rglob("*"))]


def touch_all(work: Workspace) -> None:
    for path in [*everything(work), work.extra, work.extra / "x.txt"]:
        os.utime(path, (86_400, 86_400), follow_symlinks=False)


def read_all(work: Workspace) -> None:
    for path in everything(work):
        os.utime(path, ns=(1, path.lstat().st_mtime_ns), follow_symlinks=False)


def rewrite_all(work: Workspace) -> None:
    for path in everything(work):
        if path.is_file() and not path.is_symlink():
            other = path.with_name(".other")
            shutil.copyfile(path, other)
            shutil.copymode(path, other)
            other.rename(path)


def chown_all(work: Workspace) -> None:
    for path in [*everything(work), work.extra, work.extra / "x.txt"]:
        os.chown(path, 1000, 1000, follow_symlinks=False)


def strict_umask(work: Workspace) -> None:
    for path in everything(work):
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)


def reversed_folder(work: Workspace) -> None:
    folder = work.project / "folder"
    folder.rename(work.project / "old")
    folder.mkdir()
    for path in sorted((work.project / "old").iterdir(), reverse=True):
        path.rename(folder / path.name)
    (work.project / "old").rmdir()


def same_size_and_time(work: Workspace) -> None:
    path = work.project / "file.txt"
    facts = path.stat()
    path.write_text("a fild\n")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def hard_link(work: Workspace) -> None:
    path = work.project / "folder/b.txt"
    path.unlink()
    os.link(work.project / "folder/a.txt", path)


def symlink_to(target: str) -> Callable[[Workspace], object]:
    def edit(work: Workspace) -> None:
        path = work.project / "folder/to"
        path.unlink()
        path.symlink_to(target)

    return edit


def file_by_symlink(work: Workspace) -> None:
    (work.project / "file.txt").rename(work.project / "elsewhere.txt")
    (work.project / "file.txt").symlink_to("elsewhere.txt")


def windows_lines(work: Workspace) -> None:
    path = work.project / "Dockerfile"
    text = path.read_bytes().replace(b"\n", b"\r\n")
    script = b"mkdir /r\r\necho script > /r/script\r\n"  # no shell takes a carriage return for white space
    path.write_bytes(text.replace(script, script.replace(b"\r", b"")))


def stage_renamed(work: Workspace) -> None:
    work.replace("AS maker", "AS producer")
    work.replace("from=maker", "from=producer")


def other_stage_first(work: Workspace) -> None:
    stage = "FROM base AS other\nRUN mkdir /r && echo other > /r/other\n\n"
    work.replace(stage, "")
    work.replace("FROM base AS maker", stage + "FROM base AS maker")


def dockerfile_elsewhere(work: Workspace) -> None:
    (work.project / "Dockerfile").rename(work.top / "Moved")
    work.more += ["-f", "../Moved"]


def extra_files(edit: Callable[[Path], object]) -> Callable[[Workspace], object]:
    def move(work: Workspace) -> None:
        shutil.copytree(work.extra, work.top / "extra2")
        work.extra.rename(work.top / "was-extra")
        (work.top / "extra2").rename(work.extra)
        edit(work.extra)

    return move


def key_elsewhere(work: Workspace) -> None:
    work.key = work.key.rename(work.top / "moved-key")


def other_agent(work: Workspace) -> None:
    work.agent = work.agent.with_name("agent2")


def move_whole(work: Workspace) -> None:
    work.top = work.top.rename(work.top.with_name("elsewhere"))
    work.key = work.top / "key"


def caller_variable(name: str, value: str) -> Callable[[Workspace], object]:
    return lambda work: work.env.__setitem__(name, value)


def change_and_back(tool: Tool, work: Workspace) -> None:
    before = (work.project / "file.txt").read_text()
    work.write("file.txt", "for a while\n")
    tool.build(work)
    work.write("file.txt", before)


def failed_build(tool: Tool, work: Workspace) -> None:
    work.replace("RUN cat file.txt > after", "RUN cat file.txt > after && false")
    tool.build(work, fails=True)
    work.write("Dockerfile", DOCKERFILE)


def fill_cache(tool: Tool, work: Workspace) -> None:
    text = (work.project / "Dockerfile").read_text()
    work.write("Dockerfile", "FROM base\nRUN --mount=type=cache,id=one,target=/cache echo filled > /cache/by-another\n")
    tool.build(work)
    work.write("Dockerfile", text)


def move_hooks(work: Workspace) -> None:
    triggers = [text.replace("cat /hook.txt", "cat  /hook.txt") for text in TRIGGERS]
    work.hooks = write_busybox(work.top / "hooks2", {"OnBuild": triggers})


def platform() -> str:
    return str(host_platform())
