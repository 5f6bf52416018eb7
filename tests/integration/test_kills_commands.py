"""Every command that writes is killed at any moment, and before each kind of change that it makes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.container.records import Containers
from support.fake_registry import fake_registry
from support.killed_store import CASES, PULLED, Case, Template, make_template
from support.killing import HEALERS, Commands, Healer, Kills, assert_sound, calls_of, hidden, rounds
from support.rootfs import needs_sandbox

pytestmark = [*needs_sandbox, pytest.mark.slow]

EACH = {"rename": 5, "renameat2": 2, "fsync": 2, "fdatasync": 2, "link": 2, "linkat": 2, "unlink": 2, "unlinkat": 2,
        "mkdir": 1, "rmdir": 1, "pwrite64": 2, "ftruncate": 1, "fchmod": 1}  # fmt: skip
"""How many moments of each kind of system call, spread over all of them; SLIMSTAGE_TEST_KILLS makes it more."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("commands")) as found:
        yield found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, busybox: Path, commands: Commands) -> Iterator[Template]:
    with fake_registry() as registry:
        registry.add(PULLED)
        yield make_template(tmp_path_factory.mktemp("template"), busybox, commands, registry.host)


class Trial:
    """One case on a copy of the store, over and over."""

    def __init__(self, case: Case, template: Template, kills: Kills, top: Path) -> None:
        self.case, self.template, self.kills, self.root = case, template, kills, top / "root"
        self._top, self._number = top, 0
        self.out = top

    def begin(self) -> list[object]:
        """A new copy and a new place for outputs; the arguments."""
        self._number += 1
        self.out = self._top / f"out{self._number}"
        self.out.mkdir()
        self.case.prepare(self.template, self.root, self.out)
        return list(self.case.args(self.template, self.out))

    def judge(self, status: int, heal: Healer | None) -> None:
        """What holds after a kill, and once more after the command was run again undisturbed."""
        if not self.root.exists():
            return
        assert_sound(self.root, heal=heal)
        if heal is not None:
            assert hidden(self.out) == [], "half an output is left"
            assert [name for path in self.out.iterdir() if path.is_dir() for name in hidden(path)] == []
            self.case.check(self.template, self.root, self.out, status == 0)
        if self._number % 4 == 0:
            self._again()

    def _again(self) -> None:
        commands = self.kills.commands
        if self.case is not CASES["rmi"] and self.case is not CASES["rm"]:
            commands.run(
                *self.case.args(self.template, self.out), root=self.root, cwd=self.template.project.path, status=0
            )
            self.case.check(self.template, self.root, self.out, True)
        # Whatever was killed in the middle counts as ended a minute later.
        for each in (self.root / "containers").iterdir():
            os.utime(each, (time.time() - 61,) * 2)
        commands.run("prune", "--all", "--containers", root=self.root, cwd=self._top, status=0)
        assert [name for name in os.listdir(self.root / "containers") if name.startswith(".")] == []
        assert {record.status for record in Containers(self.root).list()} <= {"created"}
        assert_sound(self.root)


@pytest.mark.parametrize("name", CASES)
def test_killed_at_any_moment(tmp_path: Path, name: str, template: Template, commands: Commands) -> None:
    kills = Kills.of(commands, name)
    trial = Trial(CASES[name], template, kills, tmp_path)
    cwd = template.project.path
    reach_s = commands.run(*trial.begin(), root=trial.root, cwd=cwd, status=0).took_s
    trial.case.check(template, trial.root, trial.out, True)
    for number in rounds(8):
        ended = kills.at_random(
            *trial.begin(), root=trial.root, cwd=cwd, within_s=reach_s, whom=("main", "all")[number % 2]
        )
        assert ended.was_killed or ended.status == 0, ended.err
        if not ended.was_hit:
            reach_s = ended.took_s * 0.9
        trial.judge(ended.status, HEALERS[number % len(HEALERS)])
    kills.were_worth_it()


@pytest.mark.parametrize(
    "name", ["save into a layout", "save docker", "export", "load docker", "prune", "rmi", "run", "rm"]
)
def test_killed_before_each_kind_of_change(tmp_path: Path, name: str, template: Template, commands: Commands) -> None:
    kills = Kills.of(commands, name)
    trial = Trial(CASES[name], template, kills, tmp_path)
    cwd = template.project.path
    counts = calls_of(commands, *trial.begin(), root=trial.root, cwd=cwd, log=tmp_path / "log")
    points = [
        (call, number) for call, most in EACH.items() for number in spread(counts.get(call, 0), len(rounds(most)))
    ]
    assert points
    for at, (call, number) in enumerate(points):
        ended = kills.at_call(*trial.begin(), root=trial.root, cwd=cwd, call=call, number=number)
        trial.judge(ended.status, HEALERS[at % 3])
    kills.were_worth_it()


def spread(count: int, most: int) -> list[int]:
    """At most so many of 1 to `count`, the last among them."""
    return sorted({count - each * count // most for each in range(most)} - {0}) if count else []
