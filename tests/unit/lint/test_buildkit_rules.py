"""BuildKit's own checks: what each of them says of a file, by rule and line."""

from __future__ import annotations

import pytest

from slimstage.context.patterns import read_ignore_file
from slimstage.lint import catalogue
from slimstage.lint.engine import Checked, Surroundings, check
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

RULES = [catalogue.rule(name) for name in catalogue.NAMES["buildkit"]]
AMD64 = Platform("linux", "amd64")


def checked(text: str, ignore: str | None = None, **args: str) -> Checked:
    patterns = None if ignore is None else read_ignore_file(ignore)
    return check(text, RULES, PlanRequest(AMD64, build_args=args), around=Surroundings(patterns))


def said(text: str, ignore: str | None = None, **args: str) -> list[tuple[str, int]]:
    return [(each.rule, each.span.line) for each in checked(text, ignore, **args).findings]


def messages(text: str, **args: str) -> list[str]:
    return [each.message for each in checked(text, **args).findings]


# Variables ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("FROM alpine\nCOPY $a $b /x/\n", [2, 2]),
        ("FROM alpine\nARG a\nCOPY $a /x/\n", []),
        ("ARG a=1\nFROM alpine\nCOPY $a /x/\n", [3]),
        ("ARG a=1\nFROM alpine\nARG a\nCOPY $a /x/\n", []),
        ("FROM alpine AS one\nARG a=1\nFROM alpine\nCOPY $a /x/\n", [4]),
        ("FROM alpine AS one\nARG a=1\nFROM one\nCOPY $a /x/\n", []),
        ("FROM alpine AS one\nENV a=1\nFROM one\nCOPY $a /x/\n", []),
        ("FROM alpine\nENV a=1 b=$a\n", [2]),
        ("FROM alpine\nENV a=1\nENV b=$a\n", []),
        ("FROM alpine\nARG a=1 b=$a\n", []),
        ("FROM alpine\nARG b=$a\n", [2]),
        ("FROM alpine\nLABEL x=$a $b=y\n", [2, 2]),
        ("FROM alpine\nRUN echo $a\nCMD echo $a\nSHELL [\"$a\"]\n", []),
        ("FROM alpine\nRUN --mount=type=cache,target=$a true\n", [2]),
        ("FROM alpine\nWORKDIR /$a\nUSER $b\nVOLUME $c $d\nSTOPSIGNAL $e\n", [2, 3, 4, 4, 5]),
        ("FROM alpine\nEXPOSE $a\n", []),
        ("FROM alpine\nONBUILD COPY $a /x/\n", []),
        ("FROM alpine AS one\nONBUILD COPY $a /x/\nFROM one\n", [3]),
        ("FROM alpine AS one\nONBUILD ARG a\nFROM one\nCOPY $a /x/\n", []),
        ("FROM alpine\nCOPY --chown=$a --chmod=$b x /x\n", [2, 2]),
        ("FROM alpine\nCOPY '$a' \\$a /x/\n", []),
        ("# escape=`\nFROM alpine\nCOPY `$a /x/\nCOPY \\$a /x/\n", [4]),
        ("FROM alpine\nCOPY ${a:-x} /x/\n", [2]),
        ("FROM alpine\nCOPY ${a:?none} /x/\n", [2]),
        ("FROM alpine\nCOPY <<EOF /x\n$a\nEOF\n", [2]),
        ("FROM alpine\nCOPY <<'EOF' /x\n$a\nEOF\n", []),
        ("FROM alpine\nRUN <<EOF\necho $a\nEOF\n", []),
        ("FROM scratch\nENV PATH=/x:$PATH\n", []),
        ("FROM alpine\nARG TARGETARCH\nCOPY $TARGETARCH $TARGETOS /x/\n", [3]),
        ("FROM python:3.12\nENV V=$PYTHON_VERSION\n", []),
        ("FROM alpine\nARG X=$BUILDKIT_SBOM_SCAN_STAGE\n", []),
    ],
)  # fmt: skip
def test_undefined_var(text: str, lines: list[int]) -> None:
    assert [line for rule, line in said(text) if rule == "UndefinedVar"] == lines


