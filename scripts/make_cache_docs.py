"""Makes the tables of docs/caching.md from the cache matrix: `python scripts/make_cache_docs.py [--check]`.

The rows are those that tests/integration/test_cache_matrix.py tries; what BuildKit did is in
tests/support/cache_matrix_buildkit.json (written by scripts/ask_buildkit_cache.py). With --check nothing is written;
status 1 says that the page is not what the matrix says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.cache_matrix import BASE, COLUMNS, EVERY
from support.cache_matrix_rows import ALL_RUNS, ANSWERS, GROUPS, Row

PAGE = Path(__file__).resolve().parent.parent / "docs" / "caching.md"
BEGIN, END = "<!-- made by scripts/make_cache_docs.py -->\n", "<!-- end -->\n"


def tables() -> str:
    """All between the marks."""
    known = json.loads(ANSWERS.read_text(encoding="utf-8"))
    parts = [_legend(), f"BuildKit is the one of dockerd {known['version']}; — is nothing.\n"]
    for title, rows in GROUPS.items():
        parts.append(f"### {title}\n\n| change | runs again | because | BuildKit |\n|---|---|---|---|")
        parts += [_line(row, known["rows"].get(row.name)) for row in rows]
        parts.append("")
    return "\n".join(parts)


def _legend() -> str:
    lines = ["| step | kind |", "|---|---|"]
    lines += [f"| `{column.name}` | {column.label} |" for column in COLUMNS]
    return "\n".join(lines) + "\n"


def _line(row: Row, answer: list[str] | None) -> str:
    causes = list(dict.fromkeys(row.why.values()))
    cells = (row.name, _steps(row.runs), ", ".join(causes) or ("" if row.runs else "—"), _buildkit(row, answer))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _buildkit(row: Row, answer: list[str] | None) -> str:
    if answer is None:
        return "was not asked"
    runs = row.runs - {BASE}
    more, less = set(answer) - runs, runs - set(answer)
    parts = [f"also {_steps(frozenset(more))}"] if more else []
    parts += [f"not {_steps(frozenset(less))}"] if less else []
    return ("; ".join(parts) or "the same") + (f": {row.note}" if row.note else "")


def _steps(names: frozenset[str]) -> str:
    if names - {BASE} == EVERY:
        return "everything"
    if len(names) > len(EVERY) * 3 // 4:
        left = ", ".join(f"`{column.name}`" for column in COLUMNS if column.name not in names)
        return f"everything but {left}"
    if names == ALL_RUNS:
        return "every RUN, and `workdir` and `file`, which stand on one"
    return ", ".join(f"`{column.name}`" for column in COLUMNS if column.name in names) or "—"


def page(text: str) -> str:
    """The page with fresh tables."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{tables()}\n{END}{tail}"


def main(arguments: list[str]) -> int:
    text = PAGE.read_text(encoding="utf-8")
    made = page(text)
    if arguments == ["--check"]:
        print("docs/caching.md is fresh" if made == text else "docs/caching.md is not: run scripts/make_cache_docs.py")
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
