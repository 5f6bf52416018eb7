"""Shell text of a RUN: whatever it is, invocations and commands whose words stand where they say; the rules raise nothing."""

from __future__ import annotations

from collections.abc import Iterator

from fuzz.harness import Choices, decoded, interleaved, pumped
from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Run
from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError
from slimstage.lint import catalogue
from slimstage.lint.engine import check as check_rules
from slimstage.lint.reading import Reading
from slimstage.lint.shell.script import Script, Word
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

MAX_BYTES = 1024
_LARGEST_PUMPED = 8_000
WORDS = (
    " ", "\n", "\\\n", "\\ ", "\\", "'", '"', "$", "${", "}", "$(", ")", "`", "(", "{", ";", "&&", "||", "|", "&",
    "!", "#", ">", ">>", "<", "<<", "<<-", "<<<", "EOF", "\nEOF\n", "2>&1", "=", "*", "?", "[", "]", "~", ",",
    "{a,b}", "$A", "${B:-x}", "$((1+2))", "$'a'", "a", "b", "--", "-", "-y", "x=1 ", "if ", "then ", "else ", "fi ",
    "for i in ", "do ", "done ", "while ", "case x in ", "esac ", ";; ", "f() ", "[[ ", "]] ", "test ", "set -e",
    "cd /x", "cd $A", "export A=", "eval ", "sh -c ", "bash <<EOF\n", "sudo -u a ", "env A=1 ", "xargs ",
    "find / -name x ", "-exec ", "{} ", "\\; ", "time ", "conda run -n x ", "pip install ", "python -m pip ",
    "-r requirements.txt", "numpy==1", "torch", "apt-get update", "apt-get install -y ", "--no-install-recommends ",
    "gcc", "git", "rm -rf /var/lib/apt/lists/*", "apk add ", "dnf install -y ", "npm ci", "go build", "cargo build",
    "make -j4", "chown -R a /app", "chmod +x /app", "strip ", "/usr/lib/x.so", "curl -LO https://x/a.tgz",
    "tar xzf a.tgz", "git clone ", "uv sync", "é", "\u2003", "\udcff", "\ufffc", "\ue000", "\r\n", "\t",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in WORDS)
_HEADS = (
    "FROM python:3.12\nARG A=one\nENV B='two words'\nCOPY . /app\nRUN ",
    'FROM python:3.12\nARG A=one\nSHELL ["/bin/bash", "-c"]\nRUN ',
    "FROM debian:12\nARG A=one\nRUN <<'THE_END'\n",
    "# escape=`\nFROM alpine:3.20\nRUN --mount=type=cache,target=/root/.cache/pip ",
)
_PLATFORM = Platform("linux", "amd64")


def check(data: bytes) -> None:
    choices = Choices(data)
    head = _HEADS[choices.below(len(_HEADS))]
    kind = choices.below(4)
    if kind == 0:
        text = decoded(choices.rest())
    elif kind == 1:
        text = pumped(choices, WORDS, _LARGEST_PUMPED)
    else:
        text = "".join(choices.words(WORDS))
    check_text(head + text + ("\nTHE_END\n" if "THE_END" in head else "\nCMD a\n"))


def check_text(text: str) -> None:
    try:
        dockerfile = parse(text)
    except DockerfileError:
        return
    request = PlanRequest(_PLATFORM)
    subject = Reading(dockerfile, request)
    lines = dockerfile.source.text.count("\n") + 1
    for stage in subject.stages:
        for each in stage.instructions:
            if isinstance(each, Run):
                _check_script(subject.script(stage, each), lines)
                subject.commands(stage, each)
    for finding in check_rules(text, catalogue.rules(), request).findings:
        assert 1 <= finding.span.line <= finding.span.end_line <= lines + 1


def _check_script(script: Script, lines: int) -> None:
    for command in script.commands:
        for span in (command.span, command.statement):
            _check_span(span, lines)
        for word in (command.program, *command.words):
            _check_word(word, lines)
    for span in script.faults:
        _check_span(span, lines)


def _check_word(word: Word, lines: int) -> None:
    _check_span(word.span, lines)
    span = word.span
    if word.is_exact and span.line == span.end_line:
        line = span.source.line(span.line) or ""
        assert line[span.column - 1 : span.end_column - 1] == word.shape


def _check_span(span: Span, lines: int) -> None:
    assert 1 <= span.line <= span.end_line <= lines
    assert (span.line, span.column) < (span.end_line, span.end_column)


def seeds() -> Iterator[bytes]:
    words = [bytes([head, 2, *range(start, start + 24)]) for head in range(4) for start in range(0, len(WORDS), 12)]
    pumps = [
        bytes([head, 1, 0, 2, 11, 0, *range(start, start + 6), 14, 0, 0])
        for head in range(4)
        for start in range(0, len(WORDS), 40)
    ]
    yield from interleaved(words, pumps)
