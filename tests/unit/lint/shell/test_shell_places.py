"""The place of each word is the exact place in the Dockerfile: fixes edit there."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Dockerfile, Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.examples import PLATFORM
from slimstage.lint.reading import Reading
from slimstage.lint.shell.script import Script
from slimstage.plan.request import PlanRequest

PLAIN = ["pip", "install", "torch==2.1", "-r", "a[b]", "é", "x=y", "/a/*", "--no-cache-dir"]
QUOTED = ["'a b'", '"c d"', '"e $F"', "g'h'\"i\"", "$J", "${K:-l}", "\\ m", "$(n o)", '"\\""', "'#'"]
OPERATORS = [" && ", "; ", " | ", " || ", " > "]


def slice_of(dockerfile: Dockerfile, span: Span) -> str:
    """The file's text at a place, without the continuations and comments inside it."""
    lines = dockerfile.source.text.split("\n")[span.line - 1 : span.end_line]
    kept: list[str] = []
    for number, line in enumerate(lines, span.line):
        end = span.end_column - 1 if number == span.end_line else None
        part = line[span.column - 1 if number == span.line else 0 : end].rstrip("\r")
        if number > span.line and (part.lstrip().startswith("#") or not part.strip()):
            continue
        if number < span.end_line:
            assert part.rstrip(" \t").endswith(dockerfile.escape)
            part = part.rstrip(" \t")[:-1]
        kept.append(part)
    return "".join(kept)


def script_of(dockerfile: Dockerfile) -> Script:
    subject = Reading(dockerfile, PlanRequest(PLATFORM))
    run = next(each for each in subject.final.instructions if isinstance(each, Run))
    return subject.script(subject.final, run)


def check_places(text: str, *, heredoc: bool = False) -> int:
    dockerfile = parse(text)
    found = script_of(dockerfile)
    count = 0
    for command in found.commands:
        for word in (command.program, *command.words):
            count += 1
            there = slice_of(dockerfile, word.span)
            assert there == word.raw
            if word.is_exact:
                assert there == word.shape
        assert slice_of(dockerfile, command.span).startswith(command.program.raw)
        assert slice_of(dockerfile, command.span).endswith((command.words or (command.program,))[-1].raw)
    return count


words = st.lists(st.sampled_from([*PLAIN, *QUOTED]), min_size=1, max_size=5)
breaks = st.sampled_from(["", "", " \\\n", " \\\n\t ", " \\ \n# a comment ' \\\n  ", " \\\n\n  # b\n"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(words, st.sampled_from(OPERATORS), breaks), min_size=1, max_size=4),
    st.sampled_from(["\\", "`"]),
    st.booleans(),
    st.sampled_from(["", "--mount=type=cache,target=/x ", "--network=none \\\n  "]),
)
def test_words_stand_where_they_say(
    commands: list[tuple[list[str], str, str]], escape: str, crlf: bool, flags: str
) -> None:
    text = flags
    for each, operator, ending in commands:
        text += ("p " + " ".join(each)) + operator + ending
    text += "p last"
    if escape == "`":
        text = text.replace("\\\n", "`\n").replace("\\ \n", "` \n")
    dockerfile = f"# escape={escape}\nFROM base\nRUN {text}\nUSER x\n"
    assert check_places(dockerfile.replace("\n", "\r\n") if crlf else dockerfile)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=4),
    st.sampled_from(["<<EOF", "<<-EOF", "<<'EOF'", "cat <<EOF > x && p", "bash -e <<EOF"]),
    st.booleans(),
)
def test_words_of_heredocs_stand_where_they_say(commands: list[list[str]], opening: str, crlf: bool) -> None:
    body = "".join("\tp " + " ".join(each) + "\n" for each in commands)
    dockerfile = f"FROM base\nRUN {opening}\n{body}EOF\nUSER x\n"
    assert check_places(dockerfile.replace("\n", "\r\n") if crlf else dockerfile)


def test_a_word_across_a_continuation_spans_its_lines() -> None:
    dockerfile = parse("FROM base\nRUN pip install nu\\\n# comment\nmpy x\n")
    word = script_of(dockerfile).commands[0].words[1]
    assert (word.text, word.is_exact) == ("numpy", True)
    assert (word.span.line, word.span.column, word.span.end_line, word.span.end_column) == (2, 17, 4, 4)


def test_words_inside_quotes_and_json_have_their_own_places() -> None:
    for text in ("sh -c 'pip install x y'", '["sh", "-c", "pip install x y"]', 'sh -c "pip install x y"'):
        word = script_of(parse(f"FROM base\nRUN {text}\n")).commands[0].words[1]
        start = len("RUN ") + text.index("x y") + 1
        assert (word.text, word.span.column, word.span.end_column) == ("x", start, start + 1)
        assert word.is_exact


def test_escapes_in_json_move_no_place() -> None:
    text = '["sh", "-c", "a \\"b\\" \\u0063 && d"]'
    found = script_of(parse(f"FROM base\nRUN {text}\n")).commands
    assert [each.name for each in found] == ["a", "d"]
    assert found[0].texts() == ("b", "c")
    assert found[1].span.column == len("RUN ") + text.index("d") + 1


def test_a_continued_line_in_a_heredoc_is_one_command() -> None:
    dockerfile = parse("FROM base\nRUN <<EOF\npip install \\\n  a 'b' \\\n  c\nmake\nEOF\n")
    found = script_of(dockerfile).commands
    assert [each.texts() for each in found] == [("install", "a", "b", "c"), ()]
    assert [(word.span.line, word.span.column) for word in found[0].words] == [(3, 5), (4, 3), (4, 5), (5, 3)]
