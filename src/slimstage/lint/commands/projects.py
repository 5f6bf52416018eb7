"""Managers of Python projects: uv, poetry, pdm, pipenv.

Source: `uv help pip install`, `sync`, `add`, `tool install` of uv 0.9; documentation of poetry 2, pdm 2 and pipenv 2025.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slimstage.lint.commands.command import Clean, Command, FileArgument, Install, Options, Remove
from slimstage.lint.commands.distributions import requested_word
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import Invocation, Word
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.lint.commands.command import FileKind, Manager

_UV = Table(
    """
    -r,--requirement,--requirements,--with-requirements= -e,--with-editable,--editable=
    -c,--constraint,--constraints= --overrides,--override= --excludes= -b,--build-constraint,--build-constraints=
    --extra= --no-extra= --group= --no-group= --only-group= --package= --no-install-package= --index=
    --default-index= -i,--index-url= --extra-index-url= -f,--find-links= --index-strategy= --keyring-provider=
    -P,--upgrade-package= --reinstall-package= --resolution= --prerelease= --fork-strategy=
    -C,--config-setting,--config-settings= --config-settings-package= --no-build-isolation-package=
    --no-build-package= --no-binary-package= --no-binary= --only-binary= --exclude-newer= --exclude-newer-package=
    --link-mode= --refresh-package= --no-sources-package= --cache-dir= -p,--python= --python-preference= --color=
    --allow-insecure-host= --directory= --project= --config-file= -t,--target= --prefix= --python-version=
    --python-platform= --torch-backend= --optional= --tag= --branch= --rev= --bounds= -m,--marker= --script= --from=
    -w,--with= --env-file= -o,--output-file= --format= --upgrade-group= -n,--no-cache-dir,--no-cache -U,--upgrade
    --no-deps --system --user --pre --no-dev --only-dev --dev --all-extras --all-groups --no-default-groups --frozen
    --locked --no-install-project --no-editable --compile,--compile-bytecode --require-hashes --exact --inexact
    --no-index --no-build --break-system-packages -q,--quiet -v,--verbose --reinstall --refresh --offline
    --no-config --native-tls --no-sources --dry-run --strict --all,--all-packages
    """
)
_POETRY = Table(
    """
    -C,--directory= -P,--project= -E,--extras= --without= --with= --only= -G,--group= --source= --platform=
    --python= -f,--format= -o,--output= --no-root --no-dev --only-root --sync --no-cache -n,--no-interaction
    --all-extras --all-groups --no-ansi -D,--dev -e,--editable -q,--quiet --compile --no-directory -v,--verbose
    --without-hashes
    """
)
_PDM = Table(
    """
    -G,--with,--group= --without= -L,--lockfile= -p,--project= --venv= --override= -e,--editable= -c,--config=
    -k,--skip= --prod,--production --no-self --no-editable --frozen-lockfile,--no-lock --no-default -d,--dev
    -g,--global --clean --check --no-isolation -v,--verbose -q,--quiet --dry-run
    """
)
_PIPENV = Table(
    "-r,--requirements= -e,--editable= -i,--index= --extra-pip-args= --categories= -p,--python= --system --deploy --dev,-d"
)


def uv(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`uv pip install`, `uv sync`, `uv add`, `uv tool install`, `uv run`, `uv cache clean`."""
    parsed = _UV.parse(words)
    names = [word.shape for word in parsed.rest[:2]] + ["", ""]
    rest = parsed.rest
    options = _uv_options(parsed)
    if names[0] == "pip" and names[1] == "install":
        packages = (*map(requested_word, rest[2:]), *(requested_word(word) for word in parsed.values("--editable")))
        yield Install("uv", "install", packages, _uv_files(parsed), options, invocation)
    elif names[0] == "pip" and names[1] == "sync":
        files = tuple(FileArgument(word.text, "requirements", word.span) for word in rest[2:])
        yield Install("uv", "sync", (), files, replace(options, is_frozen=True), invocation)
    elif names[0] == "pip" and names[1] == "uninstall":
        yield Remove("uv", tuple(map(requested_word, rest[2:])), (), invocation)
    elif names[0] == "sync" and not parsed.values("--script"):
        yield Install("uv", "sync", (), _project(invocation, "pyproject.toml", "uv.lock", parsed), options, invocation)
    elif names[0] == "add":
        packages = tuple(map(requested_word, rest[1:]))
        yield Install("uv", "add", packages, _uv_files(parsed), options, invocation)
    elif names[0] == "remove":
        yield Remove("uv", tuple(map(requested_word, rest[1:])), (), invocation)
    elif names[0] == "tool" and names[1] == "install":
        also = tuple(requested_word(word) for word in parsed.values("--with"))
        yield Install("uv", "install", (*map(requested_word, rest[2:3]), *also), _uv_files(parsed), options, invocation)
    elif names[0] == "run" and not parsed.has("--no-sync"):
        files = _project(invocation, "pyproject.toml", "uv.lock", parsed)
        also = tuple(requested_word(word) for word in parsed.values("--with"))
        yield Install("uv", "run", also, files, options, invocation)
    elif names[0] == "cache" and names[1] in ("clean", "prune"):
        yield Clean(frozenset(("uv",)), invocation)


