"""Packages of distributions, of Node, Go and Rust: what is asked for, with which options."""

from __future__ import annotations

import pytest

from slimstage.lint.commands.command import Clean, Compile, Install, Remove, Update
from slimstage.lint.shell.script import UNKNOWN
from support.commanding import commands_in, only


def asked(run: str) -> list[tuple[str, str, bool]]:
    return [(each.name, each.constraint, each.is_pinned) for each in only(Install, run).packages]


@pytest.mark.parametrize(
    "run",
    [
        "apt-get install -y git",
        "apt-get -y install git",
        "apt-get -yq install git",
        "apt-get -qqy install git",
        "apt-get install -yqq git",
        "apt install --yes git",
        "apt-get -qq install git",
        "apt-get -q=2 install git",
        "apt-get install git --assume-yes",
        "DEBIAN_FRONTEND=noninteractive apt-get install -y git",
        "sudo apt-get -o Dpkg::Options::=--force-confold install -y git",
        "apt-get -oAcquire::Retries=3 install -y git",
        "apt-get install -t bookworm-backports -y git",
        "aptitude -y install git",
    ],
)
def test_apt_install_under_any_name(run: str) -> None:
    found = only(Install, run)
    assert (found.manager, found.action, [each.name for each in found.packages]) == ("apt", "install", ["git"])
    assert found.options.assume_yes


def test_apt_asks_without_yes() -> None:
    assert not only(Install, "apt-get install git").options.assume_yes
    assert not only(Install, "apt-get -q install git").options.assume_yes


@pytest.mark.parametrize(
    ("options", "no_recommends"),
    [
        ("", False),
        ("--no-install-recommends", True),
        ("-o APT::Install-Recommends=false", True),
        ("-o APT::Install-Recommends=0", True),
        ("-oapt::install-recommends=no", True),
        ("--option=APT::Install-Recommends=False", True),
        ("-o APT::Install-Recommends=true", False),
        ("--no-install-recommends --install-recommends", False),
        ("--no-install-suggests", False),
    ],
)
def test_recommends(options: str, no_recommends: bool) -> None:
    assert only(Install, f"apt-get install -y {options} git").options.no_recommends is no_recommends


def test_packages_of_apt() -> None:
    assert asked("apt-get install -y g++ libc6:i386 git=1:2.39* curl/bookworm ./a.deb python3.11-dev x=$V $P") == [
        ("g++", "", False),
        ("libc6", "", False),
        ("git", "=1:2.39*", True),
        ("curl", "/bookworm", False),
        ("", "", True),
        ("python3.11-dev", "", False),
        ("x", f"={UNKNOWN}", True),
        ("", "", False),
    ]


def test_what_else_apt_does() -> None:
    assert only(Update, "apt-get -qq update").manager == "apt"
    assert only(Install, "apt-get dist-upgrade -y").action == "upgrade"
    assert only(Install, "apt-get build-dep -y x").action == "build-dep"
    assert only(Clean, "apt-get clean").caches == {"apt-archives"}
    assert [each.name for each in only(Remove, "apt-get purge -y --auto-remove gcc make").packages] == ["gcc", "make"]
    assert only(Remove, "apt-get purge -y --auto-remove gcc").is_auto
    assert only(Remove, "apt-get autoremove -y").is_auto
    assert only(Install, "dpkg -i /tmp/x.deb").packages[0].kind == "path"
    assert only(Remove, "dpkg --purge x").packages[0].name == "x"
    assert not commands_in("apt-cache search x && apt-mark hold y && dpkg -l && apt-get")


def test_apk() -> None:
    found = only(
        Install, "apk add --no-cache --virtual .build-deps -X http://r gcc 'musl-dev=1.2-r0' py3-x~1 'y>2' z@edge"
    )
    assert (found.manager, found.options.no_cache, found.options.virtual) == ("apk", True, ".build-deps")
    assert [(each.name, each.constraint, each.is_pinned) for each in found.packages] == [
        ("gcc", "", False),
        ("musl-dev", "=1.2-r0", True),
        ("py3-x", "~1", True),
        ("y", ">2", False),
        ("z", "", False),
    ]
    assert only(Install, "apk -U add x").packages[0].name == "x"
    assert only(Remove, "apk del .build-deps").packages[0].name == ".build-deps"
    assert only(Update, "apk update").manager == "apk"
    assert only(Clean, "apk cache clean").caches == {"apk"}
    assert only(Clean, "rm -rf /var/cache/apk/*").caches == {"apk"}


