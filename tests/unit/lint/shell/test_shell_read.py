"""Shell text of RUN → invocations: what runs, with which words, where, and whether it is certain to."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.instructions import Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.examples import PLATFORM
from slimstage.lint.reading import Reading
from slimstage.lint.shell.script import UNKNOWN, Invocation, Script
from slimstage.plan.request import PlanRequest


def scripts(dockerfile: str) -> list[Script]:
    subject = Reading(parse("FROM base\n" + dockerfile), PlanRequest(PLATFORM))
    return [
        subject.script(stage, each)
        for stage in subject.stages
        for each in (*stage.triggers, *stage.instructions)
        if isinstance(each, Run)
    ]


def commands(dockerfile: str) -> tuple[Invocation, ...]:
    *_, last = scripts(dockerfile)
    return last.commands


def lines(dockerfile: str) -> list[str]:
    """Each invocation as one line: name and shapes of its words."""
    return [" ".join((each.name, *each.texts())) for each in commands(dockerfile)]


def named(dockerfile: str, name: str) -> Invocation:
    return next(each for each in commands(dockerfile) if each.name == name)


def test_commands_come_in_order_with_what_joins_them() -> None:
    found = commands("RUN set -eux; a && b || c | d & e")
    assert [each.name for each in found] == ["set", "a", "b", "c", "d", "e"]
    assert [each.joined_by for each in found] == [None, ";", "&&", "||", "|", "&"]
    assert [each.followed_by for each in found] == [";", "&&", "||", "|", "&", None]


def test_lines_of_a_heredoc_are_joined_by_newlines() -> None:
    found = commands("RUN <<EOF\nset -e\na\n\n# comment\nb \\\n  c\nEOF\n")
    assert [(each.name, each.joined_by) for each in found] == [("set", None), ("a", "newline"), ("b", "newline")]
    assert found[2].texts() == ("c",)


def test_quotes_are_removed() -> None:
    assert lines("""RUN a 'b c' "d \\"e\\"" f\\ g "h"'i'j $'k' \"\"""") == ['a b c d "e" f g hij k ']


def test_known_variables_are_replaced_and_others_are_unknown() -> None:
    found = commands('ARG V=1.2\nENV W=x\nRUN pip install torch==$V "$W$Q" ${Q:-z} $(cat r)')[-1]
    assert found.texts() == ("install", "torch==1.2", f"x{UNKNOWN}", "z", UNKNOWN)
    assert [word.text for word in found.words] == ["install", "torch==1.2", None, "z", None]


def test_an_unquoted_variable_is_split_at_blanks() -> None:
    assert lines('ARG P="a b"\nRUN pip install $P "$P"') == ["pip install a b a b"]
    assert len(named('ARG P="a b"\nRUN pip install $P "$P"', "pip").words) == 4


def test_an_empty_unquoted_variable_is_no_word() -> None:
    assert lines("ARG P=\nRUN pip install $P x") == ["pip install x"]


def test_variables_that_the_text_sets_are_known_behind_it() -> None:
    assert lines("RUN V=1 && export W=$V.2 X=y && a $V $W $X")[-1] == "a 1 1.2 y"


def test_a_variable_set_in_a_branch_is_unknown() -> None:
    assert lines("ARG V=1\nRUN if x; then V=2; fi; a $V")[-1] == f"a {UNKNOWN}"
    assert lines("ARG V=1\nRUN for V in 1 2; do a $V; done")[-1] == f"a {UNKNOWN}"


def test_a_subshell_keeps_variables_and_directory() -> None:
    found = commands("ARG V=1\nRUN (V=2; cd /x; a $V); b $V")
    assert [(each.name, each.directory, each.texts()) for each in found[1:]] == [
        ("a", "/x", ("2",)),
        ("b", ".", ("1",)),
    ]


def test_cd_moves_what_follows() -> None:
    assert [each.directory for each in commands("RUN a && cd src && b && cd ../x && c && cd /y && d && cd $Z && e")] == [
        ".", ".", "src", "src", "x", "x", "/y", "/y", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "sudo -E -u root pip install x",
        "env -u A B=c pip install x",
        "A=b /usr/local/bin/pip install x",
        "time nice -n 5 pip install x",
        "exec pip install x",
        "timeout -k 5 10 pip install x",
        "conda run -n env --no-capture-output pip install x",
        "sh -c 'pip install x'",
        'bash -euxo pipefail -c "pip install x"',
        "sudo sh -c \"exec env A=b pip install 'x'\"",
        "su - app -c 'pip install x'",
        "eval 'pip install x'",
        "{ pip install x; }",
        "(pip install x)",
        "! pip install x",
    ],
)
def test_wrappers_are_looked_through(text: str) -> None:
    found = named(f"RUN {text}", "pip")
    assert found.texts() == ("install", "x")
    assert found.is_certain


