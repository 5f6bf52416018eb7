"""What hostile input shows on the terminal, keeps in the cache or leaves beside the output: through the whole command."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.base_image import LayoutWriter, busybox_members, tar_of
from support.building import Project
from support.command import Done
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

_EVIL = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\x1b]0;title\x07\u202egnp\u200b"
"""Sets the clipboard, clears the screen, sets the title, turns text around."""


def assert_harmless(*said: Done) -> None:
    for done in said:
        for text in (done.out, done.err):
            found = sorted({c for c in text if c in "\x1b\x9b\x07\u202e\u200b\b" or (c == "\r")})
            assert found == [], text


def test_nothing_that_a_step_or_a_dockerfile_says_reaches_the_terminal_raw(project: Project) -> None:
    """CWE-150: in progress, errors, history and inspection, whatever the stream is."""
    project.write("say", f"#!/bin/sh\nprintf '%s\\n' '{_EVIL}' >&2\nexit ${{1:-0}}\n", mode=0o755)
    project.write(f"odd-{_EVIL}".replace("/", "_"), "x")
    project.dockerfile(
        f"FROM base\nLABEL a='{_EVIL}'\nENV B='{_EVIL}'\nCOPY . /c/\nRUN /c/say\nRUN echo '{_EVIL}'\n"
        f"WORKDIR '/{_EVIL}'\nCMD ['{_EVIL}']\n"
    )
    said = [project.build("-t", "app", "--progress=plain"), project.build("--json", "--progress=json")]
    said += [
        project.run(*command.split()) for command in ("history app", "history --json app", "inspect app", "images")
    ]
    said += [project.build("--plan"), project.build("--explain")]
    project.dockerfile(f"FROM base\nCOPY say /\nRUN /say 3 # {_EVIL}\n")
    said += [project.build("--progress=plain", status=1), project.build("--json", status=1)]
    missing = f"missing-{_EVIL.replace('[', '')}"
    for text in (f"FROM base\nCOPY '{missing}' /\n", f"FROM base AS {_EVIL}\n", f"FROM '{_EVIL}'\n", f"BAD {_EVIL}\n",
                 f"FROM base\nARG A\nRUN echo ${{A:?{_EVIL}}}\nENV B=${{A:?{_EVIL}}}\n"):  # fmt: skip
        project.dockerfile(text)
        said.append(project.build(status=2))
    assert_harmless(*said)


def test_nothing_of_an_image_reaches_the_terminal_raw(project: Project, tmp_path: Path) -> None:
    writer = LayoutWriter(tmp_path / "evil")
    writer.layer(tar_of([*busybox_members(), (f"f-{_EVIL}".replace("/", "_"), tarfile.REGTYPE, 0o644, b"x")]))
    writer.finish(
        {"Env": [f"A={_EVIL}", "PATH=/bin"], "Labels": {_EVIL: _EVIL}, "Entrypoint": [_EVIL], "Author": _EVIL}
    )
    project.base = tmp_path / "evil"
    project.dockerfile("FROM base\nRUN ls / && ls -l nothing-here\n")
    said = [project.build("--progress=plain", status=1)]
    project.dockerfile("FROM base\nRUN ls /\n")
    said += [project.build("-t", "app", "--progress=plain")]
    said += [project.run(*command.split()) for command in ("history app", "inspect app", "images --json")]
    said.append(project.run("run", "--rm", "--entrypoint", "nothing", "app", status=None))
    assert_harmless(*said)


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An HTTP server on loopback and the bodies that it gives, which a test may change."""
    bodies: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}", bodies
        made.shutdown()


