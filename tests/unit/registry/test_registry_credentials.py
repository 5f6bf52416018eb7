"""Credentials as Docker and Podman keep them, and the helpers that keep them elsewhere."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from slimstage.errors import RegistryError
from slimstage.registry.credentials import Credential, CredentialSource, credential_files
from slimstage.registry.faults import Secrets


def packed(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


class Home:
    """A home directory, and the environment that names it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.secrets = directory, Secrets()
        (directory / "bin").mkdir()
        self.environ = {"HOME": str(directory), "PATH": f"{directory / 'bin'}:/usr/bin:/bin"}

    def write(self, path: str, document: object) -> Path:
        place = self.directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(document if isinstance(document, str) else json.dumps(document))
        return place

    def helper(self, name: str, script: str) -> None:
        program = self.directory / "bin" / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def find(self, registry: str, repository: str = "a") -> Credential | None:
        return self.source.find(registry, repository).credential

    def user(self, registry: str, repository: str = "a") -> str | None:
        found = self.find(registry, repository)
        return found.user if found else None

    @property
    def source(self) -> CredentialSource:
        return CredentialSource(self.secrets, self.environ)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nothing_anywhere_is_no_credential(home: Home) -> None:
    assert home.source.find("a.example", "a").credential is None


def test_dockers_file_of_the_home_directory(home: Home) -> None:
    place = home.write(".docker/config.json", {"auths": {"a.example": packed("me:pass:word")}})
    assert home.find("a.example") == Credential("me", "pass:word", source=str(place))
    assert home.find("b.example") is None
    assert home.find("a.example:5000") is None


def test_docker_config_names_another_directory_instead(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"a.example": packed("home:x"), "b.example": packed("home:x")}})
    home.write("other/config.json", {"auths": {"a.example": packed("other:x")}})
    home.environ["DOCKER_CONFIG"] = str(home.directory / "other")
    assert home.user("a.example") == "other"
    assert home.user("b.example") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "https://docker.io"])
def test_docker_hub_is_known_by_all_its_names(home: Home, key: str) -> None:
    home.write(".docker/config.json", {"auths": {key: packed("me:x")}})
    assert home.user("docker.io", "library/python") == "me"


@pytest.mark.parametrize("key", ["https://a.example:5000/v2/", "a.example:5000/v1/", "http://a.example:5000"])
def test_keys_with_scheme_and_version_are_hosts(home: Home, key: str) -> None:
    home.write(".docker/config.json", {"auths": {key: packed("me:x")}})
    assert home.user("a.example:5000") == "me"


def test_podmans_file_goes_first_and_the_most_particular_part_of_it(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"a.example": packed("docker:x"), "b.example": packed("docker:x")}})
    auths = {"a.example": packed("all:x"), "a.example/team": packed("team:x"), "a.example/team/app": packed("app:x")}
    home.write("run/containers/auth.json", {"auths": auths})
    home.environ["XDG_RUNTIME_DIR"] = str(home.directory / "run")
    names = [home.user("a.example", name) for name in ("team/app", "team/other", "teams", "x/team/app")]
    assert names == ["app", "team", "all", "all"]
    assert home.user("b.example") == "docker"


def test_registry_auth_file_goes_before_all_others(home: Home) -> None:
    home.write("run/containers/auth.json", {"auths": {"a.example": packed("run:x")}})
    named = home.write("named.json", {"auths": {"a.example": packed("named:x")}})
    home.environ |= {"XDG_RUNTIME_DIR": str(home.directory / "run"), "REGISTRY_AUTH_FILE": str(named)}
    assert home.user("a.example") == "named"


def test_tokens_of_dockers_file(home: Home) -> None:
    auths = {"a.example": {"identitytoken": "id-1"}, "b.example": {"registrytoken": "reg-1"}, "c.example": {}}
    home.write(".docker/config.json", {"auths": auths})
    first, second = home.find("a.example"), home.find("b.example")
    assert first is not None
    assert first.identity_token == "id-1"
    assert second is not None
    assert second.registry_token == "reg-1"
    assert home.find("c.example") is None


def test_a_helper_is_asked_for_its_registry_only(home: Home) -> None:
    home.write(".docker/config.json", {"credHelpers": {"a.example": "test.1"}, "auths": {"b.example": packed("b:x")}})
    home.helper(
        "test.1", 'server=$(cat); printf \'{"ServerURL":"%s","Username":"%s","Secret":"%s"}\' "$server" "$1" "$server"'
    )
    assert home.find("a.example") == Credential("get", "a.example", source="docker-credential-test.1")
    assert home.user("b.example") == "b"


