"""The directory in which something was compiled is copied whole: sources, objects and all."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Copy, Entrypoint, Run
from slimstage.lint.commands.command import Compile
from slimstage.lint.contents import context_copies, destination_of, directory_at, is_within, picked
from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.plan.paths import absolute
from slimstage.regex import pattern

_INTERPRETED = pattern(
    r"\b(?:python3?|pypy3?|uvicorn|gunicorn|flask|celery|streamlit|node|npm|yarn|pnpm|bun|deno|ruby|rails|php|Rscript|perl|java)\b"
)
"""What runs sources: then the directory is the program."""
_COMPILED = (".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".pyx", ".rs", ".f90", ".cu")
_PLACES = frozenset(("build", "builds", "src", "source", "sources", "work", "workdir", "workspace", "tmp"))
_NO_SOURCES = frozenset(("pip", "setup.py", "maturin", "uv", "poetry", "npm"))
"""Tools whose products are used together with the sources, or installed elsewhere."""


def check(subject: Subject) -> Iterator[Finding]:
    final = subject.final
    starts = [each.text for view in final.chain() for each in view.instructions if isinstance(each, Cmd | Entrypoint)]
    is_interpreted = any(_INTERPRETED.search(text) for text in starts)
    for copy in final.instructions:
        source = subject.source_of(final, copy) if isinstance(copy, Copy) else None
        if not isinstance(copy, Copy) or not isinstance(source, StageView) or copy.exclude:
            continue
        for word in copy.sources:
            path = subject.expanded(final, copy, word)
            if path is None or absolute(path) == "/":
                continue
            found = _built_in(subject, source, absolute(path))
            if found is not None and (not is_interpreted or _holds_more(subject, final, copy, source, absolute(path))):
                run, tool = found
                yield Finding(
                    RULE.name,
                    f'"{posixpath.normpath(path)}" is where line {run.span.line} of "{source.name}" builds: '
                    "sources and intermediate files are copied too",
                    word_span(subject, copy, word),
                    hint=_HINTS.get(
                        tool, "copy the program alone, or install it into a directory of its own and copy that"
                    ),
                )


_HINTS = {
    "go": "copy the program alone: go build -o /out/app, then COPY --from=… /out/app /app",
    "cargo": "copy the program alone: target/release/NAME",
    "make": "copy the program alone, or make install DESTDIR=/out and copy /out",
    "cmake": "copy the program alone, or cmake --install build --prefix /out and copy /out",
}


def _holds_more(subject: Subject, final: StageView, copy: Copy, source: StageView, path: str) -> bool:
    """Whether the directory has more than an interpreter reads: sources that are compiled, as far as the context is known; or
    it is called a place to build in, and what is copied gets another name.
    """
    if posixpath.basename(path) in _PLACES and destination_of(subject, final, copy) not in (path, None):
        return True
    return any(
        file.path.endswith(_COMPILED)
        for view in source.chain()
        for each in context_copies(view)
        for file in picked(subject, view, each) or ()
    )


def _built_in(subject: Subject, stage: StageView, path: str) -> tuple[Run, str] | None:
    """The RUN that compiles in a directory at or below the path, with its tool, where the sources were copied into that."""
    for view in stage.chain():
        into = [destination_of(subject, view, copy) for copy in context_copies(view)]
        if not any(each is not None and is_within(each, path) for each in into):
            continue
        for run in view.instructions:
            if not isinstance(run, Run):
                continue
            directory = directory_at(subject, view, run)
            for command in subject.commands(view, run):
                if isinstance(command, Compile) and command.tool not in _NO_SOURCES and directory is not None:
                    where = command.invocation.directory
                    if where is not None and is_within(absolute(where, directory), path):
                        return run, command.tool
    return None


RULE = Rule(
    name="WholeBuildDirectoryCopied",
    group="stages",
    summary="the directory in which a program was built is copied whole",
    why="""\
A build directory holds the sources, object files, test programs and caches beside the one file that is wanted; with Rust or C++
often a hundred times its size. Copy the program, or let the build install it into a directory of its own (`DESTDIR`,
`--prefix`, `-o`) and copy that.

Told where sources were copied into the directory and a compiler ran in it. Where an interpreter runs the directory (python,
node, ruby) when the context is seen to bring sources that are compiled (`.c`, `.pyx`, `.rs`), or when a directory that is
called `build`, `src` or `work` is copied under another name; never for a part of it (`/src/dist`).
""",
    bad=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o app .\n"
        "\n"
        "FROM alpine:3.20\n"
        "COPY --from=builder /src /src\n"
        'ENTRYPOINT ["/src/app"]\n'
    ),
    good=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o app .\n"
        "\n"
        "FROM alpine:3.20\n"
        "COPY --from=builder /src/app /app\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    check=check,
)
