"""Fixes: whatever is applied of what a check offers, the file stays one, with the same stages and meaning."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from slimstage.dockerfile.instructions import Cmd, Dockerfile, Entrypoint, Env, Expose, Instruction, Label, Run
from slimstage.dockerfile.parse import parse, parse_partly
from slimstage.lint import catalogue
from slimstage.lint.engine import Checked, check
from slimstage.lint.finding import Finding
from slimstage.lint.fix import apply, fix_all
from slimstage.lint.rule import Rule
from slimstage.lint.scopes import known
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

BUILDKIT = [catalogue.rule(name) for name in catalogue.NAMES["buildkit"]]
ALL = [*catalogue.rules()]
REQUEST = PlanRequest(Platform("linux", "amd64"))

LINES = (
    "FROM debian:12 as Build{n}",
    "from python:3.12-slim AS stage{n}",
    "FROM --platform=$TARGETPLATFORM alpine",
    "FROM Stage1 AS Other{n}",
    "env A{n} b c",
    "ENV A{n} 'b' \"c\"",
    "ENV A{n} one\\ two",
    "LABEL k{n} $A{n}x",
    "ENV A{n}=x",
    "EXPOSE 80/TCP 127.0.0.1:81:82/udp",
    "expose 8{n}:9{n}",
    "CMD python3 -m app",
    "CMD exec python3 app.py",
    "ENTRYPOINT run me",
    "CMD echo \"$HOME\"",
    "MAINTAINER Some \"body\" <a@b.c> $x",
    "RUN a && \\\n\n  b \\\n# c\n\n  && d",
    "RUN <<EOF\nCMD x y\n\nEOF",
    "COPY --from=Build1 /a /b",
    "copy --from=build1 \\\n  /a \\\n  /b",
    "RUN --mount=type=bind,from=Build1,target=/x true",
    "RUN apt-get update && apt-get install -y gcc",
    "RUN pip install torch",
    "COPY . /app",
    "# a comment",
    "",
    "ONBUILD cmd a b",
    "WORKDIR app",
    "  user nobody",
)  # fmt: skip

bodies = st.lists(st.sampled_from(LINES), min_size=1, max_size=9)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A Dockerfile with much to mend; some with Windows' line ends, a mark, or no end of the last line."""
    lines = ["FROM debian:12 AS Build1", *draw(bodies)]
    text = "\n".join(line.replace("{n}", str(number)) for number, line in enumerate(lines, 2)) + "\n"
    text = text.replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"])))
    return draw(st.sampled_from(["", "", "\ufeff"])) + (text if draw(st.booleans()) else text.rstrip("\r\n"))


def checked(text: str, rules: Sequence[Rule]) -> Checked:
    return check(text, rules, REQUEST, asks_plan=True)


def meaning(dockerfile: Dockerfile) -> list[object]:
    """What a build makes of a file, as far as BuildKit's fixes may touch it."""
    return [
        (stage.name, stage.from_.image.lower(), [_said(each, dockerfile.escape) for each in stage.instructions])
        for stage in dockerfile.stages
    ]


def _said(instruction: Instruction, escape: str) -> object:
    values = {"A": "1"}
    match instruction:
        case Env(pairs=pairs) | Label(pairs=pairs) if instruction.keyword != "LABEL" or pairs[0].name[0] == "k":
            return [(pair.name, known(pair.value or "", {f"A{n}": "v" for n in range(20)}, escape)) for pair in pairs]
        case Expose(ports=ports):
            return [port.rpartition(":")[2].lower() for port in ports]
        case Run(command=command, heredocs=heredocs):
            return command.words, heredocs
        case Cmd(command=command) | Entrypoint(command=command):
            words = command.words if command.form == "exec" else tuple(command.words[0].split())
            return tuple(word for number, word in enumerate(words) if number or word != "exec")
    return "MAINTAINER or LABEL" if instruction.keyword in ("MAINTAINER", "LABEL") else (instruction.keyword, values)


def apart(findings: Sequence[Finding]) -> list[Finding]:
    """Of several fixes those that leave each other alone, the first ones."""
    taken: list[Finding] = []
    places: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for each in findings:
        spans = [
            ((e.span.line, e.span.column), (e.span.end_line, e.span.end_column))
            for e in (each.fix.edits if each.fix else ())
        ]
        if spans and not any(a[0] <= b[1] and b[0] <= a[1] for a in spans for b in places):
            taken.append(each)
            places += spans
    return taken


@given(files(), st.randoms(use_true_random=False))
def test_any_of_the_fixes_of_buildkits_rules_leave_the_meaning(text: str, random: object) -> None:
    found = checked(text, BUILDKIT)
    if found.faults:
        return
    offered = [each for each in found.findings if each.fix]
    random.shuffle(offered)  # type: ignore[attr-defined] # hypothesis' Random
    chosen = apart(offered[: len(offered) // 2 + 1])
    edits = [edit for each in chosen for edit in (each.fix.edits if each.fix else ())]
    after = apply(text, found.dockerfile.source, edits)
    again, faults = parse_partly(after)
    assert not faults, after
    assert meaning(again) == meaning(found.dockerfile), after
    assert after.startswith("\ufeff") == text.startswith("\ufeff")
    assert ("\r\n" in after) == ("\r\n" in text) or "\n" not in after


@given(files())
def test_mending_all_ends_with_nothing_left_that_could_be_mended(text: str) -> None:
    fixed = fix_all(text, lambda after: checked(after, BUILDKIT))
    after = checked(fixed.text, BUILDKIT)
    if after.faults:
        assert fixed.text == text
        return
    assert not [each for each in after.findings if each.fix]
    assert meaning(after.dockerfile) == meaning(parse(text))
    assert fix_all(fixed.text, lambda again: checked(again, BUILDKIT)).text == fixed.text


@given(files())
def test_mending_by_all_rules_gives_a_file_with_the_same_target_and_no_new_refusal(text: str) -> None:
    before = checked(text, ALL)
    fixed = fix_all(text, lambda after: checked(after, ALL))
    after = checked(fixed.text, ALL)
    assert len(after.refusals) <= len(before.refusals)
    if not before.faults:
        assert not after.faults
        assert after.dockerfile.stages[-1].name == before.dockerfile.stages[-1].name
    assert fix_all(fixed.text, lambda again: checked(again, ALL)).text == fixed.text


@given(st.text(max_size=400))
def test_no_text_makes_a_rule_fail(text: str) -> None:
    for given_text in (text, f"FROM debian\n{text}", f"FROM debian\nRUN {text}", f"FROM debian\nCOPY {text} /x\n"):
        for each in check(given_text, ALL, REQUEST).findings:
            assert each.message