def test_undefined_var_is_advice_only_where_the_base_may_set_it() -> None:
    unknown = checked("FROM ghcr.io/org/app:1\nCOPY $APP_HOME /x/\n").findings
    assert [each.severity for each in unknown] == ["info"]
    misspelt = checked("FROM ghcr.io/org/app:1\nENV APP_HOME=/a\nCOPY $APP_HOMES /x/\n").findings
    assert [each.severity for each in misspelt] == ["warning"]


def test_undefined_var_does_not_look_at_a_default_that_is_not_used() -> None:
    assert said("FROM alpine\nARG a=$b\n", a="1") == []


UNDEFINED = "Usage of undefined variable"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ARG DIR_ASSETS=x\nCOPY $DIR_ASSET /x/\n", f"{UNDEFINED} '$DIR_ASSET' (did you mean $DIR_ASSETS?)"),
        ("ENV PATH=$PAHT:/x\n", f"{UNDEFINED} '$PAHT' (did you mean $PATH?)"),
        ("ARG abcdef=x\nCOPY $abcxyz /x/\n", f"{UNDEFINED} '$abcxyz'"),
        ("ARG other\nCOPY $othr /x/\n", f"{UNDEFINED} '$othr'"),
    ],
)
def test_did_you_mean_a_variable(text: str, message: str) -> None:
    assert messages(f"FROM alpine\n{text}") == [message]


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("$BULIDPLATFORM", "FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"),
        ("linux/$MYARCH", "FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)"),
    ],
)
def test_did_you_mean_an_argument(platform: str, message: str) -> None:
    assert messages(f"ARG MY_ARCH=amd64\nFROM --platform={platform} alpine\n") == [message]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ARG a\nFROM alpine$a\n", []),
        ("FROM alpine AS one\nARG a=1\nFROM alpine$a\n", [3]),
        ("FROM --platform=$BUILDPLATFORM alpine:$a$b\n", [1, 1]),
        ("FROM scratch${a:-}\n", [1]),
        ("FROM alpine:${TARGETARCH}\n", []),
    ],
)
def test_undefined_arg_in_from(text: str, lines: list[int]) -> None:
    assert [line for rule, line in said(text) if rule == "UndefinedArgInFrom"] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("ARG V\nFROM busybox:$V\n", [2]),
        ("ARG V=1\nFROM busybox:$V\n", []),
        ('ARG V=""\nFROM busybox:stable$V\n', []),
        ("ARG V\nFROM busybox:stable$V\n", []),
        ("ARG V=1\nARG W=$V\nFROM busybox:$W\n", []),
        ("FROM debian://bookworm\n", []),
        ("FROM Busybox\n", [1]),
        ("ARG V\nFROM busybox AS a\nFROM a\nFROM busybox:${V:-1}\n", []),
    ],
)
def test_invalid_default_arg_in_from(text: str, lines: list[int]) -> None:
    assert [line for rule, line in said(text, V="1") if rule == "InvalidDefaultArgInFrom"] == lines


# FROM --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "rule"),
    [
        ("$TARGETPLATFORM", "RedundantTargetPlatform"),
        ("${TARGETPLATFORM}", "RedundantTargetPlatform"),
        ("${TARGETPLATFORM:-linux/amd64}", "RedundantTargetPlatform"),
        ("$BUILDPLATFORM", None),
        ("linux/$TARGETARCH", None),
        ("linux/arm64", "FromPlatformFlagConstDisallowed"),
        ("arm64", "FromPlatformFlagConstDisallowed"),
    ],
)
def test_platform_of_from(flag: str, rule: str | None) -> None:
    assert [name for name, _ in said(f"FROM --platform={flag} alpine AS x\n")] == ([rule] if rule else [])


@pytest.mark.parametrize("name", ["for_arm64", "linux", "my-linux-arm"])
def test_a_stage_named_after_its_platform_may_be_constant(name: str) -> None:
    assert said(f"FROM --platform=linux/arm64 alpine AS {name}\n") == []


