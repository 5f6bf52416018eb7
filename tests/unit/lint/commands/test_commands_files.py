"""Files that go, change, come from elsewhere or out of archives."""

from __future__ import annotations

import pytest

from slimstage.lint.commands.command import Change, Clean, Download, Extract, Remove, place
from support.commanding import commands_in, only


def texts(words: object) -> list[str]:
    return [word.shape for word in words]  # type: ignore[attr-defined]  # a tuple of words


@pytest.mark.parametrize(
    ("run", "caches"),
    [
        ("rm -rf /var/lib/apt/lists/*", {"apt-lists"}),
        ("rm -rf /var/lib/apt/lists", {"apt-lists"}),
        ("rm -fr -- /var/lib/apt/lists/ /var/cache/apt/archives/*", {"apt-lists", "apt-archives"}),
        ("find /var/lib/apt/lists -type f -delete", {"apt-lists"}),
        ("find /var/lib/apt/lists -mindepth 1 -exec rm -r {} +", {"apt-lists"}),
        ("rm -rf /root/.cache/pip", {"pip"}),
        ("rm -rf ~/.cache", {"pip", "uv", "poetry", "huggingface"}),
        ("rm -rf $HOME/.cache/pip/*", {"pip"}),
        ("rm -rf /root/.npm", {"npm"}),
        ("rm -rf /var/cache/yum", {"dnf"}),
        ("rm -rf /tmp/*", {"temporary"}),
        ("cd /var/lib && rm -rf x", set()),
        ("rm -rf /var/lib/dpkg", set()),
        ("rm -rf '/var/lib/apt/lists/a_b'", set()),
    ],
)
def test_caches_that_go(run: str, caches: set[str]) -> None:
    found = [each for each in commands_in(run) if isinstance(each, Clean)]
    assert set().union(*(each.caches for each in found)) == caches


def test_files_that_go() -> None:
    found = only(Remove, "rm -rf /opt/x ./y && true")
    assert (texts(found.paths), found.is_recursive, found.manager) == (["/opt/x", "./y"], True, None)
    assert texts(only(Remove, "find / -name '*.pyc' -delete").paths) == ["/**/*.pyc"]
    assert texts(only(Remove, "find /a -name tests -exec rm -rf {} +").paths) == ["/a/**/tests"]


def test_a_place_follows_cd() -> None:
    found = only(Remove, "cd /opt && rm -r x/ ../y $Z ~/a")
    assert [place(found.invocation, word) for word in found.paths] == ["/opt/x", "/y", None, None]
    assert place(only(Remove, "rm x").invocation, only(Remove, "rm x").paths[0]) == "x"


@pytest.mark.parametrize(
    ("run", "action", "value", "paths", "is_recursive"),
    [
        ("chown -R app:app /app /data", "chown", "app:app", ["/app", "/data"], True),
        ("chown --recursive --from=root 1000 /app", "chown", "1000", ["/app"], True),
        ("chown --reference=/x /app", "chown", None, ["/app"], False),
        ("chgrp -hR 0 /app", "chgrp", "0", ["/app"], True),
        ("chmod -R 755 /app", "chmod", "755", ["/app"], True),
        ("chmod +x /a /b", "chmod", "+x", ["/a", "/b"], False),
        ("chmod -x /a", "chmod", "-x", ["/a"], False),
        ("chmod -R g=u /a", "chmod", "g=u", ["/a"], True),
        ("chmod -Rv a-w /a", "chmod", "a-w", ["/a"], True),
        ("strip --strip-unneeded /x.so", "strip", None, ["/x.so"], False),
        ("strip -s -o /y /x", "strip", None, ["/x"], False),
        ("mv /a /b /c", "mv", "/c", ["/a", "/b"], False),
        ("mv -t /c /a /b", "mv", "/c", ["/a", "/b"], False),
        ("cp -a /a /b", "cp", "/b", ["/a"], True),
        ("touch -d yesterday /a", "touch", None, ["/a"], False),
        ("find /usr/lib -name '*.so*' -exec strip {} \\;", "strip", None, ["/usr/lib/**/*.so*"], False),
        ("find /a -type d -print0 | xargs -0 chmod 755", "chmod", "755", ["/a/**/*"], False),
    ],
)
def test_files_that_change(run: str, action: str, value: str | None, paths: list[str], is_recursive: bool) -> None:
    found = only(Change, run)
    assert (found.action, found.value and found.value.shape, texts(found.paths), found.is_recursive) == (
        action,
        value,
        paths,
        is_recursive,
    )


