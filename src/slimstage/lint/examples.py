"""An `Example` of a rule → what a check of it finds. Pages and tests show a rule by it."""

from __future__ import annotations

from collections.abc import Iterable

from slimstage.context.patterns import read_ignore_file
from slimstage.lint.context_view import GivenContext
from slimstage.lint.engine import Checked, Surroundings, check
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import ImageFacts
from slimstage.oci.descriptor import Platform, parse_platform
from slimstage.plan.request import PlanRequest

PLATFORM = Platform("linux", "amd64")
"""What examples are checked for."""


def check_example(example: Example, rules: Iterable[Rule], text: str | None = None) -> Checked:
    """What the rules find in the example, experimental ones too. text: in place of its Dockerfile."""
    chosen = tuple(rules)
    ignore = None if example.ignore is None else read_ignore_file(example.ignore)
    context = None if example.files is None else GivenContext(example.files, ignore)
    request = PlanRequest(PLATFORM, build_args=example.args)
    return check(
        example.dockerfile if text is None else text,
        chosen,
        request,
        around=Surroundings(ignore, context=context, facts=lambda name: _facts(example, name)),
        asked=frozenset(rule.name for rule in chosen),
    )


def _facts(example: Example, name: str) -> ImageFacts | None:
    platform = example.images.get(name)
    return ImageFacts(parse_platform(platform), {}) if platform else None