def test_dnf() -> None:
    found = only(
        Install,
        "dnf -y install --setopt=install_weak_deps=False --enablerepo crb gcc git-2.43.0-1.el9.x86_64 @dev x.rpm",
    )
    assert (found.manager, found.options.no_recommends, found.options.assume_yes) == ("dnf", True, True)
    assert [(each.name, each.kind, each.is_pinned) for each in found.packages] == [
        ("gcc", "name", False),
        ("git", "name", True),
        ("dev", "group", False),
        ("", "path", True),
    ]
    assert asked("yum install -y python3-devel glibc.i686 java-11-openjdk") == [
        ("python3-devel", "", False),
        ("glibc", "", False),
        ("java-11-openjdk", "", False),
    ]
    assert only(Clean, "microdnf clean all").caches == {"dnf"}
    assert only(Install, "yum update -y").action == "upgrade"
    assert only(Remove, "dnf remove -y gcc").packages[0].name == "gcc"


def test_npm() -> None:
    found = only(Install, "npm ci --omit=dev --no-audit")
    assert (found.action, found.options.is_frozen, found.options.no_dev) == ("sync", True, True)
    assert [each.path for each in found.files] == ["package.json", "package-lock.json"]
    assert asked("npm install -g yarn@1.22.19 @angular/cli typescript@^5") == [
        ("yarn", "@1.22.19", True),
        ("@angular/cli", "", False),
        ("typescript", "@^5", False),
    ]
    assert only(Install, "npm --prefix web install").files[0].path == "web/package.json"
    assert only(Install, "yarn").files[1].path == "yarn.lock"
    assert only(Install, "yarn install --frozen-lockfile --production").options.no_dev
    assert only(Install, "pnpm i --frozen-lockfile --prod").options.is_frozen
    assert asked("pnpm add -w x@1.0.0") == [("x", "@1.0.0", True)]
    assert only(Clean, "npm cache clean --force").caches == {"npm"}
    assert only(Clean, "yarn cache clean").caches == {"yarn"}
    assert only(Compile, "npm run build").tool == "npm"
    assert not commands_in("npm config set x y && npm test && yarn --version")


def test_go() -> None:
    assert asked("go install golang.org/x/tools/gopls@latest") == [("golang.org/x/tools/gopls", "@latest", False)]
    assert only(Install, "go mod download").files[0].path == "go.mod"
    assert only(Compile, "CGO_ENABLED=0 go build -ldflags '-s -w' -o /app ./cmd").tool == "go"
    assert only(Clean, "go clean -modcache").caches == {"go"}


def test_cargo() -> None:
    assert asked("cargo install --locked ripgrep@14.0.0 fd-find") == [
        ("ripgrep", "@14.0.0", True),
        ("fd-find", "", False),
    ]
    assert asked("cargo install --version 1.2 x") == [("x", "@1.2", True)]
    assert only(Compile, "cargo +nightly build --release -p x").tool == "cargo"
    assert only(Install, "cargo fetch").files[1].kind == "lock"


@pytest.mark.parametrize(
    ("run", "tool"),
    [
        ("make -j$(nproc) install", "make"),
        ("make -C src -j 4", "make"),
        ("cmake -S . -B build -DX=ON", "cmake"),
        ("cmake --build build --target install", "cmake"),
        ("ninja -C build", "ninja"),
        ("gcc -O2 -o x x.c", "gcc"),
        ("g++-12 x.cc", "g++-12"),
        ("aarch64-linux-gnu-gcc x.c", "aarch64-linux-gnu-gcc"),
        ("nvcc x.cu", "nvcc"),
    ],
)
def test_compilers(run: str, tool: str) -> None:
    assert only(Compile, run).tool == tool


@pytest.mark.parametrize(
    "run", ["make clean", "make --version", "gcc --version", "cmake -E copy a b", "cmake --version"]
)
def test_what_compiles_nothing(run: str) -> None:
    assert not [each for each in commands_in(run) if isinstance(each, Compile)]
