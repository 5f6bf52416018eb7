"""Containers on disk: records, names, whether the runner lives; processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slimstage.container.options import Publish, RunOptions, Volume
from slimstage.container.processes import ProcessId, signal_number, started_at, this_process, wait_ended
from slimstage.container.records import ContainerRecord, Containers, Launch, shown_command
from slimstage.container.stopping import stop_container
from slimstage.errors import SandboxError, StoreError, UsageError
from slimstage.sandbox.spec import Limits
from slimstage.store.store import Store

IMAGE = "sha256:" + "a" * 64


def record(**fields: object) -> ContainerRecord:
    base = ContainerRecord(id="", name="", image="iris", image_id=IMAGE, command=("sh",), created_s=time.time())
    return replace(base, **fields)  # type: ignore[arg-type] # fields by name


LAUNCH = Launch(
    stack=("c" + "0" * 64,),
    options=RunOptions(
        command=("a", "b"),
        volumes=(Volume("/a", "/b", True),),
        publish=(Publish("0.0.0.0", 80, 8080),),
        limits=Limits(memory_bytes=5, ulimits=(("nofile", 1, 2),)),
    ),
)


@pytest.fixture
def containers(tmp_path: Path) -> Containers:
    Store.open(tmp_path / "root").close()
    return Containers(tmp_path / "root")


def test_what_is_written_is_read_back(containers: Containers) -> None:
    made = containers.create(record(name="web", ports=(Publish("::1", 1, 2, "udp"),)), LAUNCH)
    assert containers.get("web") == made
    assert containers.get(made.id) == made
    assert containers.get(made.id[:6]) == made
    assert containers.launch(made.id) == LAUNCH
    assert str(made.ports[0]) == "[::1]:1->2/udp"


def test_no_store_has_no_containers_and_makes_none(tmp_path: Path) -> None:
    assert Containers(tmp_path / "none").list() == []
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_made_up_when_none_is_given_and_taken_once(containers: Containers) -> None:
    first = containers.create(record(), LAUNCH)
    assert first.name
    with pytest.raises(UsageError, match="is taken"):
        containers.create(record(name=first.name), LAUNCH)
    assert len(containers.list()) == 1


@pytest.mark.parametrize("name", ["-x", "a b", "../x", "x" * 64, "ü"])
def test_bad_names_are_refused(name: str, containers: Containers) -> None:
    with pytest.raises(UsageError, match="not a container name"):
        containers.create(record(name=name), LAUNCH)
    assert containers.list() == []


def test_an_unknown_name_has_a_near_one(containers: Containers) -> None:
    containers.create(record(name="webserver"), LAUNCH)
    with pytest.raises(UsageError) as caught:
        containers.get("webservr")
    assert caught.value.hint == 'did you mean "webserver"?'


def test_an_ambiguous_beginning_is_refused(containers: Containers) -> None:
    for name in ("a", "b"):
        containers.create(record(id="ab" + ("0" if name == "a" else "1") * 30, name=name), LAUNCH)
    with pytest.raises(UsageError, match="beginning of 2"):
        containers.get("ab")
    assert containers.get("ab0").name == "a"


def test_they_are_listed_newest_first(containers: Containers) -> None:
    for at, name in ((1.0, "old"), (3.0, "new"), (2.0, "mid")):
        containers.create(record(name=name, created_s=at), LAUNCH)
    assert [c.name for c in containers.list()] == ["new", "mid", "old"]


def test_a_container_whose_runner_is_gone_is_lost(containers: Containers) -> None:
    made = containers.create(record(name="web"), LAUNCH)
    containers.write(replace(made, status="running", runner=this_process(), pid=1))
    assert containers.get("web").status == "running"
    gone = ProcessId(os.getpid(), 1)
    containers.write(replace(made, status="running", runner=gone, pid=1))
    found = containers.get("web")
    assert (found.status, found.pid) == ("lost", None)


def test_a_damaged_record_hides_no_other(containers: Containers) -> None:
    bad = containers.create(record(name="bad"), LAUNCH)
    containers.create(record(name="good"), LAUNCH)
    (Path(containers.directory(bad.id)) / "container.json").write_text("{")
    assert [c.name for c in containers.list()] == ["good"]
    (Path(containers.directory(bad.id)) / "launch.json").write_text('{"stack": 1}')
    with pytest.raises(StoreError, match="cannot be read"):
        containers.launch(bad.id)


def test_removing_is_idempotent(containers: Containers) -> None:
    made = containers.create(record(name="web"), LAUNCH)
    containers.remove(made.id)
    containers.remove(made.id)
    assert containers.find("web") is None


def test_a_process_is_known_by_when_it_started() -> None:
    assert this_process().is_alive()
    assert not replace(this_process(), started=1).is_alive()
    assert not replace(this_process(), boot="another").is_alive()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = started_at(child.pid)
    assert started is not None
    process = ProcessId(child.pid, started)
    descriptor = process.open()
    assert descriptor is not None
    assert not wait_ended(descriptor, 0)
    child.communicate(b"\n")
    assert wait_ended(descriptor, 10)
    os.close(descriptor)
    assert not process.is_alive()
    assert process.open() is None


def test_a_zombie_is_not_alive() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert started_at(child) is None
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("sigint", 2), ("SIGKILL", 9), ("9", 9), ("SIGRTMIN+3", int(signal.SIGRTMIN) + 3), (" QUIT ", 3)],
)
def test_signals_have_names_and_numbers(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "SIGNOPE", "65", "_DFL", "TERM+", "TERM+x"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(SandboxError):
        signal_number(text)


_RUNNER = """
import json, signal, sys, time
def stop(number, frame):
    print(json.dumps(json.load(open(sys.argv[1]))), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop if len(sys.argv) > 1 else signal.SIG_IGN)
print("up", flush=True)
while True:
    signal.pause()
"""


def test_stopping_asks_the_runner_and_says_how(containers: Containers) -> None:
    made = containers.create(record(name="web", stop_signal=2), LAUNCH)
    path = os.path.join(containers.directory(made.id), "stop.json")
    with subprocess.Popen([sys.executable, "-c", _RUNNER, path], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "up\n"
        started = started_at(runner.pid)
        assert started is not None
        running = replace(made, status="running", runner=ProcessId(runner.pid, started))
        containers.write(running)
        stop_container(containers, running, timeout_s=3)
        assert runner.stdout.readline() == '{"signal": 2, "timeout_s": 3}\n'


def test_stopping_what_does_not_run_changes_nothing(containers: Containers) -> None:
    made = containers.create(record(name="web"), LAUNCH)
    assert stop_container(containers, made) == made
    gone = replace(made, status="running", runner=ProcessId(os.getpid(), 1))
    containers.write(gone)
    after = stop_container(containers, gone)
    assert after is not None
    assert after.status == "lost"


def test_commands_are_shown_on_one_line() -> None:
    assert shown_command(("sh", "-c", "a\nb")) == "sh -c 'a b'"
    assert shown_command(("x" * 100,), 10) == "x" * 9 + "…"


def test_one_that_was_made_long_ago_and_never_began_is_lost(containers: Containers) -> None:
    containers.create(record(name="web", created_s=time.time() - 61), LAUNCH)
    assert containers.get("web").status == "lost"


def test_nothing_of_one_that_cannot_be_made_is_seen(containers: Containers, tmp_path: Path) -> None:
    made = containers.create(record(name="web"), LAUNCH)
    with pytest.raises(StoreError, match="exists already"):
        containers.create(record(id=made.id, name="other"), LAUNCH)
    assert os.listdir(os.path.dirname(containers.directory("x"))) == [made.id]
