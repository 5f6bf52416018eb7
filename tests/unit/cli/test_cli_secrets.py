"""`--secret` and `--ssh`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.build.request import SecretSource
from slimstage.cli.secrets import LARGEST_BYTES, parse_secret, parse_ssh
from slimstage.errors import UsageError


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "token.txt"
    path.write_text("hunter2")
    return path


@pytest.mark.parametrize(
    "form", ["id=token,src={}", "id=token,source={}", "type=file,id=token,src={}", "ID=token,SRC={}"]
)
def test_a_file(form: str, secret_file: Path) -> None:
    assert parse_secret(form.format(secret_file), {}) == SecretSource("token", path=str(secret_file))


@pytest.mark.parametrize("text", ["id=token,env=TOKEN", "id=token,type=env,env=TOKEN", "id=token,type=env,src=TOKEN"])
def test_a_variable(text: str) -> None:
    assert parse_secret(text, {"TOKEN": "hunter2"}) == SecretSource("token", env="TOKEN")


def test_an_id_alone_is_the_variable_and_else_the_file_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("x")
    assert parse_secret("id=token", {"token": "y"}) == SecretSource("token", env="token")
    assert parse_secret("id=token", {}) == SecretSource("token", path=str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("src=x", "id is missing"),
        ("id=", "id is missing"),
        ("id=a,scr=x", 'no option "scr"'),
        ("id=a,env=NOPE", 'the environment variable "NOPE" is not set'),
        ("id=a,src=/no/such/file", "no such file"),
        ("id=a,type=vault", "not known"),
        ("token", "not KEY=VALUE"),
    ],
)
def test_bad_secrets_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_secret(text, {})


def test_src_and_env_exclude_each_other(secret_file: Path) -> None:
    with pytest.raises(UsageError, match="both src and env"):
        parse_secret(f"id=a,src={secret_file},env=TOKEN", {"TOKEN": "x"})


def test_a_directory_or_something_huge_is_no_secret(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a readable file"):
        parse_secret(f"id=a,src={tmp_path}", {})
    (tmp_path / "big").write_bytes(b"x" * (LARGEST_BYTES + 1))
    with pytest.raises(UsageError, match="at most"):
        parse_secret(f"id=a,src={tmp_path / 'big'}", {})


def test_no_message_holds_the_value() -> None:
    with pytest.raises(UsageError) as caught:
        parse_secret("id=a,env=TOKEN,type=file", {"TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_ssh_forms(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k")
    assert parse_ssh("default", {"SSH_AUTH_SOCK": "/run/agent"}) == ("default", ())
    assert parse_ssh(f"git={key}", {}) == ("git", (str(key),))
    assert parse_ssh(f"git={key},{os.devnull}", {}) == ("git", (str(key), os.devnull))


def test_ssh_without_an_agent_or_with_a_missing_key_is_an_error() -> None:
    with pytest.raises(UsageError, match="no agent is running"):
        parse_ssh("default", {})
    with pytest.raises(UsageError, match="is not there"):
        parse_ssh("git=/no/such/key", {})
    with pytest.raises(UsageError, match="has no id"):
        parse_ssh("=/x", {})
