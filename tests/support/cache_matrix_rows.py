"""The changes of the cache matrix: what happens between two builds, what has to run because of it, what `--explain` says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import cache_matrix_edits as change
from support.cache_matrix import BASE, EVERY, RUNS, Workspace, archive, copy_base, move_base
from support.cache_matrix_edits import Tool, chmod, extra_files, put, swap

ANSWERS = Path(__file__).with_name("cache_matrix_buildkit.json")
"""What BuildKit ran for each row, and its version; written by scripts/ask_buildkit_cache.py."""


@dataclass(frozen=True)
class Row:
    """A change.

    runs: the columns that run because of it; all others are cached. why: what `--explain` says of those that run by
    themselves, by column; the rest runs because the step above it did. edit: makes the change. between: what else is
    built, or lost, before the second build. image: whether the image ID stays, for a change after which nothing runs.
    only: the columns that are there at all. new: beginnings of the titles of steps that the change adds. hidden: stages
    whose files are others in a way that steps can see and no layer holds. is_forced: the copies of the last stage run
    because an option or a loss has it so. note: why BuildKit's answer is another. asks: whether BuildKit can be asked.
    """

    name: str
    runs: frozenset[str] = frozenset()
    edit: Callable[[Workspace], object] = lambda work: None
    why: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = ()
    between: Callable[[Tool, Workspace], object] | None = None
    image: str = "same"
    only: frozenset[str] = EVERY
    new: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    is_forced: bool = False
    note: str = ""
    asks: bool = True


def _row(name: str, runs: str | Set[str] = "", edit: Any = None, **more: Any) -> Row:
    """`runs` as words; `+x` are columns that run because the one above did, others have to be in `why`."""
    columns = frozenset(runs.split()) if isinstance(runs, str) else frozenset(runs)
    why = more.pop("why", {})
    if isinstance(why, str):
        why = dict.fromkeys((column for column in columns if not column.startswith("+")), why)
    columns = frozenset(column.lstrip("+") for column in columns)
    if columns:
        more.setdefault("image", "")
    return Row(name, columns, edit or (lambda work: None), why, **more)


# The rows -----------------------------------------------------------------------------------------------------------

ALL_RUNS = RUNS | {"workdir", "file"}
"""All RUN steps, and what stands on one of them."""

_ABOVE = frozenset({"lib-run", "workdir", "file", "after", "late", "hook-run", "count"})
"""Columns that stand on another column."""


def _by_itself(columns: frozenset[str], phrase: str) -> dict[str, str]:
    return dict.fromkeys(columns, phrase)


_CHANGED = "file {} changed".format
_SENT = "of files that it was sent before, it compares size, mode and time only"
_UMASK = dict.fromkeys(("lib-copy", "file", "link", "folder", "wild", "archive", "bind", "hook-copy"), "mode of")  # fmt: skip
_ON_BASE = EVERY - {"hook-copy", "hook-run", "link"}
_DIRECTLY = _ON_BASE - _ABOVE

CONTEXT = (
    _row("nothing"),
    _row("the same files in another directory", edit=change.move_whole),
    _row("times of all files", edit=change.touch_all),
    _row("access times of all files", edit=change.read_all),
    _row("all files written anew with equal content (other inodes)", edit=change.rewrite_all),
    _row("owner of all files", edit=change.chown_all),
    _row("mode of a copied file", "file +after", chmod("file.txt", 0o755), why="mode of file file.txt changed"),
    _row("mode of a directory in a copied directory", "folder", chmod("folder/sub", 0o700),
         why="mode of directory folder/sub changed", note="directories that it was sent before are not compared"),
    _row("mode of a copied directory itself", edit=chmod("folder", 0o700)),
    _row("mode of a file that nothing selects", edit=chmod("unselected.txt", 0o600)),
    _row("mode of an added archive", "archive", chmod("pack.tar", 0o600), why="mode of file pack.tar changed"),
    _row("extended attribute user.* of a copied file", "file +after",
         lambda work: os.setxattr(work.project / "file.txt", "user.note", b"x"),
         why="attributes of file file.txt changed", hidden=("chain",), note=_SENT),
    _row("security.capability of a copied file", "folder",
         lambda work: os.setxattr(work.project / "folder/a.txt", "security.capability", bytes.fromhex(
             "0000000200040000000000000000000000000000")), why="attributes of file folder/a.txt changed",
         note=_SENT),
    _row("content of a copied file", "file +after", put("file.txt", "other\n"), why=_CHANGED("file.txt")),
    _row("content of a copied file, size and time kept", "file +after", change.same_size_and_time, why=_CHANGED("file.txt"),
         note=f"its image keeps the old content; {_SENT}"),
    _row("content of a file that COPY --link copies", "link", put("linked.txt", "other\n"), why=_CHANGED("linked.txt")),
    _row("content in a copied directory", "folder", put("folder/sub/c.txt", "other\n"), why=_CHANGED("folder/sub/c.txt")),
    _row("content of a file that a wildcard picks", "wild", put("one.conf", "other\n"), why=_CHANGED("one.conf")),
    _row("content of an added archive", "archive", put("pack.tar", archive({"one": b"3\n"})), why=_CHANGED("pack.tar")),
    _row("an archive packed anew with other times", "archive",
         put("pack.tar", archive({"one": b"1\n", "two": b"2\n"}, 1_600_000_000)), why=_CHANGED("pack.tar")),
    _row("content of a file that an ONBUILD trigger copies", "hook-copy +hook-run", put("hook.txt", "other\n"),
         why=_CHANGED("hook.txt")),
    _row("content of a file that nothing selects", edit=put("unselected.txt", "other\n")),
    _row("new file that nothing selects", edit=put("fresh/file.txt", "new\n")),
    _row("new file in a copied directory", "folder", put("folder/new.txt", "new\n"), why="file folder/new.txt is new"),
    _row("file gone from a copied directory", "folder", lambda work: (work.project / "folder/b.txt").unlink(),
         why="file folder/b.txt is gone"),
    _row("new file that a wildcard picks", "wild", put("three.conf", "3\n"), why="file three.conf is new"),
    _row("file in a copied directory renamed", "folder",
         lambda work: (work.project / "folder/b.txt").rename(work.project / "folder/d.txt"),
         why="file folder/d.txt is new; file folder/b.txt is gone"),
    _row("empty directory in a copied directory", "folder", lambda work: (work.project / "folder/empty").mkdir(),
         why="directory folder/empty is new"),
    _row("two equal files become hard links of each other", "folder", change.hard_link, why=_CHANGED("folder/b.txt"),
         note="our copies keep hard links, so what they give is another"),
    _row("target of a symlink in a copied directory", "folder", change.symlink_to("b.txt"),
         why="target of symlink folder/to changed"),
    _row("copied file becomes a symlink to an equal file", edit=change.file_by_symlink),
    _row("directory entries made in another order", edit=change.reversed_folder),
    _row("content of an ignored file", edit=put("folder/notes.md", "other\n")),
    _row("new ignored file", edit=put("folder/more.md", "other\n")),
    _row("ignore file: a comment", edit=put(".dockerignore", "# why\n**/*.md\n")),
    _row("ignore file: what nothing selects", edit=put(".dockerignore", "**/*.md\nunselected.txt\n")),
    _row("ignore file: a copied file", "folder", put(".dockerignore", "**/*.md\nfolder/b.txt\n"),
         why="file folder/b.txt is gone"),
    _row("ignore file: empty", "folder", put(".dockerignore", ""), why="file folder/notes.md is new"),
    _row("ignore file of the Dockerfile alone, with equal effect", edit=put("Dockerfile.dockerignore", "*.md\n**/*.md\n")),
    _row("ignore file of the Dockerfile alone, with other effect", "folder",
         put("Dockerfile.dockerignore", "**/*.md\nfolder/sub\n"), why="directory folder/sub, file folder/sub/c.txt are gone"),
    _row("files of an earlier stage, its output equal", "lib-copy +lib-run", put("lib/a.txt", "two\none\n"),
         why=_CHANGED("lib/a.txt")),
    _row("files of an earlier stage renamed, its output equal", "lib-copy +lib-run",
         lambda work: (work.project / "lib/b.txt").rename(work.project / "lib/c.txt"), why="file lib/c.txt is new"),
    _row("files of an earlier stage, its output other", "lib-copy +lib-run taken +count across",
         put("lib/a.txt", "zero\n"), why={"lib-copy": _CHANGED("lib/a.txt"), "taken": _CHANGED("/r/sorted.txt"),
                                           "across": _CHANGED("/r/sorted.txt")}),
    _row("content in a mounted directory", "bind", put("bound/a.txt", "other\n"), why=_CHANGED("bound/a.txt")),
    _row("new file in a mounted directory", "bind", put("bound/b.md.txt", "other\n"), why="file bound/b.md.txt is new"),
    _row("mode of a file in a mounted directory", "bind", chmod("bound/a.txt", 0o600),
         why="mode of file bound/a.txt changed"),
    _row("named context: equal files at another place", edit=extra_files(lambda path: None)),
    _row("named context: a file that nothing selects", edit=extra_files(lambda path: (path / "y.txt").write_text("other\n"))),
    _row("named context: content of a copied file", "named", extra_files(lambda path: (path / "x.txt").write_text("other\n")),
         why=_CHANGED("x.txt")),
)  # fmt: skip

TEXT = (
    _row("Dockerfile: times", edit=lambda work: os.utime(work.project / "Dockerfile", (1, 1))),
    _row("Dockerfile: comments and blank lines", edit=swap("RUN cat file.txt", "\n# why\nRUN cat file.txt")),
    _row("Dockerfile: white space between words", edit=swap("COPY file.txt ./", "COPY   file.txt   ./ ")),
    _row("Dockerfile: an instruction over two lines", edit=swap("COPY file.txt ./", "COPY file.txt \\\n  ./")),
    _row("Dockerfile: a command over two lines", "after", swap("RUN cat file.txt", "RUN cat \\\n  file.txt"),
         why="command changed"),
    _row("Dockerfile: instructions in small letters", edit=swap("COPY file.txt ./", "copy file.txt ./")),
    _row("Dockerfile: a directive for checks", edit=swap("ARG GLOBAL=global", "# check=skip=all\nARG GLOBAL=global")),
    _row("Dockerfile: line ends of Windows", "written", change.windows_lines, why="heredoc EOT changed"),
    _row("Dockerfile: a stage renamed", edit=change.stage_renamed),
    _row("Dockerfile: a stage that nothing needs",
         edit=swap("FROM base AS chain", "FROM base AS idle\nRUN false\n\nFROM base AS chain")),
    _row("Dockerfile: stages in another order", edit=change.other_stage_first),
    _row("Dockerfile: at another place", edit=change.dockerfile_elsewhere),
    _row("text of a command", "after", swap("cat file.txt > after", "cat  file.txt > after"), why="command changed"),
    _row("body of a heredoc of COPY", "written", swap("a text", "another text"), why="heredoc EOT changed"),
    _row("body of a heredoc of RUN", "script", swap("echo script", "echo another"), why="command changed"),
    _row("destination of a COPY, written another way", edit=swap("/r/folder/", "/r/./folder/")),
    _row("--chmod of a COPY", "folder", swap("COPY folder/", "COPY --chmod=700 folder/"), why="--chmod changed"),
    _row("--chown of a COPY", "folder", swap("COPY folder/", "COPY --chown=1:1 folder/"), why="--chown changed"),
    _row("--exclude of a COPY, with equal effect", "folder", swap("COPY folder/", "COPY --exclude=none folder/"),
         why="--exclude changed"),
    _row("--link of a COPY", "file +after", swap("COPY file.txt", "COPY --link file.txt"), why="--link changed"),
    _row("an instruction put between", "file +after", swap("COPY file.txt", "RUN echo between > /r/between\nCOPY file.txt"),
         new=("RUN echo between",)),
    _row("an instruction taken out", "+workdir +file +after", swap("RUN mkdir /r && echo before > /r/before\n", ""),
         only=EVERY - {"before"}, why={"workdir": "the step above it is gone"}),
    _row("value of ENV", "variable", swap("MODE=fast", "MODE=slow"), why="variable MODE changed"),
    _row("another variable in ENV", "variable", swap("LEVEL=1", "LEVEL=1 MORE=1"), why="variable MORE is new"),
    _row("order of variables in ENV", "variable", swap("MODE=fast LEVEL=1", "LEVEL=1 MODE=fast"),
         why="the order of the variables changed"),
    _row("ENV after the last step", edit=swap("KEPT=1", "KEPT=2"), image="other"),
    _row("LABEL", edit=swap("version=1", "version=2"), image="other"),
    _row("CMD", edit=swap('["true"]', '["false"]'), image="other"),
    _row("EXPOSE", edit=swap("EXPOSE 80", "EXPOSE 81"), image="other"),
    _row("USER before a step", "variable", swap("ENV MODE", "USER 0:0\nENV MODE"), why="user changed"),
    _row("SHELL before a step", "variable", swap("ENV MODE", 'SHELL ["/bin/sh", "-ec"]\nENV MODE'), why="command changed"),
    _row("WORKDIR", "workdir file after", swap("WORKDIR /r/work", "WORKDIR /r/work2"), why={
        "workdir": "path changed", "file": "destination changed", "after": "working directory changed"}),
    _row("default of an ARG that a stage declares", "late", swap("LATE=late", "LATE=later"), why="variable LATE changed"),
    _row("default of a global ARG that no stage declares", edit=swap("UNUSED=unused", "UNUSED=other")),
    _row("ARG after the steps", edit=swap('echo "$LATE" > /r/late', 'echo "$LATE" > /r/late\nARG AFTER=1')),
)  # fmt: skip


def _given(*args: str) -> tuple[str, ...]:
    return tuple(word for arg in args for word in ("--build-arg", arg))


ARGUMENTS = (
    _row("build argument that nothing declares", args=_given("UNKNOWN=1")),
    _row("build argument that no stage declares", args=_given("UNUSED=1")),
    _row("build argument with the value of its default", args=_given("LATE=late", "GLOBAL=global")),
    _row("build argument of a step and all after it", "early +late", args=_given("GLOBAL=1"),
         why={"early": "variable GLOBAL changed", "late": "variable GLOBAL changed"}),
    _row("build argument that is declared late", "late", args=_given("LATE=1"), why="variable LATE changed"),
    _row("proxy that is not declared", args=_given("HTTP_PROXY=http://127.0.0.1:9")),
    _row("proxy that is declared", "early +late", args=_given("FTP_PROXY=http://127.0.0.1:9"),
         why={"early": "variable FTP_PROXY is new", "late": "variable FTP_PROXY is new"}),
    _row("SOURCE_DATE_EPOCH as build argument", ALL_RUNS, args=_given("SOURCE_DATE_EPOCH=1700000000"),
         why=_by_itself(RUNS, "SOURCE_DATE_EPOCH is new"),
         note="our steps see it, declared or not, so that tools in them can heed it (decision 4)"),
    _row("BUILDKIT_INLINE_CACHE", args=_given("BUILDKIT_INLINE_CACHE=1"), image="other"),
    _row("BUILDKIT_SANDBOX_HOSTNAME", ALL_RUNS, args=_given("BUILDKIT_SANDBOX_HOSTNAME=x"),
         why=_by_itself(RUNS, "hostname is new")),
    _row("BUILDKIT_CACHE_MOUNT_NS", args=_given("BUILDKIT_CACHE_MOUNT_NS=ns")),
    _row("variable of the caller", edit=change.caller_variable("CALLER", "1")),
)  # fmt: skip

BASES = (
    _row("base: the same bytes at another place", edit=lambda work: copy_base(work, "moved")),
    _row("base: label of its config", edit=lambda work: move_base(work, "newer", {"Labels": {"a": "b"}})),
    _row("base: variable of its config", ALL_RUNS - {"hook-run"},
         lambda work: move_base(work, "newer", {"Env": ["PATH=/usr/bin:/bin", "FROM_BASE=1"]}),
         why=_by_itself(RUNS - {"hook-run"}, "variable FROM_BASE is new")),
    _row("base: content", _ON_BASE | {BASE},
         lambda work: move_base(work, "newer", None, [("etc/newer", b"0", 0o644, b"newer\n")]),
         why=_by_itself(_DIRECTLY, "base image changed")),
    _row("base: text of a trigger", "hook-run", change.move_hooks, why="command changed"),
)  # fmt: skip


MOUNTS = (
    _row("content of a secret", edit=lambda work: work.key.write_text("the second secret\n")),
    _row("place of a secret's file", edit=change.key_elsewhere),
    _row("a secret that nothing asks for", args=("--secret", "id=more,src=../key")),
    _row("id of a secret", "secret", swap("id=key mkdir", "id=key2,target=/run/secrets/key mkdir"),
         args=("--secret", "id=key2,src=../key"), why="secret mount /run/secrets/key changed"),
    _row("a secret becomes required", edit=swap("id=key mkdir", "id=key,required=true mkdir"),
         note="what a step gives does not depend on it"),
    _row("another ssh agent", edit=change.other_agent),
    _row("content of a cache mount", between=change.fill_cache),
    _row("id of a cache mount", edit=swap("id=one", "id=two")),
    _row("sharing of a cache mount", edit=swap("id=one", "id=one,sharing=locked")),
    _row("target of a cache mount", "cache", swap("target=/cache", "target=/cache2"), why="cache mount /cache2 is new"),
    _row("target of a bind mount", "bind",
         swap("target=/bound mkdir /r && cat /bound", "target=/bound2 mkdir /r && cat /bound2"),
         why="command changed; bind mount /bound2 is new; bind mount /bound is gone"),
    _row("size of a tmpfs", "tmpfs", swap("target=/pad", "target=/pad,size=1m"), why="tmpfs mount /pad changed"),
)  # fmt: skip

_FORCED = _by_itself(EVERY - {"workdir"}, "--no-cache asks for it")
OPTIONS = (
    _row("--network none", ALL_RUNS, args=("--network", "none"), why=_by_itself(RUNS, "network changed")),
    _row("--add-host", ALL_RUNS, args=("--add-host", "db:127.0.0.2"), why=_by_itself(RUNS, "--add-host is new")),
    _row("--shm-size", ALL_RUNS, args=("--shm-size", "32m"), why=_by_itself(RUNS, "--shm-size is new")),
    _row("--ulimit", ALL_RUNS, args=("--ulimit", "nofile=512:512"), why=_by_itself(RUNS, "--ulimit is new")),
    _row("--platform of this machine", edit=lambda work: work.more.extend(["--platform", change.platform()])),
    _row("--target of an earlier stage", args=("--target", "maker"), only=frozenset({"lib-copy", "lib-run"}), image="other"),
    _row("--label", args=("--label", "a=b"), image="other"),
    _row("--tag", args=("--tag", "named:1")),
    _row("--pull", args=("--pull",)),
    _row("--jobs 1", args=("--jobs", "1"), asks=False),
    _row("--no-cache", EVERY, args=("--no-cache",), why=_FORCED, is_forced=True),
    _row("--no-cache-filter of a stage whose output is equal", "lib-copy lib-run", args=("--no-cache-filter", "maker"),
         why="--no-cache-filter asks for it"),
    _row("--no-cache-filter of a stage with a WORKDIR", "before +workdir file after link",
         args=("--no-cache-filter", "chain"), why="--no-cache-filter asks for it"),
)  # fmt: skip

STATE = (
    _row("another build of the same in between, and back", between=change.change_and_back),
    _row("a build that failed in between", between=change.failed_build),
    _row("everything pruned", EVERY | {BASE}, between=lambda tool, work: tool.prune(), why=_by_itself(
        EVERY - {"workdir", "file", "after", "late"}, "its result is no longer in the store"), is_forced=True),
    _row("a checkout under another umask", {*_UMASK, "lib-run", "after", "hook-run"}, change.strict_umask, why=_UMASK),
)  # fmt: skip

GROUPS: dict[str, tuple[Row, ...]] = {
    "Files of the context": CONTEXT,
    "Text of the Dockerfile": TEXT,
    "Build arguments": ARGUMENTS,
    "Base images": BASES,
    "Mounts": MOUNTS,
    "Options": OPTIONS,
    "What else happens": STATE,
}
ROWS = tuple(row for rows in GROUPS.values() for row in rows)
