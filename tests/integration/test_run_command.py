"""`slimstage run`, `ps`, `logs`, `stop`, `rm` on an image that is put into a store by hand: no build, no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slimstage.digest import digest_bytes
from slimstage.oci.config import ImageConfig, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor, host_platform
from slimstage.oci.manifest import build_manifest
from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.store import Store
from support import forking
from support.rootfs import make_rootfs, needs_sandbox

pytestmark = needs_sandbox

Slimstage = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with the image "box": busybox, a user, a directory, an environment."""
    path = tmp_path / "root"
    with Store.open(path) as store:
        draft = store.snapshots.draft()
        rootfs = make_rootfs(tmp_path / "rootfs")
        shutil.copytree(rootfs, draft.path, symlinks=True, dirs_exist_ok=True)
        os.chmod(draft.path, 0o755)
        Path(draft.path, "etc/group").write_text("root:x:0:\nuser:x:1000:\nextra:x:50:user\n")
        Path(draft.path, "link").symlink_to("made")
        layer = store.snapshots.freeze(draft)
        diff_id = digest_bytes(b"the tar that nobody asks for")
        config = ImageConfig(
            host_platform().architecture,
            "linux",
            env=("PATH=/bin", "GREETING=hello"),
            cmd=("sh", "-c", "echo $GREETING; echo problem >&2"),
            diff_ids=(diff_id,),
        )
        data = to_json(config)
        config_digest, size = store.blobs.put(data)
        manifest = build_manifest(Descriptor(OCI_CONFIG, config_digest, size), [Descriptor(OCI_LAYER, diff_id, 5)])
        store.blobs.put(manifest.raw)
        layers = (ImageLayer(diff_id, 5, None, layer, "box"),)
        image = StoredImage(config_digest, manifest.digest, host_platform(), layers, time.time())
        store.images.put(image, ["box"])
    return path


@pytest.fixture
def slimstage(root: Path) -> Iterator[Slimstage]:
    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        given = more.pop("input", "").encode()
        return forking.as_text(forking.run(["--root", root, *arguments], input=given, timeout=60, **more))

    yield run
    for container in json.loads(run("ps", "-a", "--json").stdout):
        run("rm", "-f", container["id"])


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_the_images_own_command_runs_with_its_environment_and_streams_stay_apart(slimstage: Slimstage) -> None:
    done = slimstage("run", "--rm", "box")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "problem\n")
    assert json.loads(ok(slimstage("ps", "-a", "--json"))) == []


@pytest.mark.parametrize(
    ("command", "status"), [(["sh", "-c", "exit 7"], 7), (["nonesuch"], 127), (["/etc/passwd"], 126),
                            (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137)],
)  # fmt: skip
def test_the_exit_status_is_the_commands_own(command: list[str], status: int, slimstage: Slimstage) -> None:
    assert slimstage("run", "--rm", "box", *command).returncode == status


