"""One Dockerfile of `slimstage check` with the rules it is checked by: flags over the settings beside it."""

from __future__ import annotations

import os
from typing import Any, cast

from slimstage.cli.checking import CheckedFile
from slimstage.cli.merging import Merged
from slimstage.cli.settings import Settings
from slimstage.cli.values import one_of
from slimstage.diagnostics import Severity, did_you_mean
from slimstage.errors import UsageError
from slimstage.lint import catalogue
from slimstage.lint.engine import RANK, Checked, check
from slimstage.lint.rule import Rule
from slimstage.values import dataclass, replace

SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Job:
    """A file with what it is checked by. shown, failing: the lowest rank that is shown, and that ends with status 1."""

    file: CheckedFile
    rules: tuple[Rule, ...]
    asked: frozenset[str]
    shown: int
    failing: int
    flags: dict[str, Any]

    @staticmethod
    def of(file: CheckedFile, flags: dict[str, Any]) -> Job:
        merged = Merged(flags, _only_check(file))
        only = {name for names in merged.each("rule", lambda text: rule_names(text, "--rule")) for name in names}
        skip = {name for names in merged.each("skip", lambda text: rule_names(text, "--skip")) for name in names}
        rules = [rule for rule in catalogue.rules() if rule.name not in skip and (not only or rule.name in only)]
        shown = merged.one("severity", lambda text: one_of(text, SEVERITIES, "--severity"), "info")
        fail_on = merged.one("fail-on", lambda text: one_of(text, (*SEVERITIES, "never"), "--fail-on"), "warning")
        failing = len(RANK) if fail_on == "never" else RANK[cast("Severity", fail_on)]
        return Job(file, tuple(rules), frozenset(only), RANK[cast("Severity", shown)], failing, flags)

    def check(self, text: str | None = None) -> Checked:
        """What is found in the file, or in a text that would be in its place."""
        return check(
            self.file.text if text is None else text,
            self.rules,
            self.file.request(self.flags, os.environ),
            name=self.file.name,
            around=self.file.around(),
            asked=self.asked,
            asks_plan=True,
        )


def _only_check(file: CheckedFile) -> Settings:
    """The file's settings with [check] in the place of [build], as `Merged` takes them."""
    return replace(file.settings, build=file.settings.check)


def rule_names(text: str, flag: str) -> list[str]:
    """The rules that a word names: itself, or those of a group; several with commas."""
    found: list[str] = []
    for word in text.split(","):
        known = [*catalogue.names(), *catalogue.NAMES]
        group = catalogue.NAMES.get(cast("Any", word))
        if group is not None:
            found += group
        elif word in known:
            found.append(word)
        else:
            raise UsageError(
                f'{flag}: no rule is called "{word}"',
                code="unknown-rule",
                hint=did_you_mean(word, known) or "see: slimstage check --list",
            )
    return found
