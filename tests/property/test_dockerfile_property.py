"""Laws of reading Dockerfiles, and agreement with two other implementations."""

from __future__ import annotations

import re

import dockerfile as go_parser
import e2b_dockerfile_utils as port
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from slimstage.diagnostics import Source
from slimstage.dockerfile.directives import find_directive
from slimstage.dockerfile.expand import expand_heredoc, expand_word, expand_words
from slimstage.dockerfile.faults import MOST_FAULTS, Faults
from slimstage.dockerfile.instructions import Dockerfile
from slimstage.dockerfile.mounts import parse_mount
from slimstage.dockerfile.parse import parse
from slimstage.dockerfile.reader import LineReader
from slimstage.dockerfile.syntax import Node, read_nodes
from slimstage.dockerfile.wildcards import ShellPattern
from slimstage.dockerfile.words import json_strings, split_words
from slimstage.errors import DockerfileError

SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)

PIECES = [
    *("FROM a", "FROM a AS b", "RUN ", "COPY ", "ADD ", "ENV ", "CMD ", "ONBUILD ", "HEALTHCHECK ", "LABEL ", "ARG "),
    *("EXPOSE ", "VOLUME ", "SHELL ", "USER ", "WORKDIR ", "STOPSIGNAL ", "MAINTAINER ", "ENTRYPOINT "),
    *("\n", "\n", "\n", "\n", " ", "  ", "\t", "\\\n", "`\n", "# c\n", "#\n", "# escape=`\n", "\r\n", "\ufeff", "\0"),
    *("<<EOF", "<<-E ", "<<'E'", "<< E", "3<<E", "EOF\n", "E\n", "\tE\n", "a", "b=c", "é", "80/tcp", "9"),
    *("--x", "--from=a ", "--mount=type=cache,target=/x ", "--link ", " -- ", '["a"]', '["a", "b"]', "[1]", "[]"),
    *('"', "'", "\\", "$x", "${x:-y}", "=", ",", "NONE", "CMD"),
]
# Whole instructions that are right, for laws about what was read.
LINES = [
    *(
        "FROM a\n",
        "from b AS c\n",
        "RUN x\n",
        '  RUN ["a"]\n',
        "ENV a=b \\\n  c=d\n",
        "RUN a \\\n# c\n\n  b\n",
        "\n",
        "# c\n",
    ),
    *(
        "COPY <<E <<-F /x\ny\nE\n\tz\n\tF\n",
        "CMD\n",
        "ARG a b=c\n",
        "\\\nUSER x\n",
        "ONBUILD RUN <<E\nx\nE\n",
        "R\\\nUN x\r\n",
    ),
]
files = st.lists(st.sampled_from(LINES), max_size=10).map("".join)
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
any_text = st.one_of(texts, st.text(max_size=200), st.text(alphabet="FROMRUN \n\\#<'\"$[]{}=-a", max_size=80))
environments = st.fixed_dictionaries(
    {}, optional={name: st.text(alphabet="ab /.*\n", max_size=8) for name in ("a", "A", "x", "_b1", "é")}
)
shell_texts = st.lists(
    st.sampled_from([*"aA \"'\\`${}:-+?#%/*x<1_. \n", "${a", "${a:-", "${A#", "${x%%", "${a//", "$a", "é"]), max_size=12
).map("".join)


def nodes_of(text: str) -> tuple[list[Node], Faults]:
    faults = Faults()
    source = Source("Dockerfile", text)
    return list(read_nodes(source, LineReader(source, faults), faults)), faults


def read(text: str) -> Dockerfile | DockerfileError:
    try:
        return parse(text)
    except DockerfileError as error:
        return error