def test_names_of_stages() -> None:
    text = "FROM alpine AS Base\nFROM alpine as base\nFROM alpine AS scratch\nFROM alpine AS CONTEXT\n"
    assert said(text) == [
        ("StageNameCasing", 1),
        ("FromAsCasing", 2),
        ("DuplicateStageName", 2),
        ("ReservedStageName", 3),
        ("ReservedStageName", 4),
        ("StageNameCasing", 4),
    ]


def test_as_of_a_from_of_mixed_case_is_not_judged() -> None:
    assert said("From alpine As x\n") == [("ConsistentInstructionCasing", 1)]


def test_casing_counts_stages_only_and_a_tie_is_upper() -> None:
    assert said("arg a=1\nFROM alpine\nrun true\n") == [("ConsistentInstructionCasing", 3)]
    assert said("from alpine\nrun true\nONBUILD run true\n") == [("ConsistentInstructionCasing", 3)]


# Commands of the image ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("FROM alpine\nCMD a\nENTRYPOINT b\n", [2, 3]),
        ('FROM alpine\nCMD ["a"]\nENTRYPOINT ["b"]\n', []),
        ('FROM alpine\nSHELL ["sh"]\nCMD a\n', []),
        ('FROM alpine\nCMD a\nSHELL ["sh"]\n', [2]),
        ('FROM alpine AS one\nSHELL ["sh"]\nFROM one AS two\nFROM two\nCMD a\n', []),
        ('FROM alpine AS one\nSHELL ["sh"]\nFROM alpine\nCMD a\n', [4]),
        ("FROM alpine\nONBUILD CMD a\n", []),
        ("FROM alpine AS one\nONBUILD CMD a\nFROM one\n", [3]),
        ("FROM alpine\nHEALTHCHECK CMD a\nRUN a\n", []),
        ("FROM alpine\nCMD ['a']\n", [2]),
    ],
)
def test_json_args(text: str, lines: list[int]) -> None:
    assert [line for rule, line in said(text) if rule == "JSONArgsRecommended"] == lines


def test_several_commands_of_a_stage_show_the_earlier() -> None:
    text = 'FROM alpine AS a\nCMD ["a"]\nHEALTHCHECK NONE\nCMD ["b"]\ncmd ["c"]\nHEALTHCHECK CMD x\nFROM a\nCMD ["d"]\n'
    found = [each for each in checked(text).findings if each.rule == "MultipleInstructionsDisallowed"]
    assert [(each.span.line, each.message.split()[1]) for each in found] == [(2, "CMD"), (3, "HEALTHCHECK"), (4, "cmd")]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("FROM alpine\nWORKDIR a\nWORKDIR b\n", [2]),
        ("FROM alpine\nWORKDIR /a\nWORKDIR b\n", []),
        ("FROM alpine AS x\nWORKDIR a\nFROM x\nWORKDIR b\n", [2]),
        ("FROM alpine AS x\nWORKDIR /a\nFROM alpine\nWORKDIR b\n", [4]),
        ("FROM alpine\nARG d=/a\nWORKDIR $d\n", []),
        ("FROM alpine\nARG d=a\nWORKDIR $d\n", [3]),
        ("FROM ghcr.io/org/app:1\nWORKDIR $APP_HOME\n", []),
        ("FROM alpine AS x\nONBUILD WORKDIR a\nFROM x\n", [3]),
    ],
)
def test_relative_workdir(text: str, lines: list[int]) -> None:
    assert [line for rule, line in said(text) if rule == "WorkdirRelativePath"] == lines


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("HF_TOKEN", True),
        ("secret_message", True),
        ("AUTH", True),
        ("git_key", True),
        ("passwd", True),
        ("PUBLIC_KEY", False),
        ("TOKEN_FILE", False),
        ("KEY_VERSION", False),
        ("MONKEY", False),
        ("AUTHOR", False),
        ("PASSPHRASE", False),
    ],
)
def test_secrets(name: str, is_secret: bool) -> None:
    rule = "SecretsUsedInArgOrEnv"
    expected = [(rule, 2), (rule, 3)] if is_secret else []
    assert said(f"FROM alpine\nARG {name}\nENV {name}=x\n") == expected
    assert said(f"ARG {name}\nFROM alpine\n") == []


