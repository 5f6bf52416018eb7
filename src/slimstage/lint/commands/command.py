"""What an invocation does. One invocation may do several things (`rm` of two caches), or nothing that is known here."""

from __future__ import annotations

import posixpath
from typing import Literal, TypeAlias

from slimstage.diagnostics import Span
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.values import dataclass

Manager: TypeAlias = Literal[
    "pip", "pipx", "uv", "poetry", "pdm", "pipenv", "conda", "apt", "dpkg", "apk", "dnf",
    "npm", "yarn", "pnpm", "bun", "go", "cargo",
]  # fmt: skip
"""Who installs: `apt` for apt, apt-get and aptitude; `conda` for conda, mamba and micromamba; `dnf` for yum, microdnf and
tdnf too; the program itself is `Command.invocation.name`.
"""
Family: TypeAlias = Literal["python", "conda", "debian", "alpine", "rpm", "node", "go", "rust"]

FAMILY: dict[Manager, Family] = {
    "pip": "python", "pipx": "python", "uv": "python", "poetry": "python", "pdm": "python", "pipenv": "python",
    "conda": "conda", "apt": "debian", "dpkg": "debian", "apk": "alpine", "dnf": "rpm",
    "npm": "node", "yarn": "node", "pnpm": "node", "bun": "node", "go": "go", "cargo": "rust",
}  # fmt: skip

Action: TypeAlias = Literal[
    "install", "sync", "add", "create", "update", "upgrade", "build-dep", "download", "wheel", "run"
]
"""sync: a lock file or project. create: a conda environment. upgrade: what is there already. download, wheel: into a
directory, nothing is installed.
"""

Kind: TypeAlias = Literal["name", "url", "vcs", "path", "group"]


@dataclass(frozen=True, slots=True)
class Requested:
    """A package that is asked for.

    name: normalised as its index does (Python: lower case, runs of `-_.` as `-`; Debian: without architecture; conda:
    without channel); "" when it is not known. raw: as asked for, quotes removed, `UNKNOWN` for unknown parts.
    constraint: what is said of the version, operator included (`==2.1`, `>=1,<2`, `=1.2-3` of apt, `@1.2` of npm); it may hold
    `UNKNOWN`; "" when nothing is said. extras: of Python distributions, normalised.
    is_pinned: one version, commit or file is asked for; also where a variable says which.
    kind: path: a file or directory of the build; group: `@development-tools` of dnf.
    span: its place; is_exact: the place has `raw` letter by letter.
    """

    name: str
    raw: str
    span: Span
    constraint: str = ""
    extras: tuple[str, ...] = ()
    is_pinned: bool = False
    kind: Kind = "name"
    is_exact: bool = True
    channel: str = ""

    @property
    def version(self) -> str | None:
        """The one version that is asked for; None when it is a range, or not known."""
        if not self.is_pinned or self.kind != "name" or UNKNOWN in self.constraint:
            return None
        return self.constraint.lstrip("=@v ") or None


FileKind: TypeAlias = Literal["requirements", "constraints", "environment", "project", "lock"]


@dataclass(frozen=True, slots=True)
class FileArgument:
    """A file that names packages. path: as the command is given it, or the file it looks for by itself (`pyproject.toml`);
    None when it is not known. span: the word, or the command where no word names it.
    """

    path: str | None
    kind: FileKind
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How something is installed. Texts are as given, None or empty when they are not.

    no_cache: nothing is kept of what was downloaded. cache_dir: where it is kept. no_recommends: apt's
    `--no-install-recommends`, dnf's weak dependencies turned off. assume_yes: it does not ask. index_url, extra_index_urls:
    with `UNKNOWN` for unknown parts. target: a directory in place of the environment's. prefix, root: below which it goes.
    environment: conda's `-n` or `-p`. is_frozen: exactly what the lock file says. no_dev: without packages of development.
    groups: extras and groups that are asked for. virtual: apk's name for a set that can be removed again.
    """

    no_cache: bool = False
    cache_dir: str | None = None
    no_recommends: bool = False
    assume_yes: bool = False
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    target: str | None = None
    prefix: str | None = None
    root: str | None = None
    is_editable: bool = False
    is_user: bool = False
    is_global: bool = False
    no_deps: bool = False
    is_upgrade: bool = False
    no_compile: bool = False
    no_binary: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    requires_hashes: bool = False
    is_frozen: bool = False
    no_dev: bool = False
    groups: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    environment: str | None = None
    virtual: str | None = None
    platform: str | None = None
    torch_backend: str | None = None

    @property
    def index_urls(self) -> tuple[str, ...]:
        """All indexes that are named, the main one first."""
        return (*((self.index_url,) if self.index_url else ()), *self.extra_index_urls)


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class Install:
    """Packages come. packages: those that the command names; files: those that name further ones."""

    manager: Manager
    action: Action
    packages: tuple[Requested, ...]
    files: tuple[FileArgument, ...]
    options: Options
    invocation: Invocation

    @property
    def family(self) -> Family:
        return FAMILY[self.manager]


@dataclass(frozen=True, slots=True)
class Update:
    """Lists of packages come (`apt-get update`, `apk update`)."""

    manager: Manager
    invocation: Invocation


Cache: TypeAlias = Literal[
    "apt-lists", "apt-archives", "pip", "uv", "poetry", "conda", "dnf", "apk", "npm", "yarn", "pnpm", "go", "cargo",
    "huggingface", "temporary",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clean:
    """Caches go, by a command of their own or by `rm`."""

    caches: frozenset[Cache]
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Remove:
    """Packages or files go. manager: None for files. is_auto: also what nothing needs any more (apt-get autoremove)."""

    manager: Manager | None
    packages: tuple[Requested, ...]
    paths: tuple[Word, ...]
    invocation: Invocation
    is_recursive: bool = False
    is_auto: bool = False


@dataclass(frozen=True, slots=True)
class Compile:
    """Something is made from source. tool: `make`, `gcc`, `cmake`, `cargo`, `go`, `setup.py`, `pip`, …"""

    tool: str
    invocation: Invocation


ChangeAction: TypeAlias = Literal["chown", "chgrp", "chmod", "strip", "mv", "touch", "cp"]


@dataclass(frozen=True, slots=True)
class Change:
    """Files are changed in place, or moved. value: the owner or mode; the destination of mv and cp. paths: what is changed."""

    action: ChangeAction
    paths: tuple[Word, ...]
    invocation: Invocation
    value: Word | None = None
    is_recursive: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    """Files come from elsewhere. urls: as given (`s3://…`, a repository of git, a name at a hub). output: the file or
    directory they go to, None: by their own name, or not known. is_streamed: into standard output.
    """

    tool: str
    urls: tuple[Word, ...]
    invocation: Invocation
    output: str | None = None
    is_streamed: bool = False


@dataclass(frozen=True, slots=True)
class Extract:
    """An archive is unpacked. archive: None when it comes from a pipe."""

    tool: str
    archive: Word | None
    invocation: Invocation
    directory: str | None = None


Command: TypeAlias = Install | Update | Clean | Remove | Compile | Change | Download | Extract


def place(invocation: Invocation, word: Word) -> str | None:
    """The path a word names, after `cd`: absolute, or relative to the RUN's working directory; None: not known.

    `**` and other wildcards stay in it; a final `/` does not.
    """
    text = word.text
    if not text or text.startswith("~"):
        return None
    if not text.startswith("/"):
        if invocation.directory is None:
            return None
        text = posixpath.join(invocation.directory, text)
    return posixpath.normpath(text)