@pytest.mark.parametrize(
    ("run", "tool", "urls", "output", "is_streamed"),
    [
        ("curl -fsSL https://x/y -o /z", "curl", ["https://x/y"], "/z", False),
        ("curl -LO https://x/y", "curl", ["https://x/y"], None, False),
        ("curl -sSL https://x | sh", "curl", ["https://x"], None, True),
        ("curl -H 'A: b' --retry 5 --url https://x > /z", "curl", ["https://x"], None, False),
        ("curl -o- https://x | tar xz", "curl", ["https://x"], None, True),
        ("wget -q https://x/y", "wget", ["https://x/y"], None, False),
        ("wget -qO- https://x | bash", "wget", ["https://x"], None, True),
        ("wget --no-check-certificate -O /z https://x", "wget", ["https://x"], "/z", False),
        ("git clone --depth 1 -b main https://x/y.git /src", "git", ["https://x/y.git"], "/src", False),
        ("git -c a=b clone https://x/y.git", "git", ["https://x/y.git"], None, False),
        ("aws s3 cp --recursive s3://b/k /models", "aws", ["s3://b/k"], "/models", False),
        ("gsutil -m cp gs://b/k .", "gsutil", ["gs://b/k"], ".", False),
        ("gcloud storage cp gs://b/k /m", "gcloud", ["gs://b/k"], "/m", False),
        ("hf download org/model --local-dir /m --revision abc", "huggingface", ["org/model"], "/m", False),
        ("huggingface-cli download org/model config.json", "huggingface", ["org/model"], None, False),
    ],
)
def test_downloads(run: str, tool: str, urls: list[str], output: str | None, is_streamed: bool) -> None:
    found = only(Download, run)
    assert (found.tool, texts(found.urls), found.output, found.is_streamed) == (tool, urls, output, is_streamed)


@pytest.mark.parametrize(
    "run",
    ["curl -I https://x", "curl -T f https://x", "wget --spider https://x", "git fetch", "aws s3 cp /a s3://b", "curl"],
)
def test_what_downloads_nothing(run: str) -> None:
    assert not [each for each in commands_in(run) if isinstance(each, Download)]


@pytest.mark.parametrize(
    ("run", "archive", "directory"),
    [
        ("tar xzf a.tgz -C /opt", "a.tgz", "/opt"),
        ("tar -xzf a.tgz --strip-components=1", "a.tgz", "."),
        ("tar --extract --file a.tgz --directory=/x", "a.tgz", "/x"),
        ("tar xfC a.tar /x", "a.tar", "/x"),
        ("curl -L https://x | tar -xz -C /opt --strip 1", None, "/opt"),
        ("tar xzvf - -C d", None, "d"),
        ("cd /x && tar -C y -xf a", "a", "/x/y"),
        ("unzip -q a.zip -d /z", "a.zip", "/z"),
    ],
)
def test_archives_that_are_unpacked(run: str, archive: str | None, directory: str) -> None:
    found = only(Extract, run)
    assert (found.archive and found.archive.shape, found.directory) == (archive, directory)


def test_archives_that_are_made_or_listed_are_not_unpacked() -> None:
    assert not commands_in("tar czf a.tgz b && tar -tf a.tgz && unzip -l a.zip")


def test_commands_come_in_the_order_of_the_text() -> None:
    found = commands_in(
        "apt-get update && apt-get install -y gcc && make && apt-get purge -y gcc && rm -rf /var/lib/apt/lists/*"
    )
    assert [type(each).__name__ for each in found] == ["Update", "Install", "Compile", "Remove", "Clean"]
