"""Which RUNs install packages: what makes a layer slow to build again, and large to pull again."""

from __future__ import annotations

from slimstage.dockerfile.instructions import Instruction, Run
from slimstage.regex import pattern

_INSTALLS = pattern(
    r"\b(?:pip3?|python3?(?:\.\d+)? -m pip|uv pip|pipenv|pipx)(?: -[\w=-]+)* (?:install|sync|wheel)\b"
    r"|\b(?:uv|poetry|pdm|hatch)(?: -[\w=-]+)* (?:sync|install|add)\b"
    r"|\b(?:apt-get|apt|aptitude)(?: -[\w=:./-]+)* (?:install|upgrade|dist-upgrade|build-dep)\b"
    r"|\bapk(?: -[\w=-]+)* add\b|\b(?:dnf|microdnf|yum|zypper)(?: -[\w=-]+)* install\b"
    r"|\b(?:conda|mamba|micromamba)(?: -[\w=-]+)* (?:install|create|env (?:create|update)|update)\b"
    r"|\b(?:npm|pnpm) (?:ci|install|i)\b|\byarn(?: install)?\b|\bcargo (?:build|install|fetch)\b|\bgo mod download\b"
    r"|\binstall\.packages\("
)


def installs_packages(instruction: Instruction) -> bool:
    """True of a RUN that installs packages from somewhere else, by its text."""
    if not isinstance(instruction, Run):
        return False
    texts = [" ".join(instruction.command.words), *(heredoc.content for heredoc in instruction.heredocs)]
    return any(_INSTALLS.search(text) for text in texts)
