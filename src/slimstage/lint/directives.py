"""Which findings the file's own comments silence.

`# check=…` at the top and above an instruction, as BuildKit reads it; `# slimstage: skip=RULE reason` in the same places.
Source: BuildKit frontend/dockerfile/linter/linter.go (ParseLintOptions, WithMergedConfigFromComments).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.diagnostics import Diagnostic, Span
from slimstage.dockerfile.instructions import Dockerfile, Instruction
from slimstage.errors import UsageError
from slimstage.lint.finding import Finding
from slimstage.regex import pattern
from slimstage.values import dataclass

_CHECK = pattern(r"check[\t\n\f\r ]*=(.+)")
_OURS = pattern(r"slimstage:[\t ]*skip[\t ]*=[\t ]*([A-Za-z0-9]+(?:[\t ]*,[\t ]*[A-Za-z0-9]+)*)")
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
ALL = "all"


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What a `check=` says. skip, experimental: names of rules, or `all`. is_error: findings make a build fail."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def skips(self, rule: str) -> bool:
        return rule in self.skip or ALL in self.skip

    def enables(self, rule: str) -> bool:
        """True of an experimental rule that is asked for."""
        return rule in self.experimental or ALL in self.experimental


NO_OPTIONS = CheckOptions()


def parse_check_options(text: str) -> CheckOptions:
    """`skip=A,B;error=true;experimental=all`: each at most once, in any order. Raises ValueError with a sentence."""
    skip = experimental = frozenset[str]()
    is_error = False
    for part in text.strip().split(";", 2) if text.strip() else ():
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        names = frozenset(name.strip() for name in value.split(","))
        if equals and key == "skip":
            skip = names
        elif equals and key == "experimental":
            experimental = names
        elif equals and key == "error" and value in _TRUE | _FALSE:
            is_error = value in _TRUE
        else:
            raise ValueError(f'"{part.strip()[:80]}" is no option of check: skip=…, error=true and experimental=… are')
    return CheckOptions(skip, experimental, is_error)


class Silence:
    """What is silenced where."""

    def __init__(self, dockerfile: Dockerfile, given: str | None = None) -> None:
        """given: BUILDKIT_DOCKERFILE_CHECK, which stands in for the file's own directive.

        Raises: nothing; a directive that cannot be read is in `faults`.
        """
        self.faults: list[Diagnostic] = []
        self.whole = NO_OPTIONS
        self._read_whole(dockerfile, given)
        self._ours = frozenset(_top_skips(dockerfile))
        self._local: list[tuple[Span, CheckOptions]] = []
        for instruction in _instructions(dockerfile):
            if instruction.comments and (options := _local(instruction)):
                self._local.append((instruction.span, options))

    def _read_whole(self, dockerfile: Dockerfile, given: str | None) -> None:
        if given is not None:
            try:
                self.whole = parse_check_options(given)
            except ValueError as error:
                raise UsageError(f"BUILDKIT_DOCKERFILE_CHECK: {error}", code="bad-check-options") from None
            return
        for name, value, span in dockerfile.directives:
            if name == "check":
                try:
                    self.whole = parse_check_options(value)
                except ValueError as error:
                    self.faults.append(Diagnostic("bad-check-options", str(error), span))

    def hides(self, finding: Finding, *, is_default: bool = True) -> bool:
        """True when a comment silences the finding. is_default: False for a rule that has to be asked for."""
        rule = finding.rule
        here = [
            options
            for span, options in self._local
            if _holds(span, finding.span) or (finding.cause is not None and _holds(span, finding.cause))
        ]
        if not is_default:
            # BuildKit skips its experimental rules by not asking for them only.
            if not (self.whole.enables(rule) or any(options.enables(rule) for options in here)):
                return True
            return rule in self._ours or any(rule in options.skip for options in here)
        return self.whole.skips(rule) or rule in self._ours or any(options.skips(rule) for options in here)


def _instructions(dockerfile: Dockerfile) -> Iterator[Instruction]:
    yield from dockerfile.global_args
    for stage in dockerfile.stages:
        yield stage.from_
        yield from stage.instructions


def _local(instruction: Instruction) -> CheckOptions | None:
    """Of an instruction's comments: BuildKit looks at the first `check=` alone, and passes over one that is wrong."""
    found: CheckOptions | None = None
    for comment in instruction.comments:
        check = _CHECK.match(comment)
        if check:
            try:
                found = parse_check_options(check.group(1).strip().partition(" ")[0])
            except ValueError:
                pass
            break
    ours = {name for comment in instruction.comments for name in _skips(comment)}
    if not ours:
        return found
    return CheckOptions((found or NO_OPTIONS).skip | ours, (found or NO_OPTIONS).experimental)


def _skips(comment: str) -> list[str]:
    found = _OURS.match(comment)
    return [name.strip() for name in found.group(1).split(",")] if found else []


def _top_skips(dockerfile: Dockerfile) -> Iterator[str]:
    """Of comments at the file's top that an empty line or comment separates from the first instruction."""
    lines = dockerfile.source.text.split("\n")
    block: list[str] = []
    for line in lines:
        text = line.strip()
        if not text.startswith("#") or text == "#":
            if text and text != "#":
                return  # an instruction follows at once: the block is its own
            for comment in block:
                yield from _skips(comment)
            block.clear()
        else:
            block.append(text[1:].strip())


def _holds(outer: Span, inner: Span) -> bool:
    return outer.line <= inner.line <= outer.end_line
