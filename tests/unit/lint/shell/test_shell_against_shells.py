"""What is read of a text is what real shells run: each command there is a function that writes down its arguments."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.dockerfile.instructions import Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.examples import PLATFORM
from slimstage.lint.reading import Reading
from slimstage.plan.request import PlanRequest

PRELUDE = """
p() { all=; for each in "$@"; do all="$all$each\x1e"; done; printf "%s\x1d" "$all" >&3; }
q() { false; }
"""
"""Arguments end with a record separator, commands with a group separator."""
VARIABLES = {"A": "one", "B": "two words", "C": "", "D": " x  y ", "E": "a*b"}
SHELLS = [name for name in ("dash", "bash") if shutil.which(name)]


def run(shell: str, text: str) -> list[list[str]]:
    """The arguments of each `p` that the shell runs."""
    done = subprocess.run(
        [shell, "-c", f"exec 3>&1 >/dev/null 2>&1; set -f; {PRELUDE}{text}"],
        env={"PATH": "/usr/bin:/bin", **VARIABLES},
        capture_output=True,
        check=False,
        timeout=20,
    )
    groups = done.stdout.decode().split("\035")[:-1]
    return [group.split("\036")[:-1] for group in groups]


def read(shell: str, text: str) -> list[list[str | None]]:
    """The arguments of each certain `p` of the text in a RUN."""
    env = "".join(f'ENV {name}="{value}"\n' for name, value in VARIABLES.items())
    head = 'SHELL ["/bin/bash", "-c"]\n' if shell == "bash" else ""
    subject = Reading(parse(f"FROM base\n{env}{head}RUN <<'THE_END'\n{text}\nTHE_END\n"), PlanRequest(PLATFORM))
    script = next(subject.script(subject.final, each) for each in subject.final.instructions if isinstance(each, Run))
    assert not script.faults
    return [[word.text for word in each.words] for each in script.commands if each.name == "p" and each.is_certain]


TEXTS = [
    "p a b  c",
    "p 'a b' \"c d\" e\\ f g'h'\"i\"j",
    'p $A $B $C $D "$B" "$C" \'$A\'',
    'p x$A x${A}y "x${A}y" ${A:-z} ${Z:-z} ${A:+w} ${C:-e} ${A%e} ${A#o} ${Z:=def}',
    'p "a\\"b\\$c\\\\d\\`e" a\\"b \\$c',
    "p a; p b && : | p d",
    "p a || q; p b",
    "V=1; W=$V$V; p $V $W; V=2 p $V; export X=3; p $X",
    "(V=in; p $V); p ${V:-out}",
    "p a \\\n  b \\\n  'c \\\nd' e\\\nf",
    "p a # comment 'x'\np b#c 'd' # e",
    "{ p a; p b; }; (p c; (p d))",
    "p a > /dev/null b 2>&1 c; p d",
    'p "$(printf x)" y || true; p z',
    "p -- -a --b=c -d'e f' \"--g=$B\" h=$B",
    "! q; p after",
    "if p cond; then :; fi; while p once; do break; done",
    "eval 'p a \"b c\"'; p d",
    'p "a\nb" c',
    "p ''; p \"\" ''x; p",
    "p a&&p b;p c||p never\np d",
    "set -eu; p a\ntest -n x; p b",
    'V=\'a b\'; p $V "$V"; V="$V c"; p $V',
    "unset A; p [${A:-unset}] || true",
    "V=1; V=${V}2; p $V; readonly R=$V; p $R",
    "p ~user ~ a~b '~'",
    "p \\ a \\ \\ b c\\ 'd' \"e\"\\ f",
    "p a=b *.txt ? [a-z] '*' \\*",
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_shell_runs_what_is_read(shell: str, text: str) -> None:
    if "~" in text:
        text = text.replace("~user ~ ", "")  # where a home is, only the machine knows
    wanted = run(shell, text)
    found = read(shell, text)
    assert wanted
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert None in mine or mine == theirs


PARTS = [
    "a",
    "'b c'",
    '"d e"',
    "${A}",
    "${B}",
    "${C}",
    '"${B}"',
    "${A}x",
    '"y$D"',
    "\\ z",
    "'#'",
    '"\'"',
    "w=${B}",
    "${Z:-$A}",
    '\\"',
    "-v",
]
JOINTS = [" && ", "; ", "\n", " | ", " \\\n && ", "\n# note 'x\n"]
words = st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("".join), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, st.sampled_from(JOINTS)), min_size=1, max_size=4), st.booleans())
def test_words_are_those_of_the_shell(commands: list[tuple[list[str], str]], is_nested: bool) -> None:
    text = "".join("p " + " ".join(each) + joint for each, joint in commands) + "p last"
    if is_nested:
        text = f"(\n{text}\n)"
    for shell in SHELLS:
        wanted = sorted(run(shell, text))  # what is piped runs at the same time
        found = sorted([word or "" for word in each] for each in read(shell, text))
        assert found == wanted
