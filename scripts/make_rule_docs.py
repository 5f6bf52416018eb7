"""Makes docs/rules/ from the rules themselves: `python scripts/make_rule_docs.py [--check]`.

With --check nothing is written; status 1 says that a page is not what its rule says, or has no rule.
"""

from __future__ import annotations

import sys
from pathlib import Path

from slimstage.lint import catalogue
from slimstage.lint.pages import GROUPS, page
from slimstage.lint.rule import Rule, kebab

PLACE = Path(__file__).resolve().parent.parent / "docs" / "rules"

_HEAD = """\
# The rules of `slimstage check`

Made from the rules themselves by `scripts/make_rule_docs.py`; a test holds it fresh. How to use them is in
[check.md](../check.md). A rule is skipped with `# slimstage: skip=NAME reason` above an instruction, with `--skip NAME`, or
in the section `[check]` of `slimstage.toml`.
"""


def pages() -> dict[str, str]:
    """All pages, as they should be: file name → text."""
    found = {f"{kebab(rule.name)}.md": page(rule) for rule in catalogue.rules()}
    return {"README.md": index(), **found}


def index() -> str:
    """All rules in their groups."""
    parts = [_HEAD]
    for group, names in catalogue.NAMES.items():
        if names:
            rows = "\n".join(_row(catalogue.rule(name)) for name in names)
            parts.append(f"## {GROUPS[group]}\n\n`--rule {group}` runs these alone.\n\n{_TABLE}{rows}\n")
    return "\n".join(parts)


_TABLE = "| rule | severity | `--fix` | what is wrong |\n|---|---|---|---|\n"


def _row(rule: Rule) -> str:
    severity = rule.severity if rule.is_default else "off"
    summary = rule.summary.replace("|", "\\|")
    return f"| [{rule.name}]({kebab(rule.name)}.md) | {severity} | {'yes' if rule.has_fix else ''} | {summary} |"


def stale() -> list[str]:
    """The names of pages that are missing, not what their rule says, or without a rule."""
    made = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in PLACE.glob("*.md")}
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        old = stale()
        print(f"not fresh: {', '.join(old)}: run scripts/make_rule_docs.py" if old else "docs/rules is fresh")
        return int(bool(old))
    PLACE.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in PLACE.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (PLACE / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
