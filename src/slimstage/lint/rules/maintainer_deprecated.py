"""MaintainerDeprecated: an author is a label."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Maintainer
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject

LABEL = "org.opencontainers.image.authors"


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        for each in view.instructions:
            if isinstance(each, Maintainer):
                yield Finding(
                    "MaintainerDeprecated",
                    "Maintainer instruction is deprecated in favor of using label",
                    narrow.keyword(subject, each),
                    hint=f"write LABEL {LABEL}=…",
                    fix=_fix(subject, each),
                )


def _fix(subject: Subject, maintainer: Maintainer) -> Fix | None:
    span, escape = maintainer.span, subject.dockerfile.escape
    if span.line != span.end_line:
        return None  # comments may stand between its lines
    keyword = maintainer.text.split(None, 1)[0]
    word = "label" if keyword == keyword.lower() else "LABEL"
    quoted = "".join(escape + c if c in ('"', "$", escape) else c for c in maintainer.author)
    return Fix("write it as a label", (Edit(span, f'{word} {LABEL}="{quoted}"'),))


RULE = Rule(
    name="MaintainerDeprecated",
    group="buildkit",
    summary="the MAINTAINER instruction is deprecated, use a label instead to define an image author",
    why="""\
`MAINTAINER` writes one field of the image's config that few tools show. A label can be asked for with `inspect` as any other,
and `org.opencontainers.image.authors` is the one that the OCI image specification names for this.
""",
    bad=Example("FROM debian:12\nMAINTAINER Somebody <somebody@example.org>\n"),
    good=Example('FROM debian:12\nLABEL org.opencontainers.image.authors="Somebody <somebody@example.org>"\n'),
    check=check,
    has_fix=True,
    reads_lines=True,
)
