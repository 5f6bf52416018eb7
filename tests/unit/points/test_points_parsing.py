"""What a Dockerfile means, point by point: lines, directives, forms and heredocs (points 1 to 15).

The numbers are those of the list of subtle rules that the builder was written by; docs/compatibility.md names them too.
"""

from __future__ import annotations

import pytest

from slimstage.dockerfile.directives import find_directive
from slimstage.dockerfile.instructions import Command, Copy, Dockerfile, Entrypoint, Env, Instruction, Run
from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError
from support.planning import copies, planned, refused, runs


def instructions(body: str) -> tuple[Instruction, ...]:
    return parse(f"FROM busybox\n{body}").stages[0].instructions


def command(body: str) -> Command:
    (found,) = instructions(body)
    assert isinstance(found, Run | Entrypoint)
    return found.command


def faults(text: str) -> list[str]:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def directives(dockerfile: Dockerfile) -> dict[str, str]:
    return {name: value for name, value, _ in dockerfile.directives}


def variables(body: str) -> list[tuple[str, str | None]]:
    (found,) = instructions(body)
    assert isinstance(found, Env)
    return [(pair.name, pair.value) for pair in found.pairs]


# Lines -----------------------------------------------------------------------------------------------------------


def test_point_01_two_backslashes_end_a_line_and_one_with_blanks_behind_it_does_not() -> None:
    assert [each.text for each in instructions("RUN a \\\\\nRUN b\n")] == ["RUN a \\\\", "RUN b"]
    assert [each.text for each in instructions("RUN a \\ \t \n b\n")] == ["RUN a  b"]
    assert [each.text for each in instructions("RUN a\\")] == ["RUN a"]


def test_point_02_comments_and_blank_lines_inside_a_continuation_vanish_with_one_warning_for_the_blank_ones() -> None:
    found = parse("FROM busybox\nRUN a \\\n   # gone\n\n\n# gone too\n b # stays\nRUN c \\\n\n d\n")
    assert [each.text for each in found.stages[0].instructions] == ["RUN a  b # stays", "RUN c  d"]
    warned = [(each.code, each.span.line) for each in found.warnings if each.span]
    assert warned == [("no-empty-continuation", 4), ("no-empty-continuation", 9)]


def test_point_03_a_continued_line_keeps_its_leading_blanks_and_the_first_line_does_not() -> None:
    assert [each.text for each in instructions("   RUN a\\\n   b\\\n\tc\n")] == ["RUN a   b\tc"]


def test_point_04_directives_end_at_the_first_other_line_and_a_repeated_one_fails() -> None:
    assert parse("# ESCAPE=`\nFROM busybox\nRUN a `\n b\n").stages[0].instructions[0].text == "RUN a  b"
    for before in ("# a comment\n", "\n"):
        late = parse(f"{before}# escape=`\nFROM busybox\nRUN a `\nRUN b\n")
        assert late.escape == "\\"
        assert [each.text for each in late.stages[0].instructions] == ["RUN a `", "RUN b"]
    assert faults("# escape=`\n# Escape=`\nFROM busybox\n") == ["duplicate-directive"]


@pytest.mark.parametrize("words", ['["a"]junk', "['a']", '["a",]'])
def test_point_05_what_is_no_json_array_is_the_shell_form(words: str) -> None:
    assert command(f"RUN {words}\n") == Command("shell", (words,))


def test_point_05_an_array_is_the_exec_form_and_one_of_numbers_an_error() -> None:
    assert command('RUN ["a", "b c"]\n') == Command("exec", ("a", "b c"))
    assert command("ENTRYPOINT []random\n") == Command("shell", ("[]random",))
    assert len(faults("FROM busybox\nRUN [1]\n")) == 1


def test_point_06_flags_end_at_the_first_other_word_or_at_two_dashes() -> None:
    (run,) = instructions("RUN --network=none echo --mount=type=cache\n")
    assert isinstance(run, Run)
    assert (run.network, run.mounts, run.command.words) == ("none", (), ("echo --mount=type=cache",))
    (run,) = instructions("RUN --network=none -- --mount=x\n")
    assert isinstance(run, Run)
    assert (run.mounts, run.command.words) == ((), ("--mount=x",))


def test_point_06_repeated_and_unknown_flags_fail_with_a_near_name() -> None:
    assert faults("FROM busybox\nCOPY --chown=1 --chown=2 a b\n") == ["duplicate-flag"]
    with pytest.raises(DockerfileError) as caught:
        parse("FROM busybox\nCOPY --chwon=1 a b\n")
    assert "--chown" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("flag", "wanted"), [("--link", True), ("--link=true", True), ("--link=false", False), ("--link=x", None)]
)
def test_point_06_a_boolean_flag_takes_true_and_false(flag: str, wanted: bool | None) -> None:
    if wanted is None:
        assert faults(f"FROM busybox\nCOPY {flag} a b\n") == ["bad-flag-value"]
        return
    (copy,) = instructions(f"COPY {flag} a b\n")
    assert isinstance(copy, Copy)
    assert copy.link is wanted


