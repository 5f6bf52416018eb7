"""conda, mamba and micromamba.

Source: documentation of conda 25 and micromamba 2; conda's MatchSpec (`channel::name=version=build`, `name>=version`).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import (
    Action,
    Clean,
    Command,
    FileArgument,
    FileKind,
    Install,
    Options,
    Remove,
    Requested,
)
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.regex import pattern

_CONDA = Table(
    """
    -n,--name= -p,--prefix= -c,--channel= -f,--file= --revision= --repodata-fn= --solver= --platform,--subdir=
    --clone= -r,--root-prefix= --rc-file= --channel-priority= --tempdirs= --use-index-cache= --extra-safety-checks=
    --category= -y,--yes -q,--quiet --json -a,--all -t,--tarballs --packages -i,--index-cache -l,--locks
    --force-pkgs-dirs --no-deps --only-deps,--deps-only --override-channels --no-channel-priority -k,--insecure
    -C,--use-index-cache --freeze-installed,--no-update-deps --copy --no-pin --no-py-pin --offline -d,--dry-run
    --dev --force -v,--verbose --update-all --prune --no-default-packages --debug
    """
)
_CLEAN = Table(
    """
    -a,--all -t,--tarballs -p,--packages -i,--index-cache -f,--force-pkgs-dirs -l,--logfiles -c,--tempfiles=
    -y,--yes -q,--quiet --json -d,--dry-run -v,--verbose --trash
    """
)
_SPEC = pattern(
    rf"(?:(?P<channel>[^:\s]+)::)?(?P<name>[A-Za-z0-9_.{UNKNOWN}-]+)(?:\[[^\]]*\])?\s*(?P<constraint>(?:[=<>!~].*|\s+\S.*)?)"
)
_ACTIONS: dict[str, Action] = {"install": "install", "create": "create", "update": "update", "upgrade": "update"}


def conda(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`conda install`, `create`, `update`, `env create`, `env update`, `remove`, `clean`."""
    parsed = _CONDA.parse(words)
    names = [word.shape for word in parsed.rest]
    if names[:1] == ["clean"]:
        if _clears(_CLEAN.parse(words)):
            yield Clean(frozenset(("conda",)), invocation)
        return
    is_env = names[:1] == ["env"]
    rest = parsed.rest[2:] if is_env else parsed.rest[1:]
    action = (names[1:2] if is_env else names[:1] or [""])[0] if names[1 if is_env else 0 :] else ""
    if action in _ACTIONS:
        packages = tuple(requested(word) for word in rest)
        yield Install(
            "conda", _ACTIONS[action], packages, _files(parsed, invocation, is_env), _options(parsed), invocation
        )
    elif action in ("remove", "uninstall"):
        yield Remove("conda", tuple(requested(word) for word in rest), (), invocation)


def _clears(parsed: Parsed) -> bool:
    """The archives or the unpacked packages go."""
    return parsed.has("--all", "--packages", "--tarballs", "--force-pkgs-dirs") and not parsed.has("--dry-run")


def _files(parsed: Parsed, invocation: Invocation, is_env: bool) -> tuple[FileArgument, ...]:
    found: list[FileArgument] = []
    for word in parsed.values("--file"):
        path = word.text
        kind: FileKind = "requirements"
        if is_env or (path or "").endswith((".yml", ".yaml")):
            kind = "environment"
        elif (path or "").endswith(".lock"):
            kind = "lock"
        found.append(FileArgument(path, kind, word.span))
    if is_env and not found:
        found.append(FileArgument("environment.yml", "environment", invocation.span))
    return tuple(found)


def _options(parsed: Parsed) -> Options:
    return Options(
        assume_yes=parsed.has("--yes"),
        no_deps=parsed.has("--no-deps"),
        channels=parsed.shapes("--channel"),
        environment=parsed.value("--name") or parsed.value("--prefix"),
        prefix=parsed.value("--prefix"),
        platform=parsed.value("--subdir"),
        is_frozen=parsed.has("--no-update-deps"),
    )


def requested(word: Word) -> Requested:
    """What a match specification asks for."""
    return requested_text(word.shape, word)


def requested_text(text: str, word: Word) -> Requested:
    """The same of a text that stands at a word."""
    if "://" in text or text.endswith((".conda", ".tar.bz2")):
        name = text.rpartition("/")[2].rsplit("-", 2)[0].lower()
        kind = "url" if "://" in text else "path"
        return Requested(
            "" if UNKNOWN in name else name,
            text,
            word.span,
            "",
            (),
            True,
            "url" if kind == "url" else "path",
            word.is_exact,
        )
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        return Requested("", text, word.span, is_exact=word.is_exact)
    name = "" if UNKNOWN in found.group("name") else found.group("name").lower()
    constraint = found.group("constraint").strip()
    is_pinned = constraint.startswith("=") and "*" not in constraint and not constraint.startswith("=>")
    channel = found.group("channel") or ""
    return Requested(name, text, word.span, constraint, (), is_pinned, "name", word.is_exact, channel)
