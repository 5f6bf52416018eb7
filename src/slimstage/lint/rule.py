"""A rule as a value: its name, why it is there, an example of each side, and the function that finds it.

A rule's page, its test and its line in `slimstage check --list` are made from this value alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from slimstage.diagnostics import Severity
from slimstage.values import dataclass, field

if TYPE_CHECKING:
    from slimstage.lint.finding import Finding
    from slimstage.lint.subject import Subject

Group: TypeAlias = Literal["buildkit", "stages", "caching", "bytes", "pinning", "ml", "security"]
"""Whose rule it is: BuildKit's own checks under BuildKit's names; then ours, by what they are about."""


@dataclass(frozen=True, slots=True)
class Example:
    """A Dockerfile with as much of its surroundings as the rule looks at.

    files: what the context holds: path → its text, or its size in bytes where the content does not matter; None: the rule
    is asked without a context. ignore: the text of `.dockerignore`. args: as `--build-arg`. images: base images whose config
    is known: name → the platform it is for.
    """

    dockerfile: str
    files: Mapping[str, str | int] | None = None
    ignore: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """name: CamelCase, stable, what people write behind `skip=`. summary: what is wrong, one sentence (lower case, no full
    stop). why: Markdown for its page: what it costs, when it is right all the same, and how to mend it.

    check: every finding of the rule, in any order; it raises nothing. It asks `subject` only for what it needs: a shell is
    parsed, a context walked when a rule asks for it first.
    bad: gives at least one finding of this rule; good: the mended file, which gives none of any rule but
    `buildkit`'s at warning or above. has_fix: the finding of `bad` has a fix, and fixing `bad` leaves none of this rule.
    is_default: False for a rule that is run only when it is named (BuildKit's experimental ones).
    asks_reached: BuildKit runs it where a build goes through, so a build says nothing of stages that it leaves out.
    reads_lines: it looks at one instruction at a time, so what it says of a file with faults is true as well.
    """

    name: str
    group: Group
    severity: Severity = "warning"
    summary: str
    why: str
    bad: Example
    good: Example
    check: Callable[[Subject], Iterable[Finding]]
    has_fix: bool = False
    is_default: bool = True
    reads_lines: bool = False
    asks_reached: bool = False

    @property
    def url(self) -> str:
        """The rule's page: BuildKit's for its own rules; else one of the project, as a path in it."""
        if self.group == "buildkit":
            return f"https://docs.docker.com/go/dockerfile/rule/{kebab(self.name)}/"
        return f"docs/rules/{kebab(self.name)}.md"


def kebab(name: str) -> str:
    """`CamelCase` as `camel-case`; a run of capitals is one word (`JSONArgs` → `json-args`)."""
    words: list[str] = []
    for position, character in enumerate(name):
        after = name[position + 1 : position + 2]
        starts = character.isupper() and (not name[position - 1 : position].isupper() or after.islower())
        if starts or not words:
            words.append("")
        words[-1] += character.lower()
    return "-".join(words)