@SETTINGS
@given(any_text)
def test_any_text_gives_a_dockerfile_or_placed_diagnostics(text: str) -> None:
    result = read(text)
    if isinstance(result, Dockerfile):
        assert result.stages
        return
    assert 1 <= len(result.diagnostics) <= MOST_FAULTS
    lines = text.split("\n")
    for diagnostic in result.diagnostics:
        assert diagnostic.span is not None
        assert 1 <= diagnostic.span.line <= max(1, len(lines))
        assert 1 <= diagnostic.span.column <= len(lines[diagnostic.span.line - 1]) + 2
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", diagnostic.code)
        assert "\n" not in diagnostic.message
    assert str(result)


@SETTINGS
@given(files)
def test_spans_follow_each_other_and_cover_what_was_written(text: str) -> None:
    result = read("FROM a\n" + text)
    assert isinstance(result, Dockerfile)
    before = 0
    for instruction in (i for stage in result.stages for i in (stage.from_, *stage.instructions)):
        span = instruction.span
        assert span.line > before
        assert span.end_line >= span.line
        before = span.end_line
        line = result.source.line(span.line)
        assert line is not None
        assert line[span.column - 1].upper() == instruction.keyword[0]


@SETTINGS
@given(texts)
def test_reading_twice_gives_equal_values(text: str) -> None:
    first, second = read("FROM a\n" + text), read("FROM a\n" + text)
    if isinstance(first, Dockerfile) and isinstance(second, Dockerfile):
        assert (first.stages, first.global_args, first.warnings) == (second.stages, second.global_args, second.warnings)
    else:
        assert str(first) == str(second)


@SETTINGS
@given(shell_texts, environments, st.sampled_from("\\`"))
def test_expansion_agrees_with_a_port_of_buildkits_lexer(text: str, env: dict[str, str], escape: str) -> None:
    assume(
        not re.search(r"\$\{[^{}]*//", text)
    )  # replacing everywhere: the port follows Python's rule for empty matches
    assume(
        "\n" not in "".join(env.values())
    )  # a pattern's star does not cross a newline in Go; the port's suffixes differ
    lexer = port.ShellLex(escape, env=env, skip_unset_env=False)
    try:
        expected = (lexer.process_word(text), [word for word in lexer.process_words(text) if word])
    except ValueError:
        with pytest.raises(DockerfileError):
            expand_word(text, env, escape)
        return
    assert (expand_word(text, env, escape).text, expand_words(text, env, escape)) == expected


@SETTINGS
@given(st.text(max_size=60), environments)
def test_expansion_fails_only_with_a_diagnostic(text: str, env: dict[str, str]) -> None:
    for expand in (expand_word, expand_heredoc):
        try:
            result = expand(text, env)
        except DockerfileError:
            continue
        assert result.used <= set(env)
        assert not result.unset & set(env)


@SETTINGS
@given(st.text(alphabet=st.characters(blacklist_characters="\\$'\"<"), max_size=40))
def test_text_without_special_characters_expands_to_itself(text: str) -> None:
    assert expand_word(text, {"a": "b"}).text == text


@SETTINGS
@given(st.text(max_size=30))
def test_single_quotes_protect_everything(text: str) -> None:
    text = text.replace("'", "")
    assert expand_word(f"'{text}'", {"a": "b"}).text == text


@SETTINGS
@given(st.lists(st.sampled_from([*"ab '\"\\`$ \t=\x85é"]), max_size=14).map("".join), st.sampled_from("\\`"))
def test_words_agree_with_a_port_and_know_their_place(text: str, escape: str) -> None:
    words = split_words(text, escape)
    assert [word.text for word in words] == port.parse_words(text, escape)
    assert all(text[word.start : word.end] == word.text for word in words)


@SETTINGS
@given(st.lists(st.text(max_size=8), max_size=4))
def test_an_array_of_strings_is_read_as_it_was_written(values: list[str]) -> None:
    import json

    assert json_strings(json.dumps(values)) == values
    assert json_strings(json.dumps(values) + "junk") is None


def _regex(pattern: ShellPattern, star: str) -> re.Pattern[str]:
    return re.compile(star.join("".join("." if c is None else re.escape(c) for c in part) for part in pattern.parts))


