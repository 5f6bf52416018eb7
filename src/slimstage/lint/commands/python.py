"""pip and pipx, also as `python -m pip`, and what builds a distribution: `setup.py`, `python -m build`.

Source: `pip install --help` of pip 25; `pipx --help` of pipx 1.7.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import (
    Action,
    Clean,
    Command,
    Compile,
    FileArgument,
    Install,
    Options,
    Remove,
    Requested,
)
from slimstage.lint.commands.distributions import requested_word
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import Invocation, Word
from slimstage.regex import pattern
from slimstage.values import replace

IS_PIP = pattern(r"pip(?:[23](?:\.\d+)?)?")
IS_PYTHON = pattern(r"python(?:[23](?:\.\d+)?)?|pypy3?")

PIP = Table(
    """
    -r,--requirement= -c,--constraint= --build-constraint= -e,--editable= -t,--target= --platform= --python-version=
    --implementation= --abi= --root= --prefix= --src,--source,--source-dir= --upgrade-strategy= --progress-bar=
    --root-user-action= --report= --group= -C,--config-settings,--config-setting= --global-option= --build-option=
    --install-option= --no-binary= --only-binary= -i,--pypi-url,--index-url= --extra-index-url= -f,--find-links=
    --python= --log,--log-file= --keyring-provider= --proxy= --retries= --timeout,--default-timeout=
    --exists-action= --trusted-host= --cert= --client-cert= --cache-dir= --use-feature= --use-deprecated= --hash=
    -w,--wheel-dir= -d,--dest,--destination-dir,--destination-directory= -b,--build,--build-dir=
    --uploaded-prior-to= --no-cache-dir --no-deps,--no-dependencies --user -U,--upgrade --pre -q,--quiet
    -v,--verbose --no-compile --compile --no-build-isolation --break-system-packages --disable-pip-version-check
    --no-input -I,--ignore-installed --force-reinstall --require-hashes --no-warn-script-location --prefer-binary
    --isolated --no-clean --dry-run --no-color --debug --no-index --no-python-version-warning --no-warn-conflicts
    --require-virtualenv -h,--help -V,--version --ignore-requires-python --check-build-dependencies --use-pep517
    --no-use-pep517 -y,--yes
    """,
    abbreviates=True,
)
_PYTHON = Table("-W= -X= -c= -m= --check-hash-based-pycs=", stops=True)
_PIPX = Table(
    """
    --spec= --suffix= -i,--index-url= --python= --fetch-python= -p,--pip-args= -e,--editable --include-deps
    -f,--force --system-site-packages -g,--global -q,--quiet -v,--verbose --preinstall=
    """
)
_ACTIONS: dict[str, Action] = {"install": "install", "download": "download", "wheel": "wheel"}


def pip(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`pip` with these words behind it."""
    parsed = PIP.parse(words)
    action = parsed.rest[0].shape if parsed.rest else ""
    rest = parsed.rest[1:]
    if action in _ACTIONS:
        yield Install("pip", _ACTIONS[action], _packages(parsed, rest), _files(parsed), pip_options(parsed), invocation)
        if action == "wheel" or parsed.values("--no-binary"):
            yield Compile("pip", invocation)
    elif action == "uninstall":
        yield Remove("pip", tuple(map(requested_word, rest)), (), invocation)
    elif action == "cache" and rest and rest[0].shape in ("purge", "remove"):
        yield Clean(frozenset(("pip",)), invocation)


def _packages(parsed: Parsed, rest: tuple[Word, ...]) -> tuple[Requested, ...]:
    editable = tuple(replace(requested_word(word), is_pinned=True) for word in parsed.values("--editable"))
    return (*map(requested_word, rest), *editable)


def _files(parsed: Parsed) -> tuple[FileArgument, ...]:
    requirements = (FileArgument(word.text, "requirements", word.span) for word in parsed.values("--requirement"))
    constraints = (FileArgument(word.text, "constraints", word.span) for word in parsed.values("--constraint"))
    groups = (FileArgument("pyproject.toml", "project", word.span) for word in parsed.values("--group"))
    return (*requirements, *constraints, *groups)


