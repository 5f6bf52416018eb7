"""Whole files: limits, triggers, places, directives."""

from __future__ import annotations

import pytest

from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.directives import find_directive
from slimstage.dockerfile.faults import MOST_FAULTS
from slimstage.dockerfile.instructions import Arg, Copy, Env, Run
from slimstage.dockerfile.parse import parse, parse_trigger
from slimstage.dockerfile.reader import LARGEST_TEXT, LONGEST_LINE
from slimstage.errors import DockerfileError

HERE = Span(Source("Dockerfile", "FROM base\n"), 1, 1, 1, 10)


def faults(text: str) -> list[str]:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    return [f"{d.span}: {d.code}" for d in caught.value.diagnostics]


def test_stages_have_names_and_indexes() -> None:
    file = parse("ARG A=1\nFROM a AS Build\nRUN x\nFROM b\nRUN y\nRUN z\n", "some/Dockerfile")
    assert [(stage.index, stage.name, stage.shown_name, len(stage.instructions)) for stage in file.stages] == [
        (0, "build", "build", 1),
        (1, None, "stage-1", 2),
    ]
    assert [arg.args[0].name for arg in file.global_args] == ["A"]
    assert file.stages[0].from_.span.file == "some/Dockerfile"


def test_an_argument_without_a_value_is_not_an_empty_one() -> None:
    arg = parse("FROM a\nARG one two= three=''\n").stages[0].instructions[0]
    assert isinstance(arg, Arg)
    assert [(pair.name, pair.value) for pair in arg.args] == [("one", None), ("two", ""), ("three", "''")]


def test_places_are_right_behind_continuations_and_tabs() -> None:
    env = parse("FROM a\n\tENV a=1 \\\n# c\n\t\tb=2 \\\n   c=3\n").stages[0].instructions[0]
    assert isinstance(env, Env)
    assert [(p.span.line, p.span.column, p.span.end_column) for p in env.pairs] == [(2, 6, 9), (4, 3, 6), (5, 4, 7)]
    assert (env.span.line, env.span.column, env.span.end_line, env.span.end_column) == (2, 2, 5, 7)


def test_all_faults_are_reported_in_the_order_of_the_file() -> None:
    assert faults("FROM a\nRNU x\nENV a\nRUN ok\nCOPY a\n") == [
        "Dockerfile:2:1: unknown-instruction",
        "Dockerfile:3:5: missing-value",
        "Dockerfile:5:6: missing-destination",
    ]


def test_a_misspelt_from_is_one_fault() -> None:
    assert faults("FORM a\nRUN x\nCOPY a /b\n") == ["Dockerfile:1:1: unknown-instruction"]


def test_garbage_is_reported_up_to_a_limit() -> None:
    assert len(faults("x\n" * 10_000)) == MOST_FAULTS