@SETTINGS
@given(st.text(alphabet="ab*?\n", max_size=6), st.text(alphabet="ab\n", max_size=10), st.booleans())
def test_a_trimmed_prefix_is_what_a_regular_expression_finds(pattern: str, value: str, longest: bool) -> None:
    compiled = ShellPattern.parse(pattern)
    found = _regex(compiled, ".*" if longest else ".*?").match(value)
    assert compiled.without_prefix(value, longest=longest) == (value[found.end() :] if found else value)


@SETTINGS
@given(st.text(alphabet="ab*?\n", max_size=6), st.text(alphabet="ab\n", max_size=10))
def test_the_first_replacement_is_where_a_regular_expression_finds_it(pattern: str, value: str) -> None:
    compiled = ShellPattern.parse(pattern)
    expected = _regex(compiled, ".*").sub("X", value, count=1)
    assert compiled.replaced(value, "X", everywhere=False) == expected


@SETTINGS
@given(st.one_of(st.text(max_size=40), st.text(alphabet="type=cach,\"'$md0 srtgqui/", max_size=40)))
def test_a_mount_is_read_or_refused(text: str) -> None:
    for expand in (None, lambda value: value):
        try:
            mount = parse_mount(text, expand)
        except DockerfileError:
            continue
        assert mount.type in ("bind", "cache", "tmpfs", "secret", "ssh")


@SETTINGS
@given(texts)
def test_finding_a_directive_never_fails(text: str) -> None:
    for name in ("syntax", "check", "escape"):
        found = find_directive(name, text)
        assert found is None or (found[0] and found[1] >= 0)


def _is_beyond_the_old_parser(text: str) -> bool:
    """What the Go package, built on an older BuildKit, is known to read in another way."""
    return bool(
        re.search(r"\][ \t]*\S", text)  # text behind a JSON array
        or re.search(r"(?m)^\s*[\\`]\s*$|<<|\0|\r|\ufeff|check", text)  # continuation alone; heredocs with blanks
        or re.search(r"(?m)[^\\]\\\\[ \t]*$", text)
    )


@SETTINGS
@given(texts)
def test_the_syntax_tree_agrees_with_buildkits_own_parser(text: str) -> None:
    text = "FROM a\n" + text
    assume(not _is_beyond_the_old_parser(text))
    nodes, faults = nodes_of(text)
    try:
        commands = [c for c in go_parser.parse_string(text) if c.cmd]
    except go_parser.GoParseError:
        assert faults.found or any(node.name == "onbuild" for node in nodes)
        return
    assert not faults.found

    # The package leaves the separator of a pair out.
    ours = [
        (
            node.name,
            tuple(w.text for i, w in enumerate(node.args) if node.name not in ("env", "label") or i % 3 < 2),
            tuple(w.text for w in node.flags),
            node.is_json,
        )
        for node in nodes
    ]
    theirs = [(c.cmd.lower(), tuple(c.value), tuple(c.flags), c.json) for c in commands]
    assert [row for row in ours if row[0] != "onbuild"] == [row for row in theirs if row[0] != "onbuild"]


@SETTINGS
@given(texts)
def test_heredocs_agree_with_a_port_of_buildkits_parser(text: str) -> None:
    text = "FROM a\n" + text
    assume(not re.search(r"onbuild|\0|\ufeff", text, re.IGNORECASE))
    nodes, faults = nodes_of(text)
    try:
        expected = port.parse_dockerfile_ast(text).instructions
    except port.DockerfileSyntaxError:
        return
    assume(not faults.found)
    for node, other in zip(nodes, expected, strict=True):
        ours = [
            (h.name, h.content if h.as_written is None else h.as_written, h.strips_tabs, h.expands, h.fd)
            for h in node.heredocs
        ]
        theirs = [(h.name, h.content, h.chomp, h.expand, h.file_descriptor) for h in other.heredocs]
        assert ours == theirs
        assert node.line.end_line == other.end_line
