"""`slimstage login` and `logout`: with Debian's docker-registry, and beside docker, podman and skopeo."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.cli.main import main
from slimstage.registry.transport import Transport
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.source import Export
from support.command import Done
from support.fake_registry import Request, fake_registry
from support.images import memory_image
from support.registry import needs_registry, running_registry
from support.token_server import TokenLogin, guard_by_password

HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuujV0zJ3tj1V5vPQQ5i8Bd/sbbeTbZTaC\n"
"""bcrypt of "secret-word"."""


class Home:
    """A home directory, and commands that know no other; ours run in this process."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.directory, self._monkeypatch, self._capture = directory, monkeypatch, capture
        self.config = directory / ".docker/config.json"
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)
        self.env = {
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "SLIMSTAGE_CONFIG": "",
            "SLIMSTAGE_ROOT": str(directory / "store"),
        }
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        (directory / "run").mkdir()
        monkeypatch.chdir(directory)

    def __call__(self, *args: object, stdin: bytes = b"", status: int = 0) -> Done:
        self._capture.readouterr()
        with io.TextIOWrapper(io.BytesIO(stdin)) as given:
            self._monkeypatch.setattr(sys, "stdin", given)
            got = main([*map(str, args)])
        said = self._capture.readouterr()
        assert got == status, said.err
        return Done(got, said.out, said.err)

    def other(self, *command: str, stdin: bytes = b"") -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    return Home(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry that wants the user `me` with "secret-word"; it has `team/app:1`."""
    directory = tmp_path_factory.mktemp("guarded")
    image = memory_image({"etc/": b"", "etc/motd": b"hello\n"})
    platform = image.config().platform
    LayoutSink(str(directory / "layout")).write([Export(image, ("app:1",), platform=platform)])
    with running_registry(directory / "registry", htpasswd=HTPASSWD) as host:
        command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds"]
        target = [f"oci:{directory / 'layout'}:1", f"docker://{host}/team/app:1"]
        subprocess.run([*command, "me:secret-word", *target], check=True, capture_output=True, timeout=120)
        yield host


# With a real registry ---------------------------------------------------------------------------------------------------


@needs_registry
def test_a_login_of_ours_serves_us_skopeo_podman_and_docker(guarded: str, home: Home) -> None:
    done = home("login", "-u", "me", "--password-stdin", guarded, stdin=b"secret-word\n")
    assert done.out == "Login Succeeded\n"
    assert f"unencrypted in '{home.config}'" in done.err
    assert home.other("skopeo", "login", "--get-login", guarded) == "me\n"
    assert home.other("podman", "login", "--get-login", guarded) == "me\n"
    assert "sha256:" in home.other("skopeo", "inspect", "--tls-verify=false", f"docker://{guarded}/team/app:1")
    if shutil.which("docker"):
        # `docker manifest` asks the registry by itself, without a daemon.
        assert "layers" in home.other("docker", "manifest", "inspect", "--insecure", f"{guarded}/team/app:1")
    (plan,) = home("pull", "--explain", "--json", f"{guarded}/team/app:1").json()
    assert plan["fetch_bytes"] > 0
    assert home("logout", guarded).out == f"Removing login credentials for {guarded}\n"
    assert home("logout", guarded).out == f"Not logged in to {guarded}\n"
    refused = home("pull", "--explain", f"{guarded}/team/app:1", status=3)
    assert f"there is no login for {guarded}" in refused.err
    assert "slimstage login" in refused.err


@needs_registry
def test_a_wrong_password_is_refused_and_nothing_is_written(guarded: str, home: Home) -> None:
    done = home("login", "-u", "me", "--password-stdin", guarded, stdin=b"secret-ward", status=3)
    assert "denied" in done.err
    assert "secret-ward" not in done.err
    assert not home.config.exists()


@needs_registry
@pytest.mark.parametrize(
    "command",
    [
        ("podman", "login", "--tls-verify=false", "-u", "me", "--password-stdin"),
        ("skopeo", "login", "--tls-verify=false", "-u", "me", "--password-stdin"),
    ],
    ids=["podman", "skopeo"],
)
def test_logins_of_others_serve_us(guarded: str, home: Home, command: tuple[str, ...]) -> None:
    home.other(*command, guarded, stdin=b"secret-word")
    (plan,) = home("pull", "--explain", "--json", f"{guarded}/team/app:1").json()
    assert plan["fetch_bytes"] > 0
    done = home("login", guarded)
    assert "Authenticating with existing credentials..." in done.err
    assert done.out == "Login Succeeded\n"
    # Podman's file is read before the one that we write.
    assert "has a login for" in done.err
    assert "is read first" in done.err


@needs_registry
def test_a_file_of_its_own_is_podmans_way(guarded: str, home: Home, tmp_path: Path) -> None:
    auth = tmp_path / "sub/auth.json"
    done = home("login", "--authfile", auth, "-u", "me", "--password-stdin", "--json", guarded, stdin=b"secret-word")
    assert done.json() == {
        "registry": guarded,
        "username": "me",
        "stored_in": str(auth),
        "is_identity_token": False,
    }
    assert f"REGISTRY_AUTH_FILE={auth}" in done.err
    assert not home.config.exists()
    assert home.other("skopeo", "login", "--get-login", "--authfile", str(auth), guarded) == "me\n"
    assert home("logout", "--authfile", auth, "--json", guarded).json()["was_logged_in"]


# What is written and asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "stdin", "words"),
    [
        (("-u", "me", "-p", "x", "--password-stdin", "a.example"), b"x", "mutually exclusive"),
        (("--password-stdin", "a.example"), b"x", "needs --username"),
        (("a.example",), b"", "non TTY device"),
        (("-u", "me", "a.example"), b"", "non TTY device"),
        (("-u", "me", "--password-stdin", "a.example"), b"\n", "is empty"),
        (("-u", "m:e", "--password-stdin", "a.example"), b"x", 'no ":"'),
        (("-u", "me", "--password-stdin", "a.example"), b"\xff\xfe", "not UTF-8"),
        (("-u", "me", "--password-stdin", "host"), b"x", "not a registry"),
        (("-u", "me", "--password-stdin", "https://me:s3cret@a.example"), b"x", "not a registry"),
        (("-u", "me", "--password-stdin", "a.example?x"), b"x", "not a registry"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    home: Home, args: tuple[str, ...], stdin: bytes, words: str
) -> None:
    done = home("login", *args, stdin=stdin, status=2)
    assert words in done.err
    assert "s3cret" not in done.err
    assert not home.config.exists()


def test_user_and_password_are_asked_for_on_a_terminal_and_the_password_is_not_shown(home: Home) -> None:
    with fake_registry() as registry:
        guard_by_password(registry, "me", "hunter22")
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "slimstage", "login", f"http://{registry.host}/v2/"],
            stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        )  # fmt: skip
        os.close(follower)
        shown = b""
        for prompt, answer in ((b"Username: ", b"me\n"), (b"Password: ", b"hunter22\n")):
            while not shown.endswith(prompt):
                shown += os.read(leader, 1024)
            os.write(leader, answer)
        while True:
            try:
                more = os.read(leader, 1024)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            shown += more
        os.close(leader)
        assert process.wait(timeout=60) == 0, shown
        assert b"Login Succeeded" in shown
        assert b"hunter22" not in shown
        assert registry.host in json.loads(home.config.read_text())["auths"]


def test_an_identity_token_is_kept_and_pulls(home: Home) -> None:
    with fake_registry() as registry:
        registry.add(memory_image())
        login = TokenLogin(registry)
        done = home("login", "-u", "me", "--password-stdin", "--json", registry.host, stdin=b"hunter22")
        assert done.json()["is_identity_token"]
        entry = json.loads(home.config.read_text())["auths"][registry.host]
        assert entry["identitytoken"] in login.identities
        assert "hunter22" not in home.config.read_text()
        (plan,) = home("pull", "--explain", "--json", f"{registry.host}/team/app:1").json()
        assert plan["fetch_bytes"] > 0


# Nothing of it is seen ----------------------------------------------------------------------------------------------------

MARK = "xQ9v" + "Tn4z" + "Jr7c" + "Yb2k"  # in pieces, so that no copy of this file holds it


def test_a_password_on_the_command_line_is_taken_out_of_it(home: Home) -> None:
    """Whoever lists processes while the registry thinks about it sees no password."""
    seen: list[bytes] = []

    with fake_registry() as registry:
        guard = guard_by_password(registry, "me", MARK)

        def look(request: Request) -> None:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if registry.host.encode() in line and b"login" in line:
                    seen.append(line)

        registry._replies.clear()
        registry.on("GET", "/v2/", look, times=1)
        registry.on("GET", "/v2/", guard)
        for form in (("-p", MARK), (f"--password={MARK}",), (f"-p{MARK}",)):
            registry._replies[0][3][0] = 1
            command = [sys.executable, "-m", "slimstage", "login", "-u", "me", *form, registry.host]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
            assert "--password via the CLI is insecure" in done.stderr
    assert len(seen) == 3
    assert all(b"x" * len(MARK) in line for line in seen)
    assert not any(MARK.encode() in line for line in seen)


@pytest.mark.parametrize("kind", ["basic", "token"])
def test_no_secret_is_in_anything_that_is_said_or_kept(home: Home, tmp_path: Path, kind: str) -> None:
    """Conformance: security/cache-backend-credentials. A registry that repeats what it is told, in all that it says."""
    said: list[Done] = []
    with fake_registry() as registry:
        registry.add(memory_image())
        needles = [MARK.encode()]
        if kind == "basic":
            guard_by_password(registry, "me", MARK)
        else:
            login = TokenLogin(registry, "me", MARK)
        said.append(home("login", "-u", "me", "--password-stdin", registry.host, stdin=MARK.encode() + b"\n"))
        said.append(home("login", "--debug", "-u", "me", "-p", MARK, registry.host))
        said.append(home("login", "--debug", "--json", registry.host))
        wrong = MARK[:-1] + "?"
        said.append(home("login", "--debug", "-u", "me", "-p", wrong, registry.host, status=3))
        name = f"{registry.host}/team/app"
        said.append(home("pull", "--json", f"{name}:1"))
        said.append(home("pull", "--debug", f"{name}:missing", status=2))
        said.append(home("pull", "--explain", f"{name}:1"))
        said.append(home("push", "--debug", f"{name}:1"))
        home("tag", f"{name}:1", f"{registry.host}/other/app:1")
        said.append(home("push", "--debug", f"{registry.host}/other/app:1"))
        said += [
            home(*command) for command in (("images", "--json"), ("inspect", f"{name}:1"), ("history", f"{name}:1"))
        ]
        config = home.config.read_bytes()
        if kind == "token":
            needles += [token.encode() for token in (*login.tokens, *login.identities)]
            login.identities.clear()
            login.tokens.clear()
            said.append(home("pull", "--debug", f"{name}:1", status=3))
        else:
            registry._replies.clear()
            guard_by_password(registry, "me", "another")
            said.append(home("pull", "--debug", f"{name}:1", status=3))
        needles += [entry.encode() for entry in _auths(config) if entry]
        needles.append(wrong.encode())
        said.append(home("logout", registry.host))
    assert len(needles) > 2
    for done in said:
        for needle in needles:
            assert needle not in done.out.encode() + done.err.encode(), done.err
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(kept) > 5
    assert sorted(path.name for path in home.config.parent.iterdir()) == ["config.json"]
    for path in kept:
        assert not any(needle in path.read_bytes() for needle in needles), path


def _auths(config: bytes) -> list[str]:
    return [entry.get("auth", "") for entry in json.loads(config)["auths"].values()]


def test_a_crash_shows_no_login(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours while a login is in hand: the trace that is written for a report has no value in it."""

    def broken(self: Transport, method: str, url: str, headers: dict[str, str] | None = None, **more: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("tempfile.tempdir", str(home.directory))
    monkeypatch.setattr(Transport, "request", broken)
    home("login", "-u", "me", "-p", MARK, "a.example", status=3)
    (trace,) = home.directory.glob("slimstage-trace-*")
    assert "RuntimeError" in trace.read_text()
    assert MARK not in trace.read_text()
    done = home("login", "--debug", "-u", "me", "-p", MARK, "a.example", status=3)
    assert "Traceback" in done.err
    assert MARK not in done.err + done.out


def test_the_mark_is_not_in_this_file() -> None:
    assert MARK not in Path(__file__).read_text()
