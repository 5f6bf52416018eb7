"""Logins that are kept and removed: the file with all else in it, helpers, several commands at once."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.errors import RegistryError
from slimstage.registry.credentials import Credential, CredentialSource
from slimstage.registry.faults import Secrets
from slimstage.registry.logins import Logins, other_files

ME = Credential("me", "pass:word")


class Home:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir()
        self.environ = {"HOME": str(directory), "PATH": f"{directory / 'bin'}:/usr/bin:/bin"}
        self.config = directory / ".docker/config.json"

    @property
    def logins(self) -> Logins:
        return Logins(self.environ)

    def write(self, document: object) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(document if isinstance(document, str) else json.dumps(document))

    def read(self) -> object:
        return json.loads(self.config.read_text())

    def find(self, registry: str) -> Credential | None:
        return CredentialSource(Secrets(), self.environ).find(registry, "a").credential

    def helper(self, name: str, script: str) -> None:
        program = self.directory / "bin" / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_login_is_found_again_and_nobody_else_can_read_it(home: Home) -> None:
    before = os.umask(0)
    try:
        assert home.logins.keep("a.example:5000", ME) == str(home.config)
    finally:
        os.umask(before)
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.config.parent.stat().st_mode) == 0o700
    found = home.find("a.example:5000")
    assert found is not None
    assert (found.user, found.password) == ("me", "pass:word")
    assert home.read() == {"auths": {"a.example:5000": {"auth": base64.b64encode(b"me:pass:word").decode()}}}
    assert [path.name for path in home.config.parent.iterdir()] == ["config.json"]


def test_all_else_in_the_file_stays_in_its_order(home: Home) -> None:
    document = {"proxies": {"default": {"x": 1}}, "auths": {"b.example": {"auth": "eDp5"}}, "ünknown": [1.5, None, "ä"]}
    home.write(document)
    home.logins.keep("a.example", ME)
    kept = home.config.read_text()
    assert list(json.loads(kept)) == list(document)
    assert json.loads(kept) | {"auths": document["auths"]} == document
    assert json.loads(kept)["auths"]["b.example"] == {"auth": "eDp5"}
    assert home.logins.forget("a.example")
    assert home.read() == document


def test_a_file_that_others_could_read_is_closed(home: Home) -> None:
    home.write({"auths": {}})
    home.config.chmod(0o644)
    home.logins.keep("a.example", ME)
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600


def test_what_is_not_changed_is_not_written(home: Home) -> None:
    home.write('{"auths":   {}}')
    assert not home.logins.forget("a.example")
    assert home.config.read_text() == '{"auths":   {}}'


@pytest.mark.parametrize("key", ["https://a.example/v1/", "http://a.example", "a.example/v2/", "A.EXAMPLE"])
def test_a_login_takes_the_place_of_the_one_by_another_name(home: Home, key: str) -> None:
    home.write({"auths": {key: {"auth": "eDp5"}, "a.example/team": {"auth": "eDp5"}}})
    home.logins.keep("a.example", ME)
    auths = json.loads(home.config.read_text())["auths"]
    assert sorted(auths) == ["a.example", "a.example/team"]  # Podman's for one namespace is another login
    home.write({"auths": {key: {"auth": "eDp5"}}})
    assert home.logins.forget("a.example")
    assert home.find("a.example") is None


def test_docker_hub_is_kept_as_docker_keeps_it(home: Home) -> None:
    home.logins.keep("docker.io", ME)
    assert list(json.loads(home.config.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert home.find("docker.io") is not None


def test_an_identity_token_is_kept_in_place_of_the_password(home: Home) -> None:
    home.logins.keep("a.example", Credential("me", "pw", "identity-1"))
    entry = json.loads(home.config.read_text())["auths"]["a.example"]
    assert entry == {"auth": base64.b64encode(b"me:").decode(), "identitytoken": "identity-1"}
    found = home.find("a.example")
    assert found is not None
    assert (found.user, found.password, found.identity_token) == ("me", "", "identity-1")


def test_a_link_stays_a_link(home: Home) -> None:
    (home.directory / "elsewhere").mkdir()
    (home.directory / "elsewhere/real.json").write_text('{"auths": {}}')
    home.config.parent.mkdir()
    home.config.symlink_to(home.directory / "elsewhere/real.json")
    home.logins.keep("a.example", ME)
    assert home.config.is_symlink()
    assert "a.example" in (home.directory / "elsewhere/real.json").read_text()


def test_where_a_login_goes(home: Home) -> None:
    home.environ["DOCKER_CONFIG"] = str(home.directory / "other")
    assert home.logins.path == str(home.directory / "other/config.json")
    home.environ["REGISTRY_AUTH_FILE"] = str(home.directory / "named.json")
    assert home.logins.path == str(home.directory / "named.json")
    assert Logins(home.environ, "/a/b.json").path == "/a/b.json"


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', '"s3cret"'])
def test_a_file_that_is_damaged_is_left_as_it_is_and_not_shown(home: Home, text: str) -> None:
    home.write(text)
    for do in (lambda: home.logins.keep("a.example", ME), lambda: home.logins.forget("a.example")):
        with pytest.raises(RegistryError) as caught:
            do()
        assert caught.value.code == "bad-credentials-file"
        assert "s3cret" not in str(caught.value)
    assert home.config.read_text() == text


def test_a_place_that_cannot_be_written_is_said(home: Home) -> None:
    (home.directory / ".docker").write_text("a file")
    with pytest.raises(RegistryError, match=r"not a directory|file exists"):
        home.logins.keep("a.example", ME)


def test_two_commands_at_once_keep_both_logins(home: Home) -> None:
    script = (
        "import sys; from slimstage.registry.credentials import Credential;"
        "from slimstage.registry.logins import Logins; logins = Logins({'HOME': sys.argv[1]});"
        "[logins.keep(f'{sys.argv[2]}{n}.example', Credential('u', 'p')) for n in range(20)]"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(home.directory), letter], env={**os.environ})
        for letter in "abc"
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    assert len(json.loads(home.config.read_text())["auths"]) == 60


def test_a_login_in_another_file_is_named(home: Home) -> None:
    podman = home.directory / ".config/containers/auth.json"
    podman.parent.mkdir(parents=True)
    podman.write_text(json.dumps({"auths": {"a.example": {"auth": "eDp5"}, "b.example": {}}}))
    assert other_files(home.environ, home.logins.path, "a.example") == [str(podman)]
    assert other_files(home.environ, home.logins.path, "b.example") == []
    assert other_files(home.environ, str(podman), "a.example") == []


# Helpers ----------------------------------------------------------------------------------------------------------------

_KEEPS = 'cat > "$0.$1"; case $1 in get) cat "$0.kept" 2>/dev/null || { echo credentials not found; exit 1; };; esac'


@pytest.mark.parametrize("setting", [{"credsStore": "test"}, {"credHelpers": {"a.example": "test"}}])
def test_a_helper_keeps_the_login_and_the_file_holds_none(home: Home, setting: dict[str, object]) -> None:
    home.write(setting)
    home.helper("test", _KEEPS)
    assert home.logins.keep("a.example", ME) == "docker-credential-test"
    said = json.loads((home.directory / "bin/docker-credential-test.store").read_text())
    assert said == {"ServerURL": "a.example", "Username": "me", "Secret": "pass:word"}
    assert home.read() == {**setting, "auths": {"a.example": {}}}
    home.logins.keep("a.example", Credential("me", "", "identity-1"))
    said = json.loads((home.directory / "bin/docker-credential-test.store").read_text())
    assert said == {"ServerURL": "a.example", "Username": "<token>", "Secret": "identity-1"}
    assert home.logins.forget("a.example")
    assert (home.directory / "bin/docker-credential-test.erase").read_text() == "a.example"
    assert home.read() == {**setting, "auths": {}}


def test_a_helper_of_another_registry_is_left_alone(home: Home) -> None:
    home.write({"credHelpers": {"b.example": "test"}})
    home.helper("test", "exit 9")
    assert home.logins.keep("a.example", ME) == str(home.config)


@pytest.mark.parametrize("script", [None, "cat; exit 3"])
def test_a_helper_that_fails_leaves_everything_and_its_words_are_not_shown(home: Home, script: str | None) -> None:
    home.write({"credsStore": "test"})
    if script is not None:
        home.helper("test", script)
    with pytest.raises(RegistryError) as caught:
        home.logins.keep("a.example", ME)
    assert caught.value.code == "credential-helper-failed"
    assert "pass:word" not in str(caught.value)
    assert home.read() == {"credsStore": "test"}


@pytest.mark.parametrize("name", ["../../tmp/x", "-x", "a b", "a;b", 3])
def test_a_helper_with_a_harmful_name_is_given_nothing(home: Home, name: object) -> None:
    """Conformance: security/credential-helper-name."""
    home.write({"credsStore": name})
    for do in (lambda: home.logins.keep("a.example", ME), lambda: home.logins.forget("a.example")):
        with pytest.raises(RegistryError) as caught:
            do()
        assert caught.value.code == "bad-credential-helper"