def test_a_line_may_have_65535_bytes() -> None:
    parse("FROM a\nRUN " + "é" * ((LONGEST_LINE - 5) // 2) + "x\n")
    assert faults("FROM a\nRUN " + "é" * (LONGEST_LINE // 2) + "\n") == ["Dockerfile:2:1: line-too-long"]
    assert faults("FROM a\nRUN <<E\n" + "x" * (LONGEST_LINE + 1) + "\nE\n") == ["Dockerfile:3:1: line-too-long"]
    assert faults("FROM a\n# " + "x" * LONGEST_LINE) == ["Dockerfile:2:1: line-too-long"]


def test_a_huge_file_is_refused_at_once() -> None:
    assert faults("RUN " + "x" * LARGEST_TEXT) == ["Dockerfile:1:1: file-too-large"]


def test_a_million_continuations_are_read() -> None:
    text = "FROM a\nRUN a \\\n" + "b \\\n" * 200_000
    run = parse(text).stages[0].instructions[0]
    assert run.span.end_line == 200_002


def test_heredocs_of_a_very_long_line_are_read() -> None:
    many = 50_000
    text = "FROM a\nRUN cat \\\n" + "<<E \\\n" * many + " x\n" + "E\n" * many
    run = parse(text).stages[0].instructions[0]
    assert isinstance(run, Run)
    assert len(run.heredocs) == many


def test_deep_json_is_a_fault_and_no_recursion() -> None:
    for text in ("[" * 30_000 + "]" * 30_000, "[" * 60_000, '{"a":' * 5_000):
        result = "FROM a\nCMD " + text + "\n"
        if text.startswith("["):
            assert faults(result) == ["Dockerfile:2:6: json-not-strings"]
        else:
            parse(result)


def test_a_chain_of_onbuild_is_refused_however_long() -> None:
    assert faults("FROM a\n" + "ONBUILD " * 8000) == ["Dockerfile:2:9: onbuild-chain"]


def test_nul_is_refused_with_its_place() -> None:
    assert faults("FROM a\nRUN x\0y\n")[0] == "Dockerfile:2:6: nul-character"


def test_bodies_of_a_faulty_line_are_not_read_as_instructions() -> None:
    assert faults("FROM a\nCOPY --foo <<E\nnot an instruction\nE\nRUN x\n") == [
        "Dockerfile:2:6: unknown-flag",
        "Dockerfile:2:12: missing-destination",
    ]


def test_an_open_heredoc_tells_where_it_almost_ended() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nRUN <<EOF\nx\nEOF \n")
    assert "line 4" in (caught.value.hint or "")


def test_the_escape_directive_changes_continuations_and_words() -> None:
    file = parse("# escape=`\nFROM a\nENV a=b` c d=\\\nENV e=f `\n  g=h\n")
    first, second = file.stages[0].instructions
    assert isinstance(first, Env)
    assert isinstance(second, Env)
    assert file.escape == "`"
    assert [(pair.name, pair.value) for pair in first.pairs] == [("a", "b` c"), ("d", "\\")]
    assert [(pair.name, pair.value) for pair in second.pairs] == [("e", "f"), ("g", "h")]


def test_a_trigger_is_read_at_the_place_where_it_fires() -> None:
    copy = parse_trigger("COPY --from=build <<-E a /b\n\tx\n\tE", HERE)
    assert isinstance(copy, Copy)
    assert copy.span == HERE
    assert copy.heredocs[0].content == "x\n"
    env = parse_trigger("ENV a=b", HERE)
    assert isinstance(env, Env)
    assert env.pairs[0].span == HERE


def test_a_trigger_survives_being_stored() -> None:
    onbuild = parse("FROM a\nONBUILD RUN <<-E cat\n\tx\n\tE\n").stages[0].instructions[0]
    trigger = onbuild.trigger  # type: ignore[attr-defined]  # the file has nothing else
    run = parse_trigger(trigger, HERE)
    assert isinstance(run, Run)
    assert run.heredocs[0].as_written == "\tx\n"


@pytest.mark.parametrize(
    "text", ["", "# c", "FROM b", "ONBUILD RUN x", "FOO x", "RUN a\nRUN b", "COPY a", "RUN <<E", "RUN \0", "ENV a"]
)
def test_a_bad_trigger_is_refused_at_the_place_where_it_fires(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_trigger(text, HERE)
    assert all(d.span == HERE for d in caught.value.diagnostics)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("syntax", "# syntax=a/b:1 opts\n", ("a/b:1", 1)),
        ("syntax", "#!/x\n# check=skip=all\n#Syntax = b\n", ("b", 3)),
        ("syntax", "// syntax=c\n", ("c", 1)),
        ("syntax", '\ufeff{"syntax": "d", "x": 1}', ("d", 0)),
        ("syntax", '{"syntax": 1}', None),
        ("syntax", "[" * 100_000, None),
        ("syntax", "# a comment\n# syntax=x\n", None),
        ("syntax", "\n# syntax=x\n", None),
        ("check", "// check=x\n", None),
        ("check", "# check=skip=a,b;error=true\n", ("skip=a,b;error=true", 1)),
        ("syntax", "# syntax=\n", None),
    ],
)
def test_directives_are_found_where_other_tools_find_them(
    name: str, text: str, expected: tuple[str, int] | None
) -> None:
    assert find_directive(name, text) == expected