def test_the_general_helper_is_asked_for_docker_hub_by_its_old_name(home: Home) -> None:
    home.write(".docker/config.json", {"credsStore": "all"})
    home.helper("all", 'printf \'{"Username":"<token>","Secret":"%s"}\' "$(cat)"')
    found = home.find("docker.io", "library/python")
    assert found is not None
    assert found.identity_token == "https://index.docker.io/v1/"


def test_a_helper_that_knows_nothing_leaves_the_file(home: Home) -> None:
    home.write(".docker/config.json", {"credsStore": "all", "auths": {"a.example": packed("file:x")}})
    home.helper("all", "echo credentials not found in native keychain; exit 1")
    found = home.source.find("a.example", "a")
    assert found.credential is not None
    assert found.credential.user == "file"
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("script", "words"),
    [(None, "not installed"), ("echo no bus; exit 3", "failed: no bus"), ("echo hidden", "not a cred")],
)
def test_a_helper_that_does_not_work_is_remarked_and_the_pull_goes_on(
    home: Home, script: str | None, words: str
) -> None:
    home.write(".docker/config.json", {"credHelpers": {"a.example": "broken"}})
    if script is not None:
        home.helper("broken", script)
    found = home.source.find("a.example", "a")
    assert found.credential is None
    (remark,) = found.remarks
    assert words in remark
    assert "hidden" not in remark


@pytest.mark.parametrize("name", ["../../tmp/x", "-x", "a b", "a;b", "a/b", "ä", "x\n", "", 3])
@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_with_a_harmful_name_is_not_run(home: Home, key: str, name: object) -> None:
    """Conformance: security/credential-helper-name."""
    home.write(".docker/config.json", {key: name if key == "credsStore" else {"a.example": name}})
    if key == "credsStore" and not name:
        assert home.find("a.example") is None  # Docker writes an empty one for "none"
        return
    with pytest.raises(RegistryError) as caught:
        home.find("a.example")
    assert caught.value.code == "bad-credential-helper"


def test_a_helper_gets_no_shell(home: Home) -> None:
    home.write(".docker/config.json", {"credsStore": "say"})
    home.helper("say", f'cat > {home.directory}/said; printf \'{{"Username":"u","Secret":"s"}}\'')
    home.source.find("$(touch pwned)", "a")
    assert (home.directory / "said").read_text() == "$(touch pwned)"


def test_a_helper_is_asked_once(home: Home) -> None:
    home.write(".docker/config.json", {"credsStore": "count"})
    home.helper("count", f'echo >> {home.directory}/count; echo \'{{"Username":"u","Secret":"s"}}\'')
    source = home.source
    assert source.find("a.example", "a") == source.find("a.example", "a")
    assert (home.directory / "count").read_text() == "\n"


@pytest.mark.parametrize("text", ["{", "secret: yes", '{"auths": {"a.example": {"auth": "%%secret"}}}'])
def test_a_damaged_file_is_an_error_that_shows_nothing_of_it(home: Home, text: str) -> None:
    home.write(".docker/config.json", text)
    with pytest.raises(RegistryError) as caught:
        home.find("a.example")
    assert caught.value.code == "bad-credentials-file"
    assert "secret" not in str(caught.value)


def test_a_file_of_another_shape_holds_nothing(home: Home) -> None:
    home.write(".docker/config.json", {"auths": [], "credHelpers": "x", "credsStore": None})
    assert home.find("a.example") is None


def test_credentials_are_not_shown_and_are_taken_out_of_messages(home: Home) -> None:
    shown = repr(Credential("me", "hidden-1", "hidden-2", "hidden-3"))
    assert "me" in shown
    assert "hidden" not in shown
    home.write(".docker/config.json", {"auths": {"a.example": packed("me:hunter22")}})
    found = home.find("a.example")
    assert found is not None
    assert home.secrets.redact(f"no: hunter22, {found.basic}") == "no: xxxxx, Basic xxxxx"


def test_podmans_file_of_a_user_without_a_runtime_directory(home: Home) -> None:
    """Source: containers-auth.json(5)."""
    assert f"/run/containers/{os.getuid()}/auth.json" in credential_files(home.environ)
    home.environ["XDG_RUNTIME_DIR"] = "/run/user/7"
    assert "/run/user/7/containers/auth.json" in credential_files(home.environ)
    assert not any(path.startswith("/run/containers") for path in credential_files(home.environ))
