"""Which servers a registry's name stands for, and what the settings may say."""

from __future__ import annotations

import pytest

from slimstage.errors import RegistryError, UsageError
from slimstage.registry.hosts import Origin, is_loopback, origin_of, read_hosts, shown_url


def own(host: str, **settings: dict[str, object]) -> str:
    return str(read_hosts(settings).endpoints(host)[-1].origin)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:80", "127.8.9.1", "[::1]:5000"])
def test_loopback_is_plain_http_without_asking(host: str) -> None:
    assert own(host).startswith("http://")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "[::2]:80", "registry", "a.localhost"]
)
def test_other_hosts_are_https(host: str) -> None:
    assert own(host) == f"https://{host}"


def test_a_host_of_the_settings_is_plain_http_with_its_port_only() -> None:
    hosts = read_hosts({"registry.lan:5000": {"plain-http": True}})
    assert str(hosts.endpoints("registry.lan:5000")[0].origin) == "http://registry.lan:5000"
    assert str(hosts.endpoints("Registry.LAN:5000")[0].origin) == "http://registry.lan:5000"
    assert str(hosts.endpoints("registry.lan:5001")[0].origin) == "https://registry.lan:5001"
    assert hosts.permits_plain(Origin("http", "registry.lan", 5000))
    assert not hosts.permits_plain(Origin("http", "registry.lan", 80))


@pytest.mark.parametrize("entries", [{"plain-http": False}, {"ca": "a.pem"}, {"insecure-skip-verify": True}])
def test_loopback_can_be_told_to_speak_tls(entries: dict[str, object]) -> None:
    endpoint = read_hosts({"localhost:5000": entries}).endpoints("localhost:5000")[0]
    assert str(endpoint.origin) == "https://localhost:5000"


def test_a_port_that_the_scheme_implies_may_be_left_out() -> None:
    hosts = read_hosts({"a.example:443": {"ca": "a.pem"}, "b.example": {"ca": "b.pem"}})
    assert hosts.settings_of(Origin("https", "a.example", 443)).ca == "a.pem"
    assert hosts.settings_of(Origin("https", "b.example", 443)).ca == "b.pem"
    assert hosts.settings_of(Origin("https", "b.example", 8443)).ca is None


def test_docker_hub_has_another_address_than_its_name() -> None:
    hosts = read_hosts({"docker.io": {"ca": "hub.pem"}})
    (endpoint,) = hosts.endpoints("docker.io")
    assert (endpoint.registry, str(endpoint.origin)) == ("docker.io", "https://registry-1.docker.io")
    assert endpoint.url("library/python", "tags/list") == "https://registry-1.docker.io/v2/library/python/tags/list"
    assert hosts.settings_of(endpoint.origin).ca == "hub.pem"


def test_mirrors_go_first_in_their_order_and_keep_their_path() -> None:
    mirrors = ["http://cache.lan:5000", "mirror.example/hub/", "127.0.0.1:5001", "https://x.example/v2/deep/er"]
    hosts = read_hosts({"docker.io": {"mirrors": mirrors}, "mirror.example": {"plain-http": True}})
    first, second, third, fourth, last = hosts.endpoints("docker.io")
    assert (str(first.origin), first.prefix, first.registry) == ("http://cache.lan:5000", "", "cache.lan:5000")
    assert second.url("library/a", "blobs/x") == "http://mirror.example/v2/hub/library/a/blobs/x"
    assert str(third.origin) == "http://127.0.0.1:5001"
    assert fourth.url("a", "tags/list") == "https://x.example/v2/deep/er/a/tags/list"
    assert [endpoint.is_mirror for endpoint in (first, second, third, fourth, last)] == [True] * 4 + [False]
    assert hosts.permits_plain(first.origin)
    assert not hosts.permits_plain(Origin("http", "cache.lan", 80))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"mirrors": "a"}, "is a list"),
        ({"mirrors": 3}, "is a list"),
        ({"plain-http": "yes"}, "true or false"),
        ({"insecure-skip-verify": 1}, "true or false"),
        ({"ca": 1}, "is a path"),
        ({"client-key": "k.pem"}, "needs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(entries: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_hosts({"a.example": entries})


@pytest.mark.parametrize(
    "mirror", ["ftp://a.example", "a b", "a.example/../x", "a.example/?q", "user:pw@a.example", ""]
)
def test_a_mirror_that_is_no_address_is_refused(mirror: str) -> None:
    with pytest.raises(UsageError, match="mirror"):
        read_hosts({"docker.io": {"mirrors": [mirror]}})


def test_a_section_that_names_no_host_is_refused() -> None:
    with pytest.raises(UsageError, match="not a registry"):
        read_hosts({"https://a.example/": {}})


def test_addresses_are_shown_without_what_may_be_secret() -> None:
    shown = shown_url("https://user:pw@a.example:8443/path?X-Signature=secret#part")
    assert shown == "https://a.example:8443/path?…"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://a/", "//a.example/", "https:///x", "http://a:99999/", "http://u:p@a/", ""]
)
def test_only_http_addresses_without_a_user_have_an_origin(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        origin_of(url)
    assert caught.value.code == "bad-url"


def test_an_origin_has_its_port_and_no_upper_case() -> None:
    assert origin_of("https://A.example/x") == origin_of("https://a.example:443/") == Origin("https", "a.example", 443)
    assert str(origin_of("http://[::1]:5000/v2/")) == "http://[::1]:5000"


@pytest.mark.parametrize(
    ("host", "expected"), [("127.255.0.1", True), ("::1", True), ("128.0.0.1", False), ("", False)]
)
def test_loopback_is_decided_by_the_address_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
