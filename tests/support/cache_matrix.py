"""The project of the cache matrix: one step of each kind, each in a stage of its own, so that a change shows what it moves.

`cache_matrix_rows.py` holds the changes. Both are read by the tests, by the script that asks BuildKit the same, and by the
one that makes the table of docs/caching.md.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from support.base_image import write_busybox

DOCKERFILE = """\
ARG GLOBAL=global
ARG UNUSED=unused

FROM base AS maker
COPY lib/ /lib/
RUN mkdir /r && sort /lib/*.txt > /r/sorted.txt

FROM base AS chain
RUN mkdir /r && echo before > /r/before
WORKDIR /r/work
COPY file.txt ./
RUN cat file.txt > after
COPY --link linked.txt /r/linked.txt

FROM base AS folder
COPY folder/ /r/folder/

FROM base AS wild
COPY *.conf /r/wild/

FROM base AS archive
ADD pack.tar /r/pack/

FROM base AS written
COPY <<EOT /r/written.txt
a text
EOT

FROM base AS script
RUN <<EOT
mkdir /r
echo script > /r/script
EOT

FROM base AS arguments
ARG GLOBAL
ARG FTP_PROXY
RUN mkdir /r && echo early > /r/early
ARG LATE=late
RUN echo "$LATE" > /r/late

FROM base AS variables
ENV MODE=fast LEVEL=1
RUN mkdir /r && echo "$MODE" > /r/mode

FROM base AS bound
RUN --mount=type=bind,source=bound,target=/bound mkdir /r && cat /bound/*.txt > /r/bound

FROM base AS across
RUN --mount=type=bind,from=maker,source=/r,target=/made mkdir /r && cat /made/sorted.txt > /r/across

FROM base AS cached
RUN --mount=type=cache,id=one,target=/cache mkdir /r && echo cached > /r/cached

FROM base AS secret
RUN --mount=type=secret,id=key mkdir /r && cat /run/secrets/key > /dev/null && echo secret > /r/secret

FROM base AS agent
RUN --mount=type=ssh mkdir /r && test -S "$SSH_AUTH_SOCK" && echo agent > /r/agent

FROM base AS scratchpad
RUN --mount=type=tmpfs,target=/pad mkdir /r && touch /pad/x && echo pad > /r/pad

FROM hooks AS fired

FROM base AS named
COPY --from=extra x.txt /r/named.txt

FROM base AS taker
COPY --from=maker /r/sorted.txt /r/taken.txt
RUN wc -l < /r/taken.txt > /r/count

FROM base AS other
RUN mkdir /r && echo other > /r/other

"""

STAGES = (
    "maker", "chain", "folder", "wild", "archive", "written", "script", "arguments", "variables", "bound", "across", "cached",
    "secret", "agent", "scratchpad", "fired", "named", "taker", "other",
)  # fmt: skip
"""The last stage takes each stage's /r in this order: a layer each."""

DOCKERFILE += (
    "FROM scratch AS whole\n"
    + "".join(f"COPY --link --from={stage} /r /of-{stage}\n" for stage in STAGES)
    + 'ENV KEPT=1\nLABEL version=1\nEXPOSE 80\nCMD ["true"]\n'
)
TRIGGERS = ("COPY hook.txt /hook.txt", "RUN mkdir /r && cat /hook.txt > /r/fired")


@dataclass(frozen=True, slots=True)
class Column:
    """A step. `mark`: text that only its title has, whatever a change does to it. `label`: its kind, for the document."""

    name: str
    mark: str
    label: str

    @property
    def is_run(self) -> bool:
        return self.label.startswith("RUN")


COLUMNS = tuple(
    Column(*each)
    for each in (
        ("lib-copy", "COPY lib/", "COPY of a directory in an earlier stage"),
        ("lib-run", "sort /lib", "RUN in an earlier stage, whose output may be equal"),
        ("before", "echo before", "RUN that stands before everything else of its stage"),
        ("workdir", "WORKDIR", "WORKDIR"),
        ("file", " file.txt ./", "COPY of a file"),
        ("after", " > after", "RUN after a COPY"),
        ("link", "linked.txt", "COPY --link"),
        ("folder", " folder/ ", "COPY of a directory"),
        ("wild", " /r/wild/", "COPY with a wildcard"),
        ("archive", " /r/pack/", "ADD of an archive"),
        ("written", " /r/written.txt", "COPY of a heredoc"),
        ("script", "<<EOT (", "RUN of a heredoc"),
        ("early", "echo early", "RUN after ARG"),
        ("late", "/r/late", "RUN after another ARG"),
        ("variable", "/r/mode", "RUN after ENV"),
        ("bind", " > /r/bound", "RUN with a bind mount of the context"),
        ("across", "/r/across", "RUN with a bind mount of a stage"),
        ("cache", "echo cached", "RUN with a cache mount"),
        ("secret", "echo secret", "RUN with a secret"),
        ("agent", "echo agent", "RUN with an ssh agent"),
        ("tmpfs", "echo pad", "RUN with a tmpfs"),
        ("hook-copy", "COPY hook.txt", "COPY of an ONBUILD trigger"),
        ("hook-run", "/r/fired", "RUN of an ONBUILD trigger"),
        ("named", "/r/named.txt", "COPY from a named context"),
        ("taken", "/r/sorted.txt /r/taken.txt", "COPY --from a stage"),
        ("count", "wc -l", "RUN after a COPY --from"),
        ("other", "echo other", "RUN in a stage that has nothing to do with the rest"),
    )
)
TIME_S = 1_700_000_000
"""Of all files of a new workspace."""

BASE = "FROM"
"""The name of one more column: the base images."""

EVERY = frozenset(column.name for column in COLUMNS)
RUNS = frozenset(column.name for column in COLUMNS if column.is_run)


def column_of(title: str) -> str | None:
    """The column of a step's title; `of-STAGE` for a copy of the last stage, None for a step that a change added."""
    title = " ".join(title.split())
    for stage in STAGES:
        if title.endswith(f" /of-{stage}"):
            return f"of-{stage}"
    found = [column.name for column in COLUMNS if column.mark in title]
    if len(found) > 1:
        raise ValueError(f"{title!r} could be any of {found}")
    return found[0] if found else None


@dataclass(slots=True)
class Workspace:
    """All that a build reads, below one directory. Changes are made to it; `arguments` says how it is built."""

    top: Path
    base: Path
    hooks: Path
    agent: Path
    """A socket."""
    key: Path
    """The file of the secret."""
    more: list[str] = field(default_factory=list)
    """Further arguments of the build."""
    context: str = "."
    env: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.top / "project"

    @property
    def extra(self) -> Path:
        return self.top / "extra"

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def replace(self, old: str, new: str) -> None:
        """Changes the Dockerfile's text, in all places."""
        path = self.project / "Dockerfile"
        text = path.read_text()
        if old not in text:
            raise ValueError(f"{old!r} is not in the Dockerfile")
        path.write_text(text.replace(old, new))

    def arguments(self) -> list[str]:
        """Of `build`, for slimstage and docker alike; the working directory is the project."""
        contexts = {
            "base": f"oci-layout://{self.base}",
            "hooks": f"oci-layout://{self.hooks}",
            "extra": os.fspath(self.extra),
        }
        named = [word for name, value in contexts.items() for word in ("--build-context", f"{name}={value}")]
        return [
            *named,
            "--secret",
            f"id=key,src={self.key}",
            "--ssh",
            f"default={self.agent}",
            *self.more,
            self.context,
        ]


def write_bases(place: Path) -> tuple[Path, Path]:
    """The layouts `base` and `hooks`; the second has triggers."""
    return write_busybox(place / "base"), write_busybox(place / "hooks", {"OnBuild": list(TRIGGERS)})


def lay_out(top: Path, base: Path, hooks: Path, agent: Path) -> Workspace:
    """A new workspace in a directory that is not there yet: each time the same names, modes, times and bytes."""
    (top / "project").mkdir(parents=True)
    work = Workspace(top, base, hooks, agent, top / "key")
    work.write("Dockerfile", DOCKERFILE)
    work.write(".dockerignore", "**/*.md\n")
    for name, text in _FILES.items():
        work.write(name, text)
    (work.project / "folder/to").symlink_to("a.txt")
    work.write("pack.tar", archive({"one": b"1\n", "two": b"2\n"}))
    work.key.write_text("the first secret\n")
    work.extra.mkdir()
    (work.extra / "x.txt").write_text("x\n")
    (work.extra / "y.txt").write_text("nobody copies this\n")
    for path in (work.extra / "x.txt", work.extra, *sorted(work.project.rglob("*"), reverse=True), work.project):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (TIME_S, TIME_S), follow_symlinks=False)
    return work


_FILES = {
    "lib/a.txt": "one\ntwo\n",
    "lib/b.txt": "three\n",
    "file.txt": "a file\n",
    "linked.txt": "linked\n",
    "folder/a.txt": "the same\n",
    "folder/b.txt": "the same\n",
    "folder/sub/c.txt": "c\n",
    "folder/notes.md": "ignored\n",
    "one.conf": "1\n",
    "two.conf": "2\n",
    "hook.txt": "hook\n",
    "bound/a.txt": "bound\n",
    "unselected.txt": "nobody copies this\n",
}


def archive(files: dict[str, bytes], mtime_s: int = TIME_S) -> bytes:
    """An uncompressed tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime_s
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def move_base(work: Workspace, name: str, *args: object) -> None:
    """Another layout in place of `base`: `write_busybox` with these arguments, its path first."""
    work.base = write_busybox(work.top / name, *args)  # type: ignore[arg-type]


def copy_base(work: Workspace, name: str) -> None:
    """The same bytes at another place."""
    work.base = Path(shutil.copytree(work.base, work.top / name))
