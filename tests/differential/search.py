"""The search: cases are generated and built by both, for so many minutes; a difference is shrunk, saved, and passed over since.

    python -m differential.search [--minutes 30] [--seed N] [--save DIR]

Each difference has a kind (the part of the image and the words of the sentence that are no names); one of each kind is
shrunk within a bounded number of builds. What is saved is a golden case: `python -m differential.record DIR` takes it in.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from differential.cases import cases
from support.buildkit import Bases, Builder, BuildKit, Slimstage, short_home
from support.buildkit_case import Case, write_json
from support.buildkit_observe import Observed, differences

SHRINK_BUILDS = 40
BATCH = 400
SLOW_S = 15
NEWER_FLAGS = {
    "exclude": "COPY --exclude=x Dockerfile /",
    "parents": "COPY --parents Dockerfile /",
    "unpack": "ADD --unpack=true Dockerfile /",
}


class Different(Exception):
    """Both built it, and it is not the same."""


class Enough(BaseException):
    """So many builds went into shrinking. Not an Exception: the shrinker would go on for minutes without a build."""


class Ended(BaseException):
    """A signal came. Neither an Exception nor SystemExit: hypothesis takes those for a fault of the case, and goes on."""


def kind_of(sentence: str) -> str:
    """The sentence without names, numbers and digests: two of one kind have probably one cause."""
    part, _, rest = sentence.partition(": ")
    words = re.findall(r"nothing|gone|succeeds|fails|@now|@\d+|[a-z.]+=|-> ", rest)
    if part == "status":  # why one of them failed: two causes are not one kind
        return f"{part} " + re.sub(r"\"[^\"]*\"|'[^']*'|\S*[/\d=$]\S*|[a-z0-9]{25}", "…", rest)[:160]
    key = rest.split(":")[0] if part == "config" else ""
    return f"{part} {key} " + " ".join(
        "@time" if word.startswith("@") and word != "@now" else word for word in words[:6]
    )


@dataclass
class Search:
    """The two builders, and what was found."""

    home: Path
    builders: tuple[Builder, Builder]
    started: float
    deadline: float
    save: Path
    flags: frozenset[str] = frozenset()
    next_line: float = field(default_factory=lambda: time.monotonic() + 60)
    count: int = 0
    built: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Why BuildKit did not build, to see what the grammar misses."""
    known: set[str] = field(default_factory=set)
    shrinking: str = ""
    left: int = 0
    results: dict[str, list[str]] = field(default_factory=dict)
    smallest: tuple[Case, Observed, Observed, list[str]] | None = None
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))

    def both(self, case: Case) -> tuple[Observed, Observed]:
        """What each made of it."""
        self.count += 1
        if time.monotonic() > self.next_line:
            self.say()
        place = self.home / "case"
        shutil.rmtree(place, ignore_errors=True)
        case.lay_out(place)
        # Cache mounts outlive a build: those of this one are its own.
        own = ("--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={self.count}")
        began = time.monotonic()
        there, here = self.pool.map(lambda builder: builder.build(case, place, *own), self.builders)
        if (took := time.monotonic() - began) > SLOW_S:
            print(f"---- took {took:.0f} s\n{case.dockerfile}----", flush=True)
        if self.count % 150 == 0:
            for builder in self.builders:
                builder.forget()
        return there, here

    def say(self) -> None:
        """A line of progress."""
        self.next_line = time.monotonic() + 60
        spent = (time.monotonic() - self.started) / 60
        print(f"{spent:.1f} min: {self.count} cases, {self.count / spent:.0f} a minute, "
              f"{self.built} built, {len(self.known)} differences", flush=True)  # fmt: skip

    def check(self, case: Case) -> None:
        """Raises Different for a difference that is not known; while one is shrunk, only for its like."""
        key = repr(case)
        if key not in self.results:
            if self.shrinking and (self.left <= 0 or time.monotonic() > self.deadline):
                raise Enough
            if time.monotonic() > self.deadline:
                return
            there, here = self.both(case)
            self.built += bool(there["ok"])
            if not there["ok"]:
                self.refused[re.sub(r'".*?"|\d+|[a-z0-9]{25}', "…", there["message"])[:110]] += 1
            self.left -= 1
            found = [each for each in differences(there, here) if kind_of(each) not in self.known]
            if self.shrinking:
                found = [each for each in found if kind_of(each) == self.shrinking]
            self.results[key] = found
            if found:
                self._begin(kind_of(found[0]))
                self.smallest = (case, there, here, differences(there, here))
        if self.results[key]:
            raise Different("\n".join(self.results[key]))

    def _begin(self, kind: str) -> None:
        if not self.shrinking:
            self.shrinking, self.left = kind, SHRINK_BUILDS

    def report(self) -> Path:
        """Saves the smallest case of the difference that was shrunk, says it, and knows it from now on."""
        assert self.smallest is not None
        case, there, here, found = self.smallest
        number = len(list(self.save.iterdir())) if self.save.exists() else 0
        folder = self.save / f"found-{number:03}"
        case.save(folder)
        write_json(folder / "expected.json", there)
        write_json(folder / "slimstage.json", here)
        (folder / "differences.txt").write_text("\n".join(found) + "\n")
        print(
            f"\n==== difference, kind {self.shrinking!r}, saved in {folder}",
            *found[:12],
            "---- Dockerfile",
            case.dockerfile,
            sep="\n",
        )
        for name, entries in {"": case.context, **case.contexts}.items():
            for entry in entries:
                print("  ", name, entry.plain())
        print("   args", case.args, "target", case.target, "words", case.words, flush=True)
        self.known.add(self.shrinking)
        self.shrinking, self.smallest, self.results = "", None, {}
        return folder


