"""An archive or installer that was downloaded stays in the layer beside what came out of it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Clean, Command, Download, Extract, Install, Remove, place
from slimstage.lint.contents import directory_at, is_within
from slimstage.lint.finding import Finding
from slimstage.lint.image_runs import image_runs, is_mounted, mount_targets
from slimstage.lint.rule import Example, Rule
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.lint.subject import StageView, Subject
from slimstage.plan.paths import absolute
from slimstage.regex import pattern

_LARGE_INSTALLER = pattern(r"(?i)conda|mamba|forge|cuda|nvidia|julia|\.run\Z")
"""Scripts that carry what they install; others are a few kilobytes."""


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in image_runs(subject):
        commands = subject.commands(view, run)
        directory = directory_at(subject, view, run) or "/"
        targets = mount_targets(subject, view, run)
        gone = _gone(commands, directory)
        for command in commands:
            if not isinstance(command, Download) or command.is_streamed or not command.invocation.is_certain:
                continue
            path = _file(command, directory)
            if path is None or is_mounted(targets, path) or any(is_within(path, each) for each in gone):
                continue
            used = _use(subject, view, run, commands, command, path, directory)
            if used is not None:
                yield Finding(
                    RULE.name,
                    f'"{posixpath.basename(path)}" stays in this layer beside what {used.name} makes of it',
                    command.invocation.span,
                    hint="remove it in the same RUN, or pipe the download into what reads it",
                )


def _file(download: Download, directory: str) -> str | None:
    """Where one downloaded file lies; None for directories and for what is not known."""
    if download.tool not in ("curl", "wget") or len(download.urls) != 1:
        return None
    invocation = download.invocation
    if download.output is not None:
        name = download.output
    else:
        targets = [
            each.target for each in invocation.redirects if each.operator in (">", ">>") and each.fd in ("", "1")
        ]
        if targets and targets[0] is not None:
            name = targets[0].shape
        else:
            url = download.urls[0].shape.partition("?")[0].partition("#")[0]
            name = posixpath.basename(url)
            if _prefixed(invocation):
                return None
    if not name or UNKNOWN in name or "~" in name or name == "/dev/null":
        return None
    found = place(invocation, Word(name, name, invocation.span))
    return absolute(found, directory) if found else None


def _prefixed(invocation: Invocation) -> bool:
    """The file goes to a directory that an option names."""
    return any(text.startswith(("-P", "--directory-prefix", "--output-dir")) for text in invocation.texts())


def _gone(commands: Sequence[Command], directory: str) -> list[str]:
    """What the same RUN removes, absolute; a pattern counts as its directory."""
    found: list[str] = []
    for command in commands:
        if isinstance(command, Remove | Clean) and command.invocation.name in ("rm", "find", "unlink"):
            for word in command.invocation.words:
                path = place(command.invocation, word) if not word.shape.startswith("-") else None
                if path is not None:
                    head = path.partition("*")[0]
                    found.append(absolute(posixpath.dirname(head) if "*" in path else head, directory))
    return found


def _use(
    subject: Subject,
    view: StageView,
    run: Run,
    commands: Sequence[Command],
    download: Download,
    path: str,
    directory: str,
) -> Invocation | None:
    """The invocation behind the download that unpacks, installs or runs the file."""
    invocations = subject.script(view, run).commands
    at = next(index for index, each in enumerate(invocations) if each is download.invocation)
    readers = {id(each.invocation) for each in commands if isinstance(each, Extract | Install)}
    for each in invocations[at + 1 :]:
        if each.name == "mv" and _names(each, path, directory):
            return None
        is_reader = id(each) in readers or each.name in ("gunzip", "xz", "rpm", "dpkg", "apt", "apt-get")
        if each.name in ("sh", "bash"):
            is_reader = bool(_LARGE_INSTALLER.search(path) or _LARGE_INSTALLER.search(download.urls[0].shape))
        if is_reader and _names(each, path, directory):
            return each
    return None


def _names(invocation: Invocation, path: str, directory: str) -> bool:
    return any(
        (found := place(invocation, word)) is not None and absolute(found, directory) == path
        for word in invocation.words
    )


RULE = Rule(
    name="UnstrippedDownloads",
    group="bytes",
    summary="a downloaded archive or installer stays beside what was made of it",
    why="""\
`curl -O`, `tar xf`, and the archive is in the layer for good, as large as what came out of it compressed. Remove it in the same
RUN, or never write it: `curl … | tar xz -C /opt`.

Told where the same RUN unpacks or installs the file, or runs an installer that carries what it installs, and does not remove
or move it. Silent for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM debian:12-slim\n"
        "WORKDIR /opt\n"
        "RUN curl -fsSLO https://example.org/tool-1.2.tar.gz && tar xzf tool-1.2.tar.gz\n"
        "USER 10001\n"
        'CMD ["/opt/tool/bin/tool"]\n'
    ),
    good=Example(
        "FROM debian:12-slim\n"
        "WORKDIR /opt\n"
        "RUN curl -fsSL https://example.org/tool-1.2.tar.gz | tar xz\n"
        "USER 10001\n"
        'CMD ["/opt/tool/bin/tool"]\n'
    ),
    check=check,
)
