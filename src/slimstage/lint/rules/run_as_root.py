"""A program of the image runs as root, because nobody says otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint, User
from slimstage.lint.finding import Finding
from slimstage.lint.image_runs import is_root, user_at
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.workplace import is_workplace


def check(subject: Subject) -> Iterator[Finding]:
    final = subject.final
    if is_workplace(subject, final) or not is_root(user_at(subject, final)):
        return
    instructions = [each for view in final.chain() for each in reversed(view.instructions)]
    texts = " ".join(each.text for each in instructions if isinstance(each, Cmd | Entrypoint))
    if any(word in texts for word in ("gosu", "su-exec", "setpriv", "runuser", "entrypoint", "s6-", "/init")):
        return  # it starts as root to become somebody else
    user = next((each for each in instructions if isinstance(each, User)), None)
    start = next(each for each in instructions if isinstance(each, Cmd | Entrypoint))
    yield Finding(
        RULE.name,
        "the image's program runs as root",
        user.span if user is not None else start.span,
        hint="put USER 10001 in front of it; a number needs no entry in /etc/passwd",
    )


RULE = Rule(
    name="RunAsRoot",
    group="security",
    severity="info",
    summary="the image's program runs as root",
    why="""\
Root in a container is root to everything that is mounted into it, and to a kernel with a fault. A service that answers requests
needs no such rights: files that it only reads may belong to root.

Advice, because some programs do need it. Silent for base images of which nobody knows here whom they run as, for images to work
in, and where the program that is started looks as if it became another user itself.
""",
    bad=Example('FROM python:3.12-slim\nCOPY serve.py .\nCMD ["python", "serve.py"]\n'),
    good=Example('FROM python:3.12-slim\nCOPY serve.py .\nUSER 10001\nCMD ["python", "serve.py"]\n'),
    check=check,
)
