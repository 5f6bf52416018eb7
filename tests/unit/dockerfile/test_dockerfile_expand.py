"""Variables, quotes, limits of one word."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.expand import (
    DEEPEST_NESTING,
    LARGEST_EXPANSION,
    expand_heredoc,
    expand_word,
    expand_words,
    variables,
)
from slimstage.errors import DockerfileError

ENV = {"HOME": "/root", "EMPTY": "", "FILE": "a.tar.gz", "PATHS": "/usr/bin:/bin", "BLANKS": " a  b ", "GLOB": "a*b?c"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$HOME", "/root"),
        ("${HOME}x", "/rootx"),
        ("$HOMEx", ""),
        ("$HOME.x", "/root.x"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$1x", "x"),
        ("$12x", "x"),
        ("$@$?", ""),
        ("${UNSET:-w} ${EMPTY:-w} ${HOME:-w}", "w w /root"),
        ("${UNSET-w} ${EMPTY-w} ${HOME-w}", "w  /root"),
        ("${UNSET:+w} ${EMPTY:+w} ${HOME:+w}", "  w"),
        ("${UNSET+w} ${EMPTY+w} ${HOME+w}", " w w"),
        ("${HOME:?w} ${HOME?w} ${EMPTY?w}", "/root /root "),
        ("${FILE#*.} ${FILE##*.}", "tar.gz gz"),
        ("${FILE%.*} ${FILE%%.*}", "a.tar a"),
        ("${FILE#x} ${FILE%x} ${FILE#} ${FILE%%}", "a.tar.gz a.tar.gz a.tar.gz a.tar.gz"),
        ("${PATHS/bin/lib} ${PATHS//bin/lib}", "/usr/lib:/bin /usr/lib:/lib"),
        ("${PATHS//\\//_}", "_usr_bin:_bin"),
        ("${FILE/a?tar/}", ".gz"),
        ("${GLOB#a\\*}", "b?c"),
        ("${GLOB/\\?/}", "a*bc"),
        ("${UNSET#x}${UNSET/x/y}", ""),
        ("${UNSET:-${ALSO:-${HOME}}}", "/root"),
        ('${UNSET:-"a } b"}', "a } b"),
        ("${UNSET:-a\\}b}", "a}b"),
        ("${UNSET:-'}'}", "}"),
        ("'$HOME' \"$HOME\"", "$HOME /root"),
        ('\\$HOME "\\$HOME"', "$HOME $HOME"),
        ('"\\n\\\\\\""', '\\n\\"'),
        ("a\\ b\\n", "a bn"),
        ("a\\", "a"),
        ("'a'\"b\"c", "abc"),
        ("é$HOME", "é/root"),
        ("a < b << c", "a < b << c"),
    ],
)
def test_a_word_is_expanded_as_buildkit_does(text: str, expected: str) -> None:
    assert expand_word(text, ENV).text == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("${}", "bad-substitution"),
        ("${:x}", "bad-substitution"),
        ("${{x}}", "bad-substitution"),
        ("${HOME", "bad-substitution"),
        ("${HOME:", "bad-substitution"),
        ("${HOME:-x", "bad-substitution"),
        ("${HOME:x}", "bad-substitution"),
        ("${HOME=x}", "bad-substitution"),
        ("${HOME:=x}", "bad-substitution"),
        ("${HOME:#x}", "bad-substitution"),
        ("${HOME^^}", "bad-substitution"),
        ("${HOME/x}", "bad-substitution"),
        ("${HOME#\\x}", "bad-substitution"),
        ("${UNSET:?}", "variable-required"),
        ("${UNSET?why}", "variable-required"),
        ("${EMPTY:?why}", "variable-required"),
        ("'a", "unclosed-quote"),
        ('"a', "unclosed-quote"),
        ('"a\\"', "unclosed-quote"),
    ],
)
def test_a_form_that_does_not_exist_is_refused(text: str, code: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        expand_word(text, ENV)
    assert caught.value.code == code


def test_a_required_variable_fails_with_the_authors_words() -> None:
    with pytest.raises(DockerfileError, match="TOKEN: give --build-arg TOKEN=x"):
        expand_word("${TOKEN:?give --build-arg TOKEN=$EXAMPLE}", {"EXAMPLE": "x"})


def test_the_names_that_were_looked_up_are_told_apart() -> None:
    found = expand_word("$HOME ${A:-${B}} ${HOME:+$C} '$D' \\$E", ENV)
    assert found.used == {"HOME"}
    assert found.unset == {"A", "B", "C"}
    assert variables("a $x ${y:-$z}") == {"x", "y", "z"}
    assert variables("'") == frozenset()


def test_the_escape_character_can_be_a_backtick() -> None:
    assert expand_word("`$HOME \\$HOME", ENV, "`").text == "$HOME \\/root"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("$BLANKS", ["a", "b"]),
        ('"$BLANKS"', [" a  b "]),
        ("x$BLANKS", ["x", "a", "b"]),
        ("x${BLANKS}y", ["x", "a", "b", "y"]),
        ("a\\ b 'c d'", ["a b", "c d"]),
        ('$EMPTY "" $UNSET', []),
        ("80 ${PORTS:-90 91}/tcp", ["80", "90", "91/tcp"]),
        ("x << EOF", ["x", "<< EOF"]),
    ],
)
def test_words_are_split_after_expansion(text: str, expected: list[str]) -> None:
    assert expand_words(text, ENV) == expected


def test_a_heredoc_keeps_quotes_and_loses_backslashes() -> None:
    body = "\"$HOME\" '$HOME' \\$HOME a\\\\b\\\nc\n"
    assert expand_heredoc(body, ENV).text == "\"/root\" '/root' $HOME a\\b\nc\n"
    assert expand_heredoc('it\'s ${X:-"y"}\n', {}).text == 'it\'s "y"\n'


def test_doubling_a_variable_ends_at_the_limit() -> None:
    value = "x" * 8
    while len(value) * 2 <= LARGEST_EXPANSION:
        value = expand_word("$A$A", {"A": value}).text
    with pytest.raises(DockerfileError) as caught:
        expand_word("$A$A", {"A": value})
    assert caught.value.code == "expansion-too-large"


def test_replacing_cannot_grow_beyond_the_limit() -> None:
    with pytest.raises(DockerfileError, match="larger than"):
        expand_word("${A//x/" + "y" * 5000 + "}", {"A": "x" * 5000})


def test_deep_nesting_is_refused_without_recursion() -> None:
    deep = "${a:-" * DEEPEST_NESTING + "x" + "}" * DEEPEST_NESTING
    assert expand_word(deep, {}).text == "x"
    for depth in (DEEPEST_NESTING + 1, 100_000):
        with pytest.raises(DockerfileError) as caught:
            expand_word("${a:-" * depth + "x" + "}" * depth, {})
        assert caught.value.code == "nested-too-deep"


def test_siblings_do_not_count_as_nesting() -> None:
    assert expand_word("${a:-x}" * (DEEPEST_NESTING * 4), {}).text == "x" * (DEEPEST_NESTING * 4)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("${v//*/r}", "abc", "r"),
        ("${v//a*/r}", "xaya\naz", "xr\nr"),
        ("${v///r}", "ab", "rarbr"),
        ("${v//x/\\$&}", "x", "\\$&"),
        ("${v//aa/b}", "aaaaa", "bba"),
        ("${v/b*d/-}", "abcdbd!", "a-!"),
        ("${v#*a}", "\na", "\na"),
    ],
)
def test_patterns_follow_gos_regular_expressions(text: str, value: str, expected: str) -> None:
    assert expand_word(text, {"v": value}).text == expected
