"""CopyIgnoredFile: no COPY or ADD of what the ignore file keeps out."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from slimstage.context.patterns import PatternMatcher
from slimstage.dockerfile.gitref import parse_git_ref
from slimstage.dockerfile.instructions import Add, Copy
from slimstage.errors import SlimstageError
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject

_ANY = ("any-name", ".any-name")


def check(subject: Subject) -> Iterator[Finding]:
    matcher = _matcher(subject)
    if matcher is None:
        return
    for view in subject.stages:
        for each in (*view.triggers, *view.instructions):
            if not isinstance(each, Copy | Add) or (isinstance(each, Copy) and each.from_ is not None):
                continue
            verb = "Add" if isinstance(each, Add) else "Copy"
            for source in each.sources:
                path = look_up(source, subject.environment(view, each), subject.dockerfile.escape).text
                if path is None or _is_remote(path):
                    continue
                path = _clean(path)
                if _is_ignored(matcher, path):
                    message = f'Attempting to {verb} file "{path}" that is excluded by {subject.ignore_name}'
                    yield Finding(
                        "CopyIgnoredFile", message, narrow.word(subject, each, source), notes=_notes(matcher, path)
                    )


def _matcher(subject: Subject) -> PatternMatcher | None:
    """None: there is no pattern, or one that takes something back in, after which nothing can be said."""
    try:
        matcher = PatternMatcher(subject.ignore or ())
    except SlimstageError:
        return None
    return matcher if matcher.patterns and not matcher.has_exclusions else None


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path) if path else "."
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _is_remote(path: str) -> bool:
    return path.startswith(("http://", "https://")) or parse_git_ref(path) is not None


def _is_ignored(matcher: PatternMatcher, path: str) -> bool:
    if path in (".", "/"):
        # The context itself is never kept out; what it holds is, when a file of any name is, also one with a dot.
        return all(map(matcher.matches, _ANY))
    return matcher.matches(path)


def _notes(matcher: PatternMatcher, path: str) -> tuple[str, ...]:
    pattern = matcher.deciding(path)
    return (f'{pattern.span} keeps it out: "{pattern}"',) if pattern and pattern.span else ()


RULE = Rule(
    name="CopyIgnoredFile",
    group="buildkit",
    summary="attempting to Copy file that is excluded by .dockerignore",
    why="""\
A file that the ignore file keeps out is not in the build context, so the COPY fails: or, with a wildcard, copies nothing.
Nothing is said where the ignore file has a pattern that begins with `!`, as BuildKit does.
""",
    bad=Example("FROM debian:12\nCOPY Dockerfile .\n", ignore="Dockerfile\n"),
    good=Example("FROM debian:12\nCOPY app.py .\n", ignore="Dockerfile\n"),
    check=check,
    asks_reached=True,
)