def test_a_checksum_holds_for_another_address_with_a_warm_cache(
    project: Project, server: tuple[str, dict[str, bytes]]
) -> None:
    """buildah issue 7042: the file that was fetched first must not stand for what another URL gives."""
    address, bodies = server
    bodies |= {"/good": b"good", "/evil": b"evil"}
    checksum = "sha256:" + hashlib.sha256(b"good").hexdigest()
    for path, status in (("/good", 0), ("/evil", 2), ("/good", 0)):
        project.dockerfile(f"FROM scratch\nADD --checksum={checksum} {address}{path} /f\n")
        project.build("-o", "local", status=None if status else 0)
        if status:
            project.build("-o", "local-evil", status=status)
            assert not (project.path / "local-evil/f").exists()
        else:
            assert (project.path / "local/f").read_bytes() == b"good"
    bodies["/good"] = b"changed"
    project.dockerfile(f"FROM base\nADD --checksum={checksum} {address}/good /again/f\n")
    assert project.build("-o", "local-changed", "--no-cache", status=None).status in (0, 2)
    found = project.path / "local-changed/again/f"
    assert not found.exists() or found.read_bytes() == b"good"


def test_an_address_of_the_metadata_service_or_a_file_is_not_fetched(project: Project) -> None:
    for url in (
        "http://169.254.169.254/latest/",
        "http://2852039166/latest",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
    ):
        project.dockerfile(f"FROM scratch\nADD {url} /x\n")
        done = project.build("-o", "local", status=None)
        assert done.status in (2, 3), url
        assert not (project.path / "local/x").exists()
        assert "root:" not in done.err


def test_another_users_links_beside_an_output_lead_nowhere(project: Project, tmp_path: Path) -> None:
    """CWE-59 in a directory that all may write: what another user put there is replaced or refused, never followed."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    names = ("oci.tar", "docker.tar", "t.tar", "id", "meta.json")
    for name in names:
        (shared / name).symlink_to(precious)
        os.lchown(shared / name, 65534, 65534)
    project.dockerfile("FROM scratch\nLABEL a=b\n")
    project.build(
        "-o", f"type=oci,dest={shared}/oci.tar", "-o", f"type=docker,dest={shared}/docker.tar", "-o",
        f"type=tar,dest={shared}/t.tar", "--iidfile", shared / "id", "--metadata-file", shared / "meta.json",
    )  # fmt: skip
    assert precious.read_text() == "mine\n"
    assert sorted(path.name for path in shared.iterdir()) == sorted(names)
    assert not any((shared / name).is_symlink() for name in names)


def test_another_users_directory_in_the_place_of_the_store_is_refused(project: Project, tmp_path: Path) -> None:
    """Also when a parent is everybody's, as /tmp is."""
    place = tmp_path / "store"
    place.mkdir(mode=0o777)
    os.chown(place, 65534, 65534)
    project.dockerfile("FROM scratch\nLABEL a=b\n")
    assert project.build(root=place, status=3).err
    assert list(place.iterdir()) == []
    (tmp_path / "link").symlink_to(place)
    assert project.build(root=tmp_path / "link", status=3).err


def test_a_running_build_shows_other_users_no_file(project: Project) -> None:
    """While a step runs: the store and the temporary directory are in places that others may enter, and show nothing."""
    place = Path("/var/tmp") / f"slimstage-users-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        temporary = place / "temporary"
        temporary.mkdir()
        temporary.chmod(0o1777)
        project.root = place / "store"
        project.dockerfile(
            "FROM base\nRUN --mount=type=cache,target=/c touch /c/up; until [ -e /c/stop ]; do sleep 0.02; done\n"
        )
        seen = _seen_during(project, place, temporary)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert set(seen) == {str(place), str(temporary), str(project.root)}


def _seen_during(project: Project, *places: Path) -> list[str]:
    """What `nobody` finds below the places while the step of the project waits in its cache directory."""
    ended: list[Done] = []
    build = threading.Thread(
        target=lambda: ended.append(project.build(status=None, env={"TMPDIR": str(places[-1])}, timeout_s=60))
    )
    build.start()
    up: list[Path] = []
    try:
        while not (up := list(project.root.glob("caches/*/*/fs/up"))):
            assert build.is_alive(), ended
        looked = subprocess.run(
            ["find", *map(str, places)], capture_output=True, text=True, check=False, user=65534, group=65534,
            extra_groups=[], cwd="/",
        )  # fmt: skip
    finally:
        for path in up:
            path.with_name("stop").touch()
        build.join()
    assert ended[0].status == 0, ended[0].err
    return looked.stdout.split()
