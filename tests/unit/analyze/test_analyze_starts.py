"""What CMD and ENTRYPOINT come to."""

from __future__ import annotations

import pytest

from slimstage.analyze.contents import Contents
from slimstage.analyze.starts import find_starts
from slimstage.oci.config import ImageConfig
from support.layering import opened_image
from support.trees import File, Symlink, Tree

_TREE: Tree = {
    "app/main.py": "import json\n",
    "app/start.sh": "#!/bin/sh\nset -e\npython /app/migrate.py\nexec uvicorn \\\n  app.main:app --host 0.0.0.0\n",
    "app/migrate.py": "",
    "opt/venv/bin/serve": File(b"#!/opt/venv/bin/python\nfrom app import main\n", mode=0o755),
    "opt/venv/bin/long": File(
        b"#!/bin/sh\n'''exec' /a/very/long/bin/python \"$0\" \"$@\"\n' '''\nimport x\n", mode=0o755
    ),
    "opt/venv/bin/loop": File(b"#!/bin/sh\nexec loop\n", mode=0o755),
    "usr/bin/native": File(b"\x7fELF", mode=0o755),
    "bin": Symlink("usr/bin"),
}


def _starts(
    *command: str, given: tuple[str, ...] = (), entrypoint: tuple[str, ...] | None = None
) -> list[tuple[str, str]]:
    config = ImageConfig(
        "amd64", "linux", working_dir="/app", env=("PATH=/opt/venv/bin:/bin",), cmd=command, entrypoint=entrypoint
    )
    with opened_image(None, [_TREE], config) as image:
        contents = Contents(image, lambda path, size: size, lambda number, entries: None)
        return [(start.kind, start.name) for start in find_starts(contents, given)]


@pytest.mark.parametrize(
    ("command", "want"),
    [
        (("python", "main.py"), [("script", "app/main.py")]),
        (("python3.11", "-u", "-X", "dev", "-O", "/app/main.py", "--port", "1"), [("script", "app/main.py")]),
        (("/usr/bin/python3", "-m", "app.main", "x:y"), [("module", "app.main"), ("module", "x")]),
        (("python", "-Im", "http.server"), [("module", "http.server")]),
        (("python", "-mapp"), [("module", "app")]),
        (("python", "-c", "import x"), [("code", "import x")]),
        (("python",), []),
        (("/bin/sh", "-c", "exec python main.py && echo 'done'"), [("script", "app/main.py")]),
        (("sh", "-ec", "A=1 env B=2 python -m one; python -m two | cat"), [("module", "one"), ("module", "two")]),
        (("sh", "-c", "echo 'not closed"), []),
        (("tini", "--", "python", "main.py"), [("script", "app/main.py")]),
        (("gosu", "app", "python", "main.py"), [("script", "app/main.py")]),
        (("timeout", "-s", "9", "10", "python", "main.py"), [("script", "app/main.py")]),
        (("gunicorn", "-w", "2", "-k", "my.worker", "pkg.app:make()"), [("module", "my.worker"), ("module", "pkg.app")]),
        (("celery", "-A", "worker", "worker"), [("module", "worker")]),
        (("fastapi", "run", "main.py"), [("script", "app/main.py")]),
        (("serve",), [("script", "opt/venv/bin/serve")]),
        (("long",), [("script", "opt/venv/bin/long")]),
        (("./start.sh",), [("script", "app/migrate.py"), ("module", "app.main")]),
        (("bash", "start.sh"), [("script", "app/migrate.py"), ("module", "app.main")]),
        (("sh", "./start.sh"), [("script", "app/migrate.py"), ("module", "app.main")]),
        (("loop",), []),
        (("native", "x"), []),
        ((), []),
    ],
)  # fmt: skip
def test_command_lines_are_followed_to_what_python_starts(
    command: tuple[str, ...], want: list[tuple[str, str]]
) -> None:
    assert _starts(*command) == want


def test_the_entry_point_stands_before_the_command_and_what_is_given_before_both() -> None:
    found = _starts("main.py", entrypoint=("python3",), given=("tools.run:main", "/app/migrate.py", "main.py"))
    assert found == [("module", "tools.run"), ("script", "app/migrate.py"), ("script", "app/main.py")]


def test_a_command_that_leads_outside_finds_nothing_of_the_host() -> None:
    for command in ("../../../../../../bin/sh", "/proc/self/exe", "/../../bin/sh"):
        assert _starts(command, "x.py") == []
    assert _starts("python", "../../../../etc/x.py") == [("script", "etc/x.py")]