def known_flags(search: Search) -> frozenset[str]:
    """Of the newer flags, those that this BuildKit builds with."""
    found = set()
    for name, line in NEWER_FLAGS.items():
        there, _ = search.both(Case(f"FROM scratch\n{line}\n"))
        if there["ok"]:
            found.add(name)
    return frozenset(found)


def batch(search: Search, number: int) -> None:
    """Generates and checks so many cases; a difference ends the batch, shrunk."""

    @seed(number)
    @settings(
        max_examples=BATCH, deadline=None, database=None, verbosity=Verbosity.quiet, report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases(search.flags))
    def each(case: Case) -> None:
        search.check(case)

    try:
        each()
    except (Different, Enough):
        search.report()


def end_by_signals() -> None:
    """SIGTERM and SIGINT raise Ended from now on, the first of them: what is closed then is closed in peace.

    Also SIGINT, which a shell's background command is born ignoring.
    """
    signals = (signal.SIGTERM, signal.SIGINT)

    def end(*_: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise Ended

    for each in signals:
        signal.signal(each, end)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--save", type=Path, default=Path(".differential"))
    arguments = parser.parse_args()
    end_by_signals()
    home, is_ended = short_home(), False
    started = time.monotonic()
    try:
        bases = Bases(home)
        buildkit = BuildKit(home, bases)
        search = Search(
            home, (buildkit, Slimstage(home, bases)), started, started + arguments.minutes * 60, arguments.save
        )
        try:
            search.flags = known_flags(search)
            print(
                f"BuildKit of dockerd {buildkit.version}, flags {sorted(search.flags)}, seed {arguments.seed}",
                flush=True,
            )
            try:
                for number in count(arguments.seed):
                    batch(search, number)
                    if time.monotonic() > search.deadline:
                        break
            except Ended:
                is_ended = True
                if search.smallest is not None:  # shrunk as far as it came
                    search.report()
            search.say()
            for why, times in search.refused.most_common(40):
                print(f"  {times:4} refused by both: {why}")
        finally:
            buildkit.close()
            # The builds of the last case: BuildKit's ends with its daemon, ours is waited for.
            search.pool.shutdown()
    except Ended:
        is_ended = True
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 143 if is_ended else 1 if search.known else 0


if __name__ == "__main__":
    sys.exit(main())