def _uv_files(parsed: Parsed) -> tuple[FileArgument, ...]:
    kinds: tuple[tuple[str, FileKind], ...] = (
        ("--with-requirements", "requirements"),
        ("--constraints", "constraints"),
    )
    return tuple(
        FileArgument(word.text, "project" if (word.text or "").endswith("pyproject.toml") else kind, word.span)
        for name, kind in kinds
        for word in parsed.values(name)
    )


def _project(invocation: Invocation, project: str, lock: str, parsed: Parsed) -> tuple[FileArgument, ...]:
    """The files that a manager looks for by itself."""
    where = parsed.value("--project", "--directory")
    found: tuple[tuple[str, FileKind], ...] = ((project, "project"), (lock, "lock"))
    return tuple(
        FileArgument(f"{where.rstrip('/')}/{name}" if where else name, kind, invocation.span) for name, kind in found
    )


def _uv_options(parsed: Parsed) -> Options:
    index = parsed.shapes("--index")
    return Options(
        no_cache=parsed.has("--no-cache"),
        cache_dir=parsed.value("--cache-dir"),
        assume_yes=True,
        index_url=parsed.value("--default-index", "--index-url"),
        extra_index_urls=(*index, *parsed.shapes("--extra-index-url")),
        find_links=parsed.shapes("--find-links"),
        no_index=parsed.has("--no-index"),
        target=parsed.value("--target"),
        prefix=parsed.value("--prefix"),
        is_editable=parsed.has("--editable"),
        is_user=parsed.has("--user"),
        is_global=parsed.has("--system"),
        no_deps=parsed.has("--no-deps"),
        is_upgrade=parsed.has("--upgrade"),
        no_compile=not parsed.has("--compile-bytecode"),
        no_binary=parsed.shapes("--no-binary", "--no-binary-package"),
        only_binary=parsed.shapes("--only-binary"),
        requires_hashes=parsed.has("--require-hashes"),
        is_frozen=parsed.has("--frozen", "--locked"),
        no_dev=parsed.has("--no-dev", "--no-default-groups"),
        groups=parsed.shapes("--extra", "--group", "--only-group"),
        platform=parsed.value("--python-platform"),
        torch_backend=parsed.value("--torch-backend"),
    )


def poetry(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`poetry install`, `sync`, `add`, `remove`, `cache clear`."""
    parsed = _POETRY.parse(words)
    action = parsed.rest[0].shape if parsed.rest else ""
    packages = tuple(requested_word(word) for word in parsed.rest[1:])
    only, without = parsed.value("--only") or "", parsed.value("--without") or ""
    options = Options(
        no_cache=parsed.has("--no-cache"),
        assume_yes=True,
        is_frozen=True,
        no_dev=parsed.has("--no-dev") or bool(only) or "dev" in without.split(","),
        groups=tuple(each for name in ("--extras", "--with") for each in parsed.shapes(name)),
    )
    if action in ("install", "sync"):
        yield Install(
            "poetry", "sync", (), _project(invocation, "pyproject.toml", "poetry.lock", parsed), options, invocation
        )
    elif action == "add":
        yield Install("poetry", "add", packages, (), replace(options, is_frozen=False), invocation)
    elif action == "remove":
        yield Remove("poetry", packages, (), invocation)
    elif action == "cache" and any(word.shape == "clear" for word in parsed.rest):
        yield Clean(frozenset(("poetry",)), invocation)


def pdm(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`pdm install`, `sync`, `add`, `remove`."""
    parsed = _PDM.parse(words)
    action = parsed.rest[0].shape if parsed.rest else ""
    packages = tuple(requested_word(word) for word in parsed.rest[1:])
    options = Options(
        assume_yes=True,
        is_frozen=action == "sync" or parsed.has("--no-lock"),
        no_dev=parsed.has("--production"),
        groups=parsed.shapes("--group"),
    )
    if action in ("install", "sync"):
        yield Install(
            "pdm", "sync", (), _project(invocation, "pyproject.toml", "pdm.lock", parsed), options, invocation
        )
    elif action == "add":
        yield Install("pdm", "add", packages, (), options, invocation)
    elif action == "remove":
        yield Remove("pdm", packages, (), invocation)


def pipenv(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`pipenv install`, `sync`, `uninstall`."""
    parsed = _PIPENV.parse(words)
    action = parsed.rest[0].shape if parsed.rest else ""
    packages = tuple(requested_word(word) for word in parsed.rest[1:])
    options = Options(
        assume_yes=True,
        is_global=parsed.has("--system"),
        is_frozen=action == "sync" or parsed.has("--deploy"),
        no_dev=not parsed.has("--dev", "-d"),
    )
    if action in ("install", "sync"):
        manager: Manager = "pipenv"
        files = _project(invocation, "Pipfile", "Pipfile.lock", parsed) if not packages else ()
        files += tuple(FileArgument(word.text, "requirements", word.span) for word in parsed.values("--requirements"))
        yield Install(manager, "sync" if not packages else "add", packages, files, options, invocation)
    elif action == "uninstall":
        yield Remove("pipenv", packages, (), invocation)