def pip_options(parsed: Parsed) -> Options:
    """What pip's options say."""
    return Options(
        no_cache=parsed.has("--no-cache-dir"),
        cache_dir=parsed.value("--cache-dir"),
        assume_yes=True,
        index_url=parsed.value("--index-url"),
        extra_index_urls=parsed.shapes("--extra-index-url"),
        find_links=parsed.shapes("--find-links"),
        no_index=parsed.has("--no-index"),
        target=parsed.value("--target") or parsed.value("--dest", "--destination-directory", "--wheel-dir"),
        prefix=parsed.value("--prefix"),
        root=parsed.value("--root"),
        is_editable=parsed.has("--editable"),
        is_user=parsed.has("--user"),
        no_deps=parsed.has("--no-dependencies"),
        is_upgrade=parsed.has("--upgrade"),
        no_compile=parsed.has("--no-compile"),
        no_binary=parsed.shapes("--no-binary"),
        only_binary=parsed.shapes("--only-binary"),
        requires_hashes=parsed.has("--require-hashes"),
        groups=parsed.shapes("--group"),
        platform=parsed.value("--platform"),
    )


def runs_pip(invocation: Invocation) -> bool:
    """True of pip itself, also as a module; False of `setup.py`, which installs without it."""
    return bool(IS_PIP.fullmatch(invocation.name)) or "pip" in invocation.texts()[:6]


def python(invocation: Invocation) -> Iterator[Command]:
    """`python -m pip …`, `python setup.py …`, `python -m build`."""
    parsed = _PYTHON.parse(invocation.words)
    module = next((option for option in parsed.options if option.name == "-m" and option.value is not None), None)
    if module is not None and module.value is not None:
        # Everything behind the module's name belongs to it, whatever it looks like.
        at = next(index for index, word in enumerate(invocation.words) if word is module.word)
        behind = at + (2 if module.value in invocation.words[at + 1 : at + 2] else 1)
        yield from _module(invocation, module.value.shape, invocation.words[behind:])
        return
    names = [word.shape for word in parsed.rest]
    if parsed.has("-c") or not names or names[0].rpartition("/")[2] != "setup.py":
        return
    if any(name in ("install", "develop") for name in names):
        yield Install(
            "pip", "install", (requested_word(replace(parsed.rest[0], shape=".")),), (), Options(), invocation
        )
    if any(name in ("install", "develop", "build", "build_ext", "bdist_wheel", "bdist") for name in names):
        yield Compile("setup.py", invocation)


def _module(invocation: Invocation, module: str, words: tuple[Word, ...]) -> Iterator[Command]:
    if module == "pip":
        yield from pip(invocation, words)
    elif module == "pipx":
        yield from pipx(invocation, words)
    elif module in ("build", "nuitka", "PyInstaller"):
        yield Compile(module, invocation)
    elif module == "ensurepip":
        yield Install("pip", "install", (), (), Options(no_index=True), invocation)


def pipx(invocation: Invocation, words: tuple[Word, ...]) -> Iterator[Command]:
    """`pipx install`, `inject`, `run`, `uninstall`."""
    parsed = _PIPX.parse(words)
    action = parsed.rest[0].shape if parsed.rest else ""
    rest = parsed.rest[1:]
    options = Options(
        assume_yes=True,
        index_url=parsed.value("--index-url"),
        no_cache="--no-cache-dir" in (parsed.value("--pip-args") or ""),
    )
    if action == "install":
        yield Install("pipx", "install", tuple(map(requested_word, rest)), (), options, invocation)
    elif action == "inject":
        yield Install("pipx", "add", tuple(map(requested_word, rest[1:])), (), options, invocation)
    elif action == "run" and rest:
        yield Install("pipx", "run", (requested_word(rest[0]),), (), options, invocation)
    elif action in ("uninstall", "uninstall-all"):
        yield Remove("pipx", tuple(map(requested_word, rest)), (), invocation)