def test_legacy_pairs_and_maintainer() -> None:
    assert said("FROM alpine\nENV a b\nLABEL a b\nENV a=b\nMAINTAINER me\n") == [
        ("LegacyKeyValueFormat", 2),
        ("LegacyKeyValueFormat", 3),
        ("MaintainerDeprecated", 5),
    ]
    assert '"env key=value" should be used' in messages("from alpine\nenv a b\n")[0]


def test_exposed_ports() -> None:
    text = "FROM alpine\nARG p=53/UDP\nEXPOSE 80/TCP 8080:80 $p\nEXPOSE 127.0.0.1:80:80 [::1]:80:81/udp 80-90\n"
    assert sorted(said(text)) == [
        ("ExposeInvalidFormat", 3),
        ("ExposeInvalidFormat", 4),
        ("ExposeInvalidFormat", 4),
        ("ExposeProtoCasing", 3),
        ("ExposeProtoCasing", 3),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM alpine\nRUN a \\\n\n b\n", 4),
        ("FROM alpine\nRUN a \\\n\n# c\n\n b && \\\n  c\nRUN d\n", 7),
        ("FROM alpine\nRUN a \\\n\n <<E\nx\n\nE\n", 4),
        ("FROM alpine\nRUN a \\\n\n", 3),
    ],
)
def test_empty_lines_of_a_continuation_are_said_at_its_end(text: str, line: int) -> None:
    assert said(text) == [("NoEmptyContinuation", line)]


PLACES = [
    ("FROM alpine AS Big\n", "StageNameCasing", "Big"),
    ("FROM alpine as big\n", "FromAsCasing", "as"),
    ("FROM alpine\ncopy a b\nRUN c\n", "ConsistentInstructionCasing", "copy"),
    ("FROM alpine\nENV bc=1\nCOPY $bc ${b}c /d/\n", "UndefinedVar", "${b"),
    ("FROM alpine\nENV bc=1\nCOPY $bc $b /d/\n", "UndefinedVar", "$b"),
    ("FROM --platform=linux/amd64 alpine\n", "FromPlatformFlagConstDisallowed", "--platform=linux/amd64"),
    ("FROM alpine\nARG A=1 TOKEN=x\n", "SecretsUsedInArgOrEnv", "TOKEN=x"),
    ("FROM alpine\nENV A=1 TOKEN=x\n", "SecretsUsedInArgOrEnv", "TOKEN"),
    ("FROM alpine\nEXPOSE 80 81/TCP\n", "ExposeProtoCasing", "81/TCP"),
    ("FROM alpine\nCMD a b\n", "JSONArgsRecommended", "a b"),
]


@pytest.mark.parametrize(("text", "rule", "part"), PLACES, ids=[f"{rule}-{part}" for _, rule, part in PLACES])
def test_a_finding_shows_the_part_that_it_is_about(text: str, rule: str, part: str) -> None:
    found = [each.span for each in checked(text).findings if each.rule == rule]
    line = text.split("\n")[found[-1].line - 1]
    assert line[found[-1].column - 1 : found[-1].end_column - 1] == part


def test_a_part_on_a_later_line_is_shown_with_its_instruction() -> None:
    (found,) = checked("FROM alpine\nENV A=1 \\\n  TOKEN=x\n").findings
    assert (found.span.line, found.span.column, found.span.end_line) == (2, 1, 3)


# What the context keeps out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "ignore", "is_said"),
    [
        ("a.txt", "a.txt\n", True),
        ("./a.txt", "a.txt\n", True),
        ("dir/a.txt", "dir\n", True),
        ("a.txt", "a.txt\n!b.txt\n", False),
        ("*.txt", "*.txt\n", True),
        (".", ".*\n", False),
        (".", "*\n", True),
        (".", "**\n", True),
        (".", "**/*\n", True),
        ("/", "*\n", True),
        ("a.txt", "", False),
        ("https://example.org/a.txt", "**\n", False),
        ("$x", "a.txt\n", True),
    ],
)
def test_ignored_sources(source: str, ignore: str, is_said: bool) -> None:
    expected = [("CopyIgnoredFile", 3)] if is_said else []
    assert said(f"FROM alpine\nARG x=a.txt\nADD {source} /x/\n", ignore) == expected


