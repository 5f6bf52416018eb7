"""Keys that options name: files and variables, and their passwords."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from slimstage.cli.keys import annotations_of, password_of, private_key, public_key
from slimstage.errors import UsageError
from slimstage.signing.keys import encrypted_pem, new_private_key


def test_a_key_is_read_from_a_file_or_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_private_key()
    pem = encrypted_pem(key, b"", work=1024)
    (tmp_path / "k").write_bytes(pem)
    monkeypatch.setenv("SIGNING_KEY", pem.decode())
    monkeypatch.setenv("COSIGN_PASSWORD", "")  # a key without a password is one with an empty one
    for text in (str(tmp_path / "k"), "env://SIGNING_KEY"):
        assert private_key(text, "--key").public().pem() == key.public().pem()
    (tmp_path / "p").write_bytes(key.public().pem())
    assert public_key(str(tmp_path / "p"), "--key").pem() == key.public().pem()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("env://NOT_SET", '"NOT_SET" is not set'),
        ("{}/none", "no such file"),
        ("{}", "is a directory"),
        ("awskms://alias/x", "neither a file nor env://NAME"),
        ("{}/large", "too large"),
    ],
)
def test_a_key_that_is_not_there_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "large").write_bytes(bytes(100_000))
    with pytest.raises(UsageError, match=said) as caught:
        public_key(text.format(tmp_path), "--key")
    assert "--key" in str(caught.value)


def test_without_a_terminal_a_password_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UsageError, match="needs a password") as caught:
        password_of("cosign.key")
    assert caught.value.hint == "set COSIGN_PASSWORD"
    monkeypatch.setenv("COSIGN_PASSWORD", "päss")
    assert password_of("cosign.key") == "päss".encode()


def test_annotations_are_keys_and_values() -> None:
    assert annotations_of(["a=1", "b=x=y", "c="], "-a") == {"a": "1", "b": "x=y", "c": ""}
    for bad in ("a", "=1"):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            annotations_of([bad], "-a")
