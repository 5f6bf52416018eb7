"""The Dockerfile parser: whatever the text, a Dockerfile or a DockerfileError whose diagnostics have places in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fuzz.harness import Choices, decoded, interleaved, pumped
from slimstage.diagnostics import Span
from slimstage.dockerfile.faults import MOST_FAULTS
from slimstage.dockerfile.instructions import Dockerfile, Instruction, OnBuild
from slimstage.dockerfile.parse import parse, parse_trigger
from slimstage.errors import DockerfileError

MAX_BYTES = 2048
_LARGEST_PUMPED = 50_000
WORDS = (
    "FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "EXPOSE", "VOLUME", "USER", "WORKDIR", "CMD", "ENTRYPOINT",
    "SHELL", "HEALTHCHECK", "ONBUILD", "STOPSIGNAL", "MAINTAINER", " ", "\n", "\\\n", "`\n", "#", "# syntax=",
    "# escape=`\n",
    "# check=", "\t", "\r\n", "\ufeff", "--from=", "--mount=type=", "bind", "cache", "secret", "tmpfs", "ssh", ",",
    "target=",
    "source=", "from=", "uid=", "mode=", "required", "ro", "sharing=locked", "--chown=", "--chmod=", "--link",
    "--parents",
    "--exclude=", "--checksum=sha256:", "--platform=", "--network=", "--security=", "--interval=", "--timeout=",
    "--retries=",
    "--keep-git-dir", "--unpack", "--device=", "--", "AS", "a", "b", "A", "X", "0", "1s", "$A", "${A}", "${A:-",
    "${A:+", "${A:?",
    "${A#", "${A%", "${A/", "}", "$", "'", '"', "\\", "=", "[", "]", '["a", "b"]', "<<", "<<-", "EOF", "\nEOF\n",
    '<<"', "3<<",
    "/", ".", "..", "*", "?", "**", "://", "https://x/y.git#", "git@x:", "@", ":", "-", "80", "1-65535", "/udp",
    "SIGTERM", "NONE",
    "é", "\u2003", "\udcff", "\x00", "\x1b[31m", "\u202e", "9999999999999999999999", "scratch", "alpine", "x",
    "1.5h", "64m",
    "\v", "\f", "\x85", "{", '{"syntax":"', "#!", "true", "false", "&&", ";", "FROM a\n", "RUN <<EOF\n",
    "ONBUILD RUN ", "CMD []",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in WORDS)


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(8)
    if kind in (2, 3):
        text = "FROM a\n" + "".join(choices.words(WORDS))
    elif kind == 4:
        text = "FROM a\n" + pumped(choices, WORDS, _LARGEST_PUMPED)
    else:
        text = decoded(choices.rest())
    check_text(text)


def check_text(text: str) -> None:
    try:
        dockerfile = parse(text)
    except DockerfileError as error:
        _check_error(error)
        return
    assert dockerfile.stages
    _check_triggers(dockerfile)
    lines = dockerfile.source.text.count("\n") + 1
    for instruction in _instructions(dockerfile):
        assert instruction.text
        _check_span(instruction.span, lines)


def _check_error(error: DockerfileError) -> None:
    assert 1 <= len(error.diagnostics) <= MOST_FAULTS
    for diagnostic in error.diagnostics:
        assert diagnostic.code
        assert diagnostic.message
        assert diagnostic.span is not None, f"{diagnostic.code} has no place"
        _check_span(diagnostic.span, diagnostic.span.source.text.count("\n") + 1)
    shown = str(error)
    assert not [c for c in shown if not c.isprintable() and c not in "\n\t"], "control characters in a message"


def _check_span(span: Span, lines: int) -> None:
    assert 1 <= span.line <= span.end_line <= lines + 1
    assert span.column >= 1
    assert span.end_column >= 1
    assert (span.line, span.column) < (span.end_line, span.end_column), f"an empty place: {span}"


def _instructions(dockerfile: Dockerfile) -> Iterator[Instruction]:
    yield from dockerfile.global_args
    for stage in dockerfile.stages:
        yield from (stage.from_, *stage.instructions)


def _check_triggers(dockerfile: Dockerfile) -> None:
    """What ONBUILD stores has to be an instruction when it fires, and the same one."""
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, OnBuild) and dockerfile.escape == "\\":
                fired = parse_trigger(instruction.trigger, stage.from_.span)
                assert type(fired) is type(instruction.instruction)


def seeds() -> list[bytes]:
    golden = Path(__file__).parents[2] / "tests/golden"
    texts = [path.read_bytes() for path in sorted(golden.glob("**/Dockerfile"))]
    words = [bytes([2, *range(start, start + 40)]) for start in range(0, len(WORDS), 30)]
    pumps = [bytes([4, 0, 2, 11, 0, *range(start, start + 6), 14, 0, 0]) for start in range(0, len(WORDS), 20)]
    return interleaved([b"\0" + text[: MAX_BYTES - 1] for text in texts], words, pumps)
