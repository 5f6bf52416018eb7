"""ExposeProtoCasing: the protocol of EXPOSE is in lower case."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.exposed import exposed
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for _, expose, port in exposed(subject):
        if port.protocol == port.protocol.lower():
            continue
        node = subject.node(expose)
        word = next((each for each in node.args if each.text == port.text), None) if node else None
        fix = None
        if node is not None and word is not None:
            fix = Fix("write it in lower case", (Edit(node.span_of(word), port.text.lower()),))
        message = f"Defined protocol '{port.text}' in EXPOSE instruction should be lowercase"
        yield Finding("ExposeProtoCasing", message, narrow.word(subject, expose, port.text), fix=fix)


RULE = Rule(
    name="ExposeProtoCasing",
    group="buildkit",
    summary="protocol in EXPOSE instruction should be lowercase",
    why="""\
The image's config has `tcp`, `udp` and `sctp` in lower case, whatever the file says.
""",
    bad=Example("FROM debian:12\nEXPOSE 80/TcP 53/UDP\n"),
    good=Example("FROM debian:12\nEXPOSE 80/tcp 53/udp\n"),
    check=check,
    asks_reached=True,
    has_fix=True,
)