def test_point_07_the_first_word_of_env_decides_which_form_it_is() -> None:
    assert variables("ENV a b c\n") == [("a", "b c")]
    assert variables("ENV a b=c d\n") == [("a", "b=c d")]
    assert variables("ENV a=b c=d\n") == [("a", "b"), ("c", "d")]
    assert len(faults("FROM busybox\nENV a=b c\n")) == 1
    assert len(faults("FROM busybox\nENV a\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\nFROM busybox\n",
        "//syntax=docker/dockerfile:1\n",
        '{"syntax": "docker/dockerfile:1", "other": 1}\n',
        "#!/usr/bin/env x\n# syntax=docker/dockerfile:1\nFROM busybox\n",
        "\ufeff# syntax=docker/dockerfile:1\nFROM busybox\n",
    ],
)
def test_point_08_syntax_is_found_in_comments_slashes_and_json_behind_a_shebang_and_a_bom(text: str) -> None:
    found = find_directive("syntax", text)
    assert found is not None
    assert found[0] == "docker/dockerfile:1"
    if "FROM" in text:
        assert directives(parse(text)) == {"syntax": "docker/dockerfile:1"}


def test_point_09_an_error_points_at_all_lines_of_its_instruction() -> None:
    error = refused("FROM busybox\nCOPY --chmod=9 \\\n  a \\\n  b\n")
    (place,) = [diagnostic.span for diagnostic in error.diagnostics]
    assert place is not None
    assert (place.line, place.end_line) == (2, 4)
    assert "    2 | COPY --chmod=9 \\\n      | ^^^^^^^^^^^^^^^^\n    3 |   a \\\n    4 |   b\n" in str(error)


def test_point_09_a_heredoc_belongs_to_the_lines_of_its_instruction_and_a_long_one_is_cut() -> None:
    body = "".join(f"line {number}\n" for number in range(20))
    error = refused(f"FROM busybox\nCOPY --chmod=9 <<EOF /f\n{body}EOF\n")
    (place,) = [diagnostic.span for diagnostic in error.diagnostics]
    assert place is not None
    assert (place.line, place.end_line) == (2, 23)
    assert "    9 | line 6\n      | … and 14 more lines\n" in str(error)


# Heredocs --------------------------------------------------------------------------------------------------------


def heredoc(body: str) -> tuple[str, str]:
    found = instructions(body)[0]
    assert isinstance(found, Copy | Run)
    return found.heredocs[0].name, found.heredocs[0].content


def test_point_10_a_dash_strips_tabs_of_body_and_terminator_and_no_blanks() -> None:
    assert heredoc("COPY <<-E /f\n\t\ta\n  b\n\t c\n\tE\n") == ("E", "a\n  b\n c\n")
    assert faults("FROM busybox\nCOPY <<-E /f\na\n  E\n") == ["unterminated-heredoc"]
    assert faults("FROM busybox\nCOPY <<E /f\na\n\tE\n") == ["unterminated-heredoc"]


@pytest.mark.parametrize("word", ["'EOF'", '"EOF"', "E'O'F"])
def test_point_11_quoting_any_part_of_the_word_turns_expansion_off(word: str) -> None:
    (step,) = copies(planned(f"FROM busybox\nENV x=1\nCOPY <<{word} /f\n$x \\$x \\\\\nEOF\n"))
    assert step.inline[0].content == "$x \\$x \\\\\n"


def test_point_11_an_unquoted_body_expands_handles_backslashes_and_keeps_quotes() -> None:
    (step,) = copies(planned("FROM busybox\nENV x=1\nCOPY <<EOF /f\n$x ${x:-2} \\$x '$x' \"q\"\na\\\\b\n\\\nEOF\n"))
    assert step.inline[0].content == "1 1 $x '1' \"q\"\na\\b\n\n"


def test_point_12_a_lone_heredoc_is_one_argument_of_whatever_shell_there_is() -> None:
    (step,) = runs(planned('FROM busybox\nSHELL ["awk"]\nRUN <<EOF\nBEGIN { print $1 }\nEOF\n'))
    assert step.argv == ("awk", "BEGIN { print $1 }\n")


def test_point_12_a_heredoc_with_an_interpreter_is_a_file_that_is_executed() -> None:
    (step,) = runs(planned("FROM busybox\nRUN <<EOF\n#!/bin/awk -f\nBEGIN { print 1 }\nEOF\n"))
    assert step.script == "#!/bin/awk -f\nBEGIN { print 1 }\n"
    assert step.argv[-1].endswith("/EOF")


def test_point_12_a_heredoc_among_other_words_goes_to_the_shell_as_a_whole() -> None:
    (step,) = runs(planned("FROM busybox\nRUN cat <<EOF > /f && true\n$x\nEOF\n"))
    assert (step.argv, step.script) == (("/bin/sh", "-c", "cat <<EOF > /f && true\n$x\nEOF"), None)


def test_point_13_several_heredocs_and_descriptors_are_read_and_none_can_be_a_destination() -> None:
    (run,) = instructions("RUN cat <<A 3<<B /dev/fd/3\n1\nA\n2\nB\n")
    assert isinstance(run, Run)
    assert [(each.name, each.fd, each.content) for each in run.heredocs] == [("A", 0, "1\n"), ("B", 3, "2\n")]
    assert len(faults("FROM busybox\nCOPY f <<EOF\nx\nEOF\n")) == 1


def test_point_14_heredoc_sources_come_after_all_paths_whatever_the_order() -> None:
    (step,) = copies(planned("FROM busybox\nCOPY <<A one <<B two /d/\n1\nA\n2\nB\n"))
    assert step.paths == ("one", "two")
    assert [each.name for each in step.inline] == ["A", "B"]


def test_point_15_a_heredoc_names_its_file_by_the_word_and_that_is_one_part_of_a_path() -> None:
    (step,) = copies(planned("FROM busybox\nCOPY <<a.conf <<'b-2' /d/\n1\na.conf\n2\nb-2\n"))
    assert [each.name for each in step.inline] == ["a.conf", "b-2"]