def test_options_of_run_reach_the_command(slimstage: Slimstage, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("from the host\n")
    script = "echo $A $GREETING $HOME; id -u; id -g; id -G; pwd; hostname; cat /data/file; touch /data/x || echo no"
    done = slimstage(
        "run", "--rm", "-e", "A=1", "-e", "GREETING=bye", "-u", "user", "-w", "/made/here", "--hostname", "web",
        "-v", f"{tmp_path}/data:/data:ro", "--entrypoint", "sh", "box", "-c", script,
    )  # fmt: skip
    assert ok(done).splitlines() == [
        "1 bye /home", "1000", "1000", "1000 50", "/made/here", "web", "from the host", "no",
    ]  # fmt: skip


def test_a_working_directory_behind_a_dangling_link_is_made_inside(slimstage: Slimstage) -> None:
    assert ok(slimstage("run", "--rm", "-w", "/link/deep", "box", "pwd", "-P")) == "/made/deep\n"


def test_writes_stay_in_the_container_and_the_image_does_not_change(slimstage: Slimstage, root: Path) -> None:
    ok(slimstage("run", "--name", "one", "box", "sh", "-c", "echo x > /etc/passwd; rm /link"))
    assert ok(slimstage("run", "--rm", "box", "sh", "-c", "wc -l < /etc/passwd; readlink /link")).split() == [
        "2",
        "made",
    ]
    (container,) = json.loads(ok(slimstage("ps", "-a", "--json")))
    assert (container["status"], container["exit_status"], container["name"]) == ("exited", 0, "one")
    ok(slimstage("rm", "one"))
    assert os.listdir(root / "containers") == []


def test_a_read_only_container_cannot_write(slimstage: Slimstage) -> None:
    done = slimstage("run", "--rm", "--read-only", "--tmpfs", "/tmp", "box", "sh", "-c", "touch /tmp/a && touch /b")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_no_network_means_only_loopback(slimstage: Slimstage) -> None:
    out = ok(slimstage("run", "--rm", "--network=none", "box", "sh", "-c", "grep -c : /proc/net/dev"))
    assert out.strip() == "1"


def test_stdin_is_passed_on_only_when_asked(slimstage: Slimstage) -> None:
    assert ok(slimstage("run", "--rm", "-i", "box", "cat", input="typed\n")) == "typed\n"
    assert ok(slimstage("run", "--rm", "box", "cat", input="typed\n")) == ""


def test_a_large_output_arrives_whole(slimstage: Slimstage) -> None:
    out = ok(slimstage("run", "--rm", "box", "sh", "-c", "dd if=/dev/zero bs=1k count=3000 2>/dev/null | tr '\\0' x"))
    assert len(out) == 3_072_000


def test_a_detached_container_outlives_its_command_and_stops_when_asked(slimstage: Slimstage, root: Path) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    identity = ok(slimstage("run", "-d", "--name", "web", "box", "sh", "-c", script)).strip()
    assert len(identity) == 32
    (container,) = json.loads(ok(slimstage("ps", "--json")))
    assert (container["id"], container["status"], container["is_detached"]) == (identity, "running", True)
    assert "web" in ok(slimstage("ps"))
    wait_for(lambda: ok(slimstage("logs", "web")) == "up\n")
    with Store.open(root) as store:
        prune(store, all_=True)
    assert ok(slimstage("stop", "web")) == "web\n"
    assert ok(slimstage("ps", "--json")) == "[]\n"
    (container,) = json.loads(ok(slimstage("ps", "-a", "--json")))
    assert (container["status"], container["exit_status"], container["pid"]) == ("exited", 3, None)
    assert ok(slimstage("logs", "web")) == "up\nbye\n"
    assert ok(slimstage("logs", "--tail", "1", identity[:8])) == "bye\n"
    assert json.loads(ok(slimstage("logs", "--json", "--tail", "1", "web")))["text"] == "bye\n"
    with Store.open(root) as store:
        assert examine(store) == []


def test_what_does_not_end_when_asked_is_killed(slimstage: Slimstage) -> None:
    ok(slimstage("run", "-d", "--name", "deaf", "box", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"))
    wait_for(lambda: ok(slimstage("logs", "deaf")) == "up\n")
    (stopped,) = json.loads(ok(slimstage("stop", "-t", "0", "--json", "deaf")))
    assert stopped["exit_status"] == 137


def test_following_logs_ends_with_the_container(slimstage: Slimstage) -> None:
    ok(slimstage("run", "-d", "--name", "short", "box", "sh", "-c", "echo a; sleep 1; echo b; echo c >&2"))
    done = slimstage("logs", "-f", "short")
    assert (ok(done), done.stderr) == ("a\nb\n", "c\n")


def test_a_detached_container_that_removes_itself_is_gone_when_it_ends(slimstage: Slimstage, root: Path) -> None:
    ok(slimstage("run", "-d", "--rm", "box", "true"))
    wait_for(lambda: os.listdir(root / "containers") == [])


def test_a_detached_container_that_cannot_start_says_why(slimstage: Slimstage) -> None:
    done = slimstage("run", "-d", "-u", "nobody-here", "box", "true")
    assert done.returncode != 0
    assert 'no user "nobody-here"' in done.stderr
    assert done.stdout == ""


def test_a_container_whose_runner_was_killed_is_lost_and_can_be_removed(slimstage: Slimstage) -> None:
    ok(slimstage("run", "-d", "--name", "web", "box", "sleep", "1000"))
    (container,) = json.loads(ok(slimstage("ps", "--json")))
    os.kill(container["runner"]["pid"], signal.SIGKILL)
    wait_for(lambda: json.loads(ok(slimstage("ps", "-a", "--json")))[0]["status"] == "lost")
    wait_for(lambda: not os.path.exists(f"/proc/{container['pid']}"))
    ok(slimstage("rm", "web"))


def test_a_running_container_is_removed_only_by_force(slimstage: Slimstage) -> None:
    ok(slimstage("run", "-d", "--name", "web", "box", "sleep", "1000"))
    done = slimstage("rm", "web")
    assert done.returncode == 2
    assert "is running" in done.stderr
    assert ok(slimstage("rm", "-f", "web")) == "removed container web\n"


def test_an_image_that_a_container_came_from_is_removed_only_by_force(slimstage: Slimstage) -> None:
    ok(slimstage("run", "--name", "web", "box", "true"))
    assert slimstage("rmi", "box").returncode == 2
    ok(slimstage("rm", "web"))
    assert ok(slimstage("rmi", "box")) == "removed image box:latest\n"


def test_ctrl_c_reaches_the_command(root: Path) -> None:
    script = "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.1; done"
    command = [sys.executable, "-m", "slimstage", "--root", str(root), "run", "--rm", "box", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == "caught\n"
        assert child.wait(20) == 5
    assert os.listdir(root / "containers") == []


def test_a_published_port_leads_inside(slimstage: Slimstage) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        inside = probe.getsockname()[1]
    done = slimstage(
        "run", "-d", "--json", "-p", f"127.0.0.1::{inside}", "box",
        "sh", "-c", f"while :; do echo answer | nc -l -p {inside}; done",
    )  # fmt: skip
    (port,) = json.loads(ok(done))["ports"]
    assert port["host_port"] not in (0, inside)

    def answer() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port["host_port"]), timeout=5) as connection:
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(100)
        except OSError:
            return b""

    wait_for(lambda: answer() == b"answer\n")


def test_a_port_that_is_taken_is_named(slimstage: Slimstage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        done = slimstage("run", "--rm", "-p", f"127.0.0.1:{number}:1", "box", "true")
    assert done.returncode == 3
    assert f'cannot publish "127.0.0.1:{number}/tcp": address already in use' in done.stderr


def test_a_terminal_is_given(root: Path) -> None:
    leader, follower = os.openpty()
    command = [
        sys.executable,
        "-m",
        "slimstage",
        "--root",
        str(root),
        "run",
        "--rm",
        "-it",
        "box",
        "sh",
        "-c",
        "tty; read x; echo got $x",
    ]  # one line
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, start_new_session=True) as child:
        os.close(follower)
        seen = b""
        while b"/dev/" not in seen:
            seen += os.read(leader, 1000)
        os.write(leader, b"word\r")
        while b"got word" not in seen:
            seen += os.read(leader, 1000)
        assert child.wait(20) == 0
    os.close(leader)


def test_images_inspect_history_and_tag_know_it(slimstage: Slimstage) -> None:
    (image,) = json.loads(ok(slimstage("images", "--json")))
    assert image["names"] == ["box:latest"]
    ok(slimstage("tag", "box", "localhost:5000/other:1"))
    (document,) = json.loads(ok(slimstage("inspect", image["id"][7:19])))
    assert sorted(document["RepoTags"]) == ["box:latest", "localhost:5000/other:1"]
    assert document["Config"]["Env"] == ["PATH=/bin", "GREETING=hello"]
    (row,) = json.loads(ok(slimstage("history", "--json", "box")))
    assert (row["created_by"], row["size_bytes"]) == ("box", 5)
    table = ok(slimstage("images")).splitlines()
    assert table[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "AGE", "SIZE"]
    assert {tuple(line.split()[:2]) for line in table[1:]} == {("box", "latest"), ("localhost:5000/other", "1")}
    assert ok(slimstage("rmi", "box")) == "untagged image box:latest\n"
    assert slimstage("rmi", "nothing").returncode == 2