def test_wrappers_and_their_assignments_are_told() -> None:
    found = named("RUN A=1 sudo env B=2 pip install x", "pip")
    assert found.wrappers == ("sudo", "env")
    assert [(each.name, each.value) for each in found.assignments] == [("A", "1"), ("B", "2")]


def test_command_v_runs_nothing() -> None:
    assert lines("RUN command -v pip") == ["command -v pip"]


def test_a_script_file_is_not_opened() -> None:
    assert lines("RUN bash -x install.sh") == ["bash -x install.sh"]


def test_exec_form_is_one_command_and_its_shell_is_opened() -> None:
    assert lines('RUN ["pip", "install", "a && b"]') == ["pip install a && b"]
    assert lines('RUN ["/bin/bash", "-c", "pip install a && b"]') == ["pip install a", "b"]


def test_xargs_takes_more() -> None:
    found = named("RUN cat r.txt | xargs -n1 pip install", "pip")
    assert found.takes_more
    assert found.texts() == ("install",)
    assert found.is_piped


def test_find_exec_runs_over_patterns_of_what_is_found() -> None:
    found = named("RUN find /usr/lib -name '*.so' -exec strip -s {} \\; -print", "strip")
    assert found.texts() == ("-s", "/usr/lib/**/*.so")
    assert found.words[1].is_pattern
    assert found.takes_more


def test_find_into_xargs_does_so_too() -> None:
    assert named("RUN find /a /b -type f | xargs strip", "strip").texts() == ("/a/**/*", "/b/**/*")


def test_a_shell_reads_its_heredoc() -> None:
    found = named("RUN a && bash -e <<EOF\npip install x\nEOF\n", "pip")
    assert (found.texts(), found.span.line, found.span.column) == (("install", "x"), 3, 1)


def test_a_heredoc_in_front_of_its_command_is_that_commands() -> None:
    found = commands("RUN <<EOF bash -e\npip install x | tee log\nmake\nEOF\n")
    assert [(each.name, each.span.line, each.span.column) for each in found] == [
        ("pip", 3, 1), ("tee", 3, 17), ("make", 4, 1),
    ]  # fmt: skip
    assert lines("RUN <<-'EOF' python3 -\n\timport x\n\tEOF\n") == ["python3 -"]


def test_pushd_leads_somewhere_unknown() -> None:
    assert named("RUN pushd /x && make", "make").directory is None


def test_the_first_command_of_a_branch_is_joined_as_the_branch_is() -> None:
    assert [each.joined_by for each in commands("RUN if a; then b; else c; fi && d")] == [None, ";", ";", "&&"]


def test_a_heredoc_for_another_program_is_no_shell_text() -> None:
    assert lines("RUN python3 <<EOF\nimport x\nEOF\n") == ["python3"]
    assert not commands("RUN <<EOF\n#!/usr/bin/env python3\nimport x\nEOF\n")
    assert lines("RUN <<EOF\n#!/bin/bash -e\nmake\nEOF\n") == ["make"]


def test_what_stands_behind_a_heredoc_on_its_line_is_read() -> None:
    assert lines("RUN cat <<EOF > /x && pip install y\nbody\nEOF\n") == ["cat", "pip install y"]


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("p", True),
        ("a; p", True),
        ("a && p", True),
        ("a && p || true", True),
        ("a || p", False),
        ("a || b && p", True),
        ("[ -f x ] && p", False),
        ("test -d x && p", False),
        ("[ -f x ] || a && p", True),
        ("if a; then p; fi", False),
        ("if p; then a; fi", True),
        ("while p; do a; done", True),
        ("while a; do p; done", False),
        ("for a in b; do p; done", False),
        ("case $a in b) p;; esac", False),
        ("f() { p; }; f", False),
        ("a | p", True),
        ("b $(p)", True),
        ("sh -c 'a || p'", False),
        ("a || sh -c p", False),
    ],
)
def test_what_may_not_run_is_not_certain(text: str, certain: bool) -> None:
    assert named(f"RUN {text}", "p").is_certain is certain


