"""The command line as a whole: exit statuses, messages, help, streams. Each case is a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from slimstage.cli.catalogue import ENTRIES
from slimstage.cli.main import main
from slimstage.cli.program import make_program
from slimstage.cli.verb import Verb


def slimstage(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slimstage", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "", **environment},
        timeout=60,
    )


def test_version_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); from slimstage.cli.main import main; main(['--version']);"
        "print(sorted(m for m in set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("slimstage ")
    assert not re.search(r"'(click|rich|urllib3|msgspec|argparse|slimstage\.(store|oci|errors))", done.stderr)


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_one_line_on_stdout(flag: str) -> None:
    done = slimstage(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"slimstage \d+\.\d+\.\d+\S*\n", done.stdout)


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from slimstage.cli.main import main; main(['--help']);"
        "sys.exit(any(m.startswith(('slimstage.cli.commands.', 'slimstage.store', 'rich', 'msgspec')) for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(entry.name in done.stdout for entry in ENTRIES)


def test_a_command_that_shows_no_help_does_without_the_module_that_cleans_help(tmp_path: Path) -> None:
    code = (
        "import sys; from slimstage.cli.main import main;"
        f"status = main(['--root', {str(tmp_path / 'store')!r}, 'images']);"
        "print('inspect' in sys.modules); import inspect; print(inspect.cleandoc('  it is whole'), status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["False", "it is whole 0"]


def test_the_process_ends_with_the_status_and_all_that_was_left_for_its_end() -> None:
    code = (
        "import atexit, sys; sys.argv = ['slimstage', *sys.argv[1:]]; atexit.register(print, 'at the end', end='');"
        "from slimstage.cli.main import command; command()"
    )
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout[-10:]) == (0, "at the end")
    wrong = subprocess.run([sys.executable, "-c", code, "bild"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "at the end")
    assert "build" in wrong.stderr


def test_the_process_waits_for_a_thread_that_works_still() -> None:
    code = (
        "import sys, threading; sys.argv = ['slimstage', '--version']; go = threading.Event();"
        "threading.Thread(target=lambda: (go.wait(0.2), print('done'))).start();"
        "from slimstage.cli.main import command; command()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "done")


def test_no_command_is_help_on_stderr_and_a_wrong_command_line() -> None:
    done = slimstage()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage: slimstage" in done.stderr


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_with_examples(name: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, flag]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: slimstage {name}")
    assert "Examples:\n  slimstage " in out


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_command_has_json_and_documented_options(entry: object) -> None:
    program = make_program()
    command = program.get_command(click.Context(program), entry.name)  # type: ignore[attr-defined] # an Entry
    assert isinstance(command, Verb)
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert any("--json" in option.opts for option in options)
    assert all(option.help for option in options if not option.hidden)
    assert command.help


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["biuld"], 'no such command "biuld"\n  hint: did you mean "build"?'),
        (["build", "--taget", "x", "."], 'no such option "--taget"\n  hint: did you mean "--target"?'),
        (["build"], "the context is missing"),
        (["build", ".", "extra"], "unexpected extra argument"),
        (["build", "-t"], "requires an argument"),
        (["--rot", "x", "images"], 'did you mean "--root"?'),
        (["tag", "one"], "NAME is missing"),
        (["build", "--squash", "."], "--squash is not offered"),
        (["build", "--progress=loud", "."], "--progress"),
        (["build", "--json", "-q", "."], "both print to stdout"),
        (["build", "--iidfile", "/no/such/dir/x", "."], "is not there"),
        (["build", "--plan", "--json", "--format=dot", "."], "ask for different things"),
        (["completion", "csh"], "not known"),
        (["prune", "--older-than", "24"], "not a duration"),
        (["prune", "--filter", "label=x"], "--filter"),
        (["logs", "nothing"], 'no container "nothing"'),
        (["stop", "nothing"], 'no container "nothing"'),
        (["rm", "nothing"], 'no container or image "nothing"'),
        (["rmi", "nothing"], 'no image "nothing"'),
        (["inspect", "nothing"], 'no image or container "nothing"'),
        (["history", "nothing"], 'no image "nothing"'),
        (["save", "-o", "x.tar", "nothing"], 'no image "nothing"'),
        (["run", "-d", "-it", "x"], "-d has no terminal"),
        (["run", "-p", "80:x", "x"], "--publish"),
        (["run", "-v", "nowhere:/x", "x"], "volumes have no names"),
        (["run", "--json", "x"], "--json needs -d"),
    ],
)
def test_wrong_command_lines_end_with_2_and_say_what_to_do(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err
    assert "Traceback" not in captured.err


def test_global_options_are_taken_before_and_behind_the_command(tmp_path: Path) -> None:
    for arguments in (["--root", str(tmp_path / "a"), "images"], ["images", "--root", str(tmp_path / "b")]):
        done = slimstage(*arguments, "--json")
        assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_directory_that_is_no_store_is_a_host_failure(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    done = slimstage("images", SLIMSTAGE_ROOT=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.startswith("error: not-a-store: ")
    assert (tmp_path / "mine").read_text() == "x"


def test_colour_is_only_for_terminals_and_never_with_no_color(tmp_path: Path) -> None:
    assert "\x1b" not in slimstage("biuld").stderr
    leader, follower = os.openpty()
    seen = {}
    for setting in ("", "1"):
        subprocess.run(
            [sys.executable, "-m", "slimstage", "biuld"],
            stderr=follower,
            env={**os.environ, "NO_COLOR": setting, "TERM": "xterm"},
            timeout=60,
        )
        seen[setting] = os.read(leader, 65536)
    os.close(leader)
    os.close(follower)
    assert b"\x1b[" in seen[""]
    assert b"\x1b[" not in seen["1"]


def test_a_reader_that_leaves_is_no_failure(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "slimstage", "completion", "bash"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


_BROKEN = """
import sys
from slimstage.cli import program
from slimstage.cli.main import main
def broken(arguments, session):
    session.is_debug = "--debug" in arguments
    raise {error}
