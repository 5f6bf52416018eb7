"""ExposeInvalidFormat: EXPOSE has no IP address and no port of the host."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.exposed import exposed
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for _, expose, port in exposed(subject):
        if not port.host.strip(":"):
            continue
        node = subject.node(expose)
        word = next((each for each in node.args if each.text == port.text), None) if node else None
        fix = None
        if node is not None and word is not None:
            fix = Fix("keep the container's port only", (Edit(node.span_of(word), port.text.rpartition(":")[2]),))
        message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port.text}'"
        yield Finding("ExposeInvalidFormat", message, narrow.word(subject, expose, port.text), fix=fix)


RULE = Rule(
    name="ExposeInvalidFormat",
    group="buildkit",
    summary="IP address and host-port mapping should not be used in EXPOSE instruction; this will become an error in a future \
release",
    why="""\
EXPOSE says which ports the program in the container listens on. Addresses and ports of the host are chosen when a container is
started (`run -p 8080:80`); in EXPOSE they are dropped.
""",
    bad=Example("FROM debian:12\nEXPOSE 127.0.0.1:8080:80 5000:5000/udp\n"),
    good=Example("FROM debian:12\nEXPOSE 80 5000/udp\n"),
    check=check,
    asks_reached=True,
    has_fix=True,
)
