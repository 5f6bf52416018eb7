"""npm, yarn, pnpm and bun.

Source: npm-install(1) and npm-ci(1) of npm 11; documentation of yarn 1 and 4, pnpm 10, bun 1.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import (
    Action,
    Cache,
    Clean,
    Command,
    Compile,
    FileArgument,
    Install,
    Manager,
    Options,
    Remove,
    Requested,
)
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.regex import pattern

_TEXT = """
    --registry= -C,--prefix,--dir,--cwd= -w,--workspace= -F,--filter= --cache,--cache-folder,--store-dir= --omit=
    --include= --tag= --loglevel= --userconfig= --globalconfig= --fetch-retries= --fetch-timeout=
    --fetch-retry-mintimeout= --only= --fetch-retry-maxtimeout= --maxsockets= --script-shell= --save-prefix=
    --network-timeout= --network-concurrency= --modules-folder= --install-strategy= --node-linker= --reporter=
    --backend= --omit-lockfile-registry-resolved -g,--global --production,--prod -P,--save-prod -D,--dev,--save-dev
    -O,--save-optional -E,--exact,--save-exact --frozen-lockfile,--immutable --force,-f --no-audit --no-fund
    --no-optional --legacy-peer-deps --ignore-scripts --no-save --no-package-lock --silent,-s --verbose
    --non-interactive --offline --prefer-offline -y,--yes --pure-lockfile --ignore-engines --no-progress
    --ignore-optional --no-cache --all
"""
_NODE = Table(_TEXT)
_PNPM = Table(_TEXT.replace("-w,--workspace=", "-w,--workspace-root"))
_NAMED = pattern(rf"(?P<name>(?:@[A-Za-z0-9._~-]+/)?[A-Za-z0-9._~{UNKNOWN}-]+)(?:@(?P<version>[^/]*))?")
_EXACT = pattern(r"v?\d+\.\d+\.\d+[A-Za-z0-9.+-]*")
_LOCKS: dict[Manager, str] = {
    "npm": "package-lock.json", "yarn": "yarn.lock", "pnpm": "pnpm-lock.yaml", "bun": "bun.lock",
}  # fmt: skip
_CACHES: dict[Manager, Cache] = {"npm": "npm", "yarn": "yarn", "pnpm": "pnpm", "bun": "npm"}
_INSTALL = frozenset(("install", "i", "add", "in", "ins", "isntall"))
_FROZEN = frozenset(("ci", "clean-install", "install-clean"))


def node(manager: Manager, invocation: Invocation) -> Iterator[Command]:
    """What one of the four does."""
    parsed = (_PNPM if manager == "pnpm" else _NODE).parse(invocation.words)
    names = [word.shape for word in parsed.rest]
    is_global = parsed.has("--global")
    rest = parsed.rest[1:]
    action = names[0] if names else ("install" if manager == "yarn" and not parsed.has("--version") else "")
    if manager == "yarn" and action == "global" and len(names) > 1:
        is_global, action, rest = True, names[1], parsed.rest[2:]
    if action in _FROZEN or action in _INSTALL:
        packages = tuple(requested(word) for word in rest)
        files = () if packages or is_global else _project(manager, parsed, invocation)
        options = Options(
            no_cache=parsed.has("--no-cache"),
            cache_dir=parsed.value("--store-dir"),
            assume_yes=True,
            index_url=parsed.value("--registry"),
            prefix=parsed.value("--cwd"),
            is_global=is_global,
            is_frozen=action in _FROZEN or parsed.has("--immutable", "--pure-lockfile"),
            no_dev=_no_dev(parsed),
        )
        kind: Action = "install" if is_global else "add" if packages else "sync"
        yield Install(manager, kind, packages, files, options, invocation)
    elif action in ("update", "upgrade", "up"):
        yield Install(manager, "update", tuple(map(requested, rest)), (), Options(is_global=is_global), invocation)
    elif action in ("uninstall", "remove", "rm", "un"):
        yield Remove(manager, tuple(map(requested, rest)), (), invocation)
    elif _is_clean(manager, names):
        yield Clean(frozenset((_CACHES[manager],)), invocation)
    elif action in ("run", "run-script", "build"):
        if "build" in (names[1:2] or [action])[0]:
            yield Compile(manager, invocation)
    elif action == "prune":
        yield Remove(manager, (), (), invocation, is_auto=True)


def _is_clean(manager: Manager, names: list[str]) -> bool:
    if manager == "pnpm":
        return names[:2] == ["store", "prune"]
    return names[:1] == ["cache"] and names[1:2] in (["clean"], ["rm"], ["clear"])


def _no_dev(parsed: Parsed) -> bool:
    return (
        (parsed.has("--production", "--prod") and parsed.value("--prod", "--production") != "false")
        or "dev" in parsed.shapes("--omit")
        or parsed.value("--only") in ("prod", "production")
    )


def _project(manager: Manager, parsed: Parsed, invocation: Invocation) -> tuple[FileArgument, ...]:
    where = parsed.value("--cwd")
    head = f"{where.rstrip('/')}/" if where else ""
    return (
        FileArgument(head + "package.json", "project", invocation.span),
        FileArgument(head + _LOCKS[manager], "lock", invocation.span),
    )


def requested(word: Word) -> Requested:
    """`name`, `@scope/name@1.2.3`, `name@^1`, a directory, an archive, a URL."""
    text = word.shape
    if "://" in text or text.startswith(("git+", "github:", "git@")):
        is_pinned = "#" in text or text.endswith((".tgz", ".tar.gz"))
        return Requested("", text, word.span, "", (), is_pinned, "url", word.is_exact)
    if text.startswith((".", "/", "~")) or text.endswith((".tgz", ".tar.gz")):
        return Requested("", text, word.span, "", (), True, "path", word.is_exact)
    found = _NAMED.fullmatch(text)
    if found is None:
        return Requested("", text, word.span, is_exact=word.is_exact)
    name, version = found.group("name"), found.group("version") or ""
    name = "" if UNKNOWN in name else name.lower()
    is_pinned = bool(_EXACT.fullmatch(version)) or UNKNOWN in version
    return Requested(name, text, word.span, f"@{version}" if version else "", (), is_pinned, "name", word.is_exact)