def test_what_comes_from_a_stage_is_not_in_the_context() -> None:
    assert said("FROM alpine AS a\nFROM alpine\nCOPY --from=a /a.txt /\n", "a.txt\n") == []


# Directives ---------------------------------------------------------------------------------------------------


def test_descriptions_are_judged_when_that_is_asked_for() -> None:
    text = "# not one\nARG a=1\n# b is a base\nFROM alpine AS b\n# x y\nARG c=1 d=2\n#\nARG e=1\n# e is one\nARG e=2\n"
    assert said(text) == []
    asked = said(f"# check=experimental=InvalidDefinitionDescription\n{text}")
    assert asked == [("InvalidDefinitionDescription", 3), ("InvalidDefinitionDescription", 7)]
    assert said(f"# check=skip=all;experimental=all\n{text}") == [(rule, line) for rule, line in asked]


BAD = "FROM alpine as base\ncopy Dockerfile .\nMAINTAINER x\n"


@pytest.mark.parametrize(
    ("directive", "rules"),
    [
        ("", ["FromAsCasing", "ConsistentInstructionCasing", "MaintainerDeprecated"]),
        ("# check=skip=all\n", []),
        ("# check=skip=FromAsCasing\n", ["ConsistentInstructionCasing", "MaintainerDeprecated"]),
        ("# check=skip=FromAsCasing,MaintainerDeprecated;error=true\n", ["ConsistentInstructionCasing"]),
        ("#check=error=true;skip=ConsistentInstructionCasing\n", ["FromAsCasing", "MaintainerDeprecated"]),
        ("# slimstage: skip=FromAsCasing,MaintainerDeprecated who cares\n\n", ["ConsistentInstructionCasing"]),
    ],
)
def test_directives_of_the_file(directive: str, rules: list[str]) -> None:
    assert [rule for rule, _ in said(directive + BAD)] == rules


def test_the_build_argument_stands_in_for_the_directive() -> None:
    found = checked("# check=skip=all\n" + BAD, BUILDKIT_DOCKERFILE_CHECK="skip=FromAsCasing;error=true")
    assert [each.rule for each in found.findings] == ["ConsistentInstructionCasing", "MaintainerDeprecated"]
    assert found.fails_build
    assert not checked(BAD, BUILDKIT_DOCKERFILE_CHECK="skip=all;error=true").fails_build


def test_a_comment_skips_for_its_instruction_only() -> None:
    buildkit, ours = "# check=skip=LegacyKeyValueFormat\n", "# slimstage: skip=LegacyKeyValueFormat it is old\n"
    assert said(f"FROM alpine\n{buildkit}ENV a b\nENV a b\n{ours}ENV a b\n") == [("LegacyKeyValueFormat", 4)]


def test_the_first_check_comment_counts_and_a_wrong_one_is_passed_over() -> None:
    skip = "# check=skip=LegacyKeyValueFormat\n"
    assert said(f"FROM alpine\n# check=nonsense\n{skip}ENV a b\n") == [("LegacyKeyValueFormat", 4)]
    assert said(f"FROM alpine\n# words\n{skip}ENV a b\n") == []


def test_several_instructions_are_skipped_above_either() -> None:
    comment = "# check=skip=MultipleInstructionsDisallowed\n"
    assert said(f'FROM alpine\nCMD ["a"]\n{comment}CMD ["b"]\n') == []
    assert said(f'FROM alpine\n{comment}CMD ["a"]\nCMD ["b"]\n') == []


def test_a_directive_that_cannot_be_read_is_a_fault() -> None:
    found = checked("# check=skip\nFROM alpine\n")
    assert [(each.code, each.span.line if each.span else 0) for each in found.faults] == [("bad-check-options", 1)]


def test_in_front_of_a_fault_single_lines_are_judged() -> None:
    found = checked("FROM alpine AS Base\nMAINTAINER a\nenv x y\nBAD\nMAINTAINER b\n")
    assert [(each.rule, each.span.line) for each in found.findings] == [
        ("StageNameCasing", 1),
        ("MaintainerDeprecated", 2),
    ]
    assert [each.code for each in found.faults] == ["unknown-instruction"]