program.run = broken
sys.exit(main(sys.argv[1:]))
"""


def fail(error: str, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _BROKEN.format(error=error), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=60,
    )


def test_a_fault_of_ours_is_one_line_and_a_file_with_the_trace(tmp_path: Path) -> None:
    done = fail("ZeroDivisionError('oh')", tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: internal: ZeroDivisionError: oh\n")
    assert "Traceback" not in done.stderr
    (trace,) = tmp_path.glob("slimstage-trace-*.txt")
    assert str(trace) in done.stderr
    assert "ZeroDivisionError: oh" in trace.read_text()
    assert trace.stat().st_mode & 0o777 == 0o600


def test_debug_prints_the_trace_and_writes_no_file(tmp_path: Path) -> None:
    done = fail("ZeroDivisionError('oh')", tmp_path, "--debug")
    assert done.returncode == 3
    assert "Traceback (most recent call last)" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        ("OSError(28, 'No space left on device', '/x')", 3, 'disk-full: "/x": no space left on device'),
        ("OSError(30, 'Read-only file system')", 3, "read-only"),
        ("KeyboardInterrupt()", 130, "interrupted"),
        ("KeyboardInterrupt(15)", 143, "interrupted"),
        ("SystemExit(7)", 7, ""),
        (
            "__import__('slimstage.errors').errors.Interrupted('the build was interrupted')",
            130,
            "the build was interrupted",
        ),
        ("__import__('slimstage.errors').errors.RegistryError('refused')", 3, "error: registry: refused"),
        ("__import__('slimstage.errors').errors.PlanError('no stage')", 2, "error: plan: no stage"),
        (
            "__import__('slimstage.errors').errors.StepFailed('it ended', status=9, last_lines=('one', 'two\\x1b[2J'))",
            1,
            "------\none\ntwo\\x1b[2J\n------\nerror: run-failed: it ended",
        ),
    ],
)
def test_errors_have_their_statuses(error: str, status: int, says: str, tmp_path: Path) -> None:
    done = fail(error, tmp_path)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = slimstage("completion", shell)
    assert done.returncode == 0
    assert "_SLIMSTAGE_COMPLETE" in done.stdout


def test_bash_completes_commands_and_options() -> None:
    def complete(words: str, position: int) -> list[str]:
        done = slimstage(_SLIMSTAGE_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(position))
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("slimstage bui", 1) == ["build"]
    assert "--target" in complete("slimstage build --ta", 2)
    assert complete("slimstage logs x", 2) in ([], [""])


def test_the_page_of_commands_is_fresh() -> None:
    script = Path(__file__).resolve().parents[3] / "scripts" / "make_cli_docs.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