def test_redirects_and_words_behind_them() -> None:
    found = commands("RUN pip install numpy>=1.0 x 2>/dev/null | tee log >> y")[0]
    assert found.texts() == ("install", "numpy", "x")
    assert [(each.operator, each.fd, each.target and each.target.shape) for each in found.redirects] == [
        (">", "", "=1.0"),
        (">", "2", "/dev/null"),
    ]


def test_patterns_are_said() -> None:
    assert [word.is_pattern for word in named("RUN rm -rf /a/* '/b/*' x[y] c", "rm").words] == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_bash_expands_braces_and_sh_does_not() -> None:
    assert lines("RUN rm {a,b}/c") == ["rm {a,b}/c"]
    bash = 'SHELL ["/bin/bash", "-c"]\nRUN '
    assert lines(bash + "rm {a,b}/c") == ["rm a/c b/c"]
    assert lines(bash + "rm {a,b}{c,d} 'x'{y,} '{a,b}' {a} $F{x") == ["rm ac ad bc bd xy x {a,b} {a} " + UNKNOWN + "{x"]
    assert lines(bash + "rm " + "{a,b}" * 20) == [f"rm {UNKNOWN}"]


@pytest.mark.parametrize(
    "shell",
    ['["powershell", "-Command"]', '["cmd", "/S", "/C"]', '["python3", "-c"]'],
)
def test_other_shells_are_not_read(shell: str) -> None:
    found = scripts(f"SHELL {shell}\nRUN Install-Package ($x -and $y\n")[0]
    assert not found.commands
    assert not found.faults


def test_shell_behind_conda_run_is_read() -> None:
    assert lines('SHELL ["conda", "run", "-n", "x", "/bin/bash", "-c"]\nRUN pip install y') == ["pip install y"]


def test_shell_of_a_stage_below_holds() -> None:
    found = scripts('SHELL ["pwsh", "-c"]\nFROM base AS b\nSHELL ["pwsh", "-c"]\nFROM b\nRUN x\n')
    assert not found[-1].commands


def test_options_of_set_are_known() -> None:
    assert scripts("RUN set -eu && set -o pipefail && set +u")[0].options == {"errexit", "pipefail"}


def test_what_onbuild_adds_stands_at_the_from() -> None:
    found = scripts("RUN a\nFROM base AS b\nONBUILD RUN pip install x\nFROM b\n")[-1]
    assert not found.is_exact
    assert found.commands[0].texts() == ("install", "x")
    assert found.commands[0].span.line == 5
    assert not found.commands[0].can_be_followed


def test_faults_are_told_and_reading_goes_on() -> None:
    found = scripts("RUN pip install x; ) ; make")[0]
    assert found.faults
    assert "make" in [each.name for each in found.commands]


@pytest.mark.parametrize("text", ["(" * 3000, "a && " * 3000 + "b", "$(" * 2000, "if a; then " * 2000, "{ " * 3000])
def test_deep_nesting_ends(text: str) -> None:
    assert isinstance(scripts(f"RUN {text}")[0], Script)


def test_variables_give_so_much_and_no_more() -> None:
    text = 'ARG P="' + "a " * 20_000 + '"\nRUN pip install ' + "$P " * 500
    assert len(commands(text)[0].words) < 200_000


def test_names_with_other_letters_keep_their_places() -> None:
    found = commands("RUN écho ünï 'ö' && pip install naïve")[-1]
    assert found.texts() == ("install", "naïve")
    assert found.words[1].span.column == len("RUN écho ünï 'ö' && pip install ") + 1


def test_statement_spans_hold_wrappers_and_redirects() -> None:
    found = named("RUN a && X=1 sudo pip install y > log && b", "pip")
    assert (found.statement.column, found.statement.end_column) == (10, 38)
    assert (found.span.column, found.span.end_column) == (19, 32)


@pytest.mark.parametrize(
    ("text", "can"),
    [
        ("p", True), ("p && a", True), ("p > x", True), ("p || a", False), ("p | a", False), ("p & a", False),
        ("a || p", False), ("sh -c 'p'", False), ("$(p)", False),
    ],
)  # fmt: skip
def test_what_can_be_followed(text: str, can: bool) -> None:
    assert named(f"RUN {text}", "p").can_be_followed is can
