"""A RUN → its role in a split. Strict: an option, a program or a path that is not known makes the RUN not understood."""

from __future__ import annotations

import posixpath

from slimstage.dockerfile.instructions import Run
from slimstage.lint.shell.script import Invocation, Script, Word
from slimstage.lint.split.packages import is_python_library, is_tool, run_time_of
from slimstage.lint.split.roles import NEUTRAL, Manager, Role
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_HARMLESS = frozenset(("set", "true", ":", "echo"))
_MAKES_FILES = frozenset(
    (
        *(
            "mkdir",
            "useradd",
            "groupadd",
            "adduser",
            "addgroup",
            "usermod",
            "chown",
            "chmod",
            "ln",
            "touch",
            "cp",
            "mv",
        ),
        *("rm", "ls", "cat", "printf"),
    )
)
_PLAIN = frozenset(
    (
        *("--no-cache-dir", "--upgrade", "-U", "--no-deps", "--pre", "-q", "--quiet", "-qq", "-v", "--verbose"),
        *("--require-hashes", "--prefer-binary", "--disable-pip-version-check", "--no-compile", "--compile"),
        *("--no-input", "--ignore-installed", "-I", "--force-reinstall", "--break-system-packages", "--no-index"),
        "--no-warn-script-location",
    )
)
"""Not `--no-build-isolation`: it builds with what the interpreter has, and a new virtual environment has less."""
_VALUED = (
    *("-r", "--requirement", "-c", "--constraint", "-i", "--index-url", "--extra-index-url", "-f", "--find-links"),
    *(
        "--trusted-host",
        "--timeout",
        "--retries",
        "--only-binary",
        "--no-binary",
        "--root-user-action",
        "--progress-bar",
    ),
    *("--default-timeout", "--upgrade-strategy", "--use-feature", "--config-settings", "-C", "--global-option"),
    *("--cache-dir", "--proxy", "--cert"),
)
_APT_PLAIN = frozenset(
    (
        *("-y", "--yes", "--assume-yes", "-q", "-qq", "-yq", "-yqq", "-qy", "-qqy", "--quiet", "--fix-missing"),
        *("--no-install-recommends", "--no-install-suggests"),
    )
)
_CACHES = (
    *("/var/lib/apt/lists", "/var/cache", "/tmp", "/var/tmp", "/root/.cache", "~/.cache"),
    *("/usr/share/doc", "/usr/share/man"),
)
_SETTINGS = pattern(
    r"(?:DEBIAN_FRONTEND|ACCEPT_EULA|TZ|LANG|LC_ALL|MAX_JOBS|MAKEFLAGS|CMAKE_\w+|[CL](?:XX)?FLAGS|PIP_\w+)\Z"
)
_MOVES_PACKAGES = pattern(r"PIP_(?:USER|TARGET|PREFIX|ROOT|PYTHON)\Z")
_STARTS_OTHERS = pattern(
    r"subprocess|os\.system|popen|pyximport|cpp_extension|[Cc]ython|numba|site-packages|__file__\W+\.\.|torch\.compile"
)


class _NotUnderstood(Exception):
    """The reason, as a sentence."""


def role_of(subject: Subject, stage: StageView, run: Run) -> Role | str:
    """The role of a RUN, or why it is not understood."""
    if run.security or run.devices:
        return "it runs with rights or devices of its own"
    script: Script = subject.script(stage, run)
    if script.faults or not script.commands:
        return "its shell text is not understood"
    reading = _Reading(subject)
    try:
        for command in script.commands:
            reading.read(command)
        return reading.role()
    except _NotUnderstood as error:
        return str(error)


class _Reading:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._manager: Manager | None = None
        self._installed: list[str] = []
        self._removed: set[str] = set()
        self._requirements: list[str] = []
        self._names: list[str] = []
        self._installs_python = self._installs_project = self._makes_files = self._upgrades = False

    def read(self, command: Invocation) -> None:
        self._shape(command)
        name = command.name
        if name in ("apt-get", "apt"):
            self._apt(command)
        elif name == "apk":
            self._apk(command)
        elif _is_pip(command):
            self._pip(command)
        elif (name == "rm" and _removes_caches(command)) or (name in _HARMLESS and not command.redirects):
            return
        elif name in _MAKES_FILES or name in _HARMLESS:
            self._makes_files = True
        elif name in ("python", "python3"):
            self._program(command)
        else:
            raise _NotUnderstood(f'what "{command.program.raw}" needs is not known')

    def role(self) -> Role:
        if self._manager is None and not self._installs_python:
            return NEUTRAL
        if self._makes_files:
            raise _NotUnderstood("it installs packages and makes files as well")
        kept: list[str] = []
        tools: list[str] = []
        for package in self._installed:
            bare = package.partition("=")[0]
            if bare in self._removed:
                continue
            if not is_tool(bare):
                if is_python_library(bare):
                    raise _NotUnderstood(f'a virtual environment does not see "{bare}"')
                kept.append(package)
                continue
            tools.append(bare)
            assert self._manager is not None
            needed = run_time_of(bare, self._manager)
            if needed is None:
                raise _NotUnderstood(f'which library "{bare}" needs at run time is not known')
            kept += [each for each in needed if each not in kept]
        bare_names = {package.partition("=")[0] for package in self._installed}
        provides = bool(bare_names & {"python3", "python3-pip", "python3-dev", "python3-venv", "python3-full"})
        if provides and self._manager == "apt" and "python3" not in kept:
            kept.insert(0, "python3")
        lacks = provides and not bare_names & {"python3-venv", "python3-full"} and self._manager == "apt"
        anchor = next((each for each in ("python3-pip", "python3-dev", "python3") if each in bare_names), None)
        return Role(
            kept=tuple(kept),
            tools=tuple(tools),
            manager=self._manager,
            installs_python=self._installs_python,
            requirements=tuple(self._requirements),
            installs_project=self._installs_project,
            names=tuple(self._names),
            provides_python=provides,
            lacks_venv=anchor if lacks else None,
            upgrades=self._upgrades,
        )

    def _shape(self, command: Invocation) -> None:
        if not command.is_certain or command.is_piped or command.takes_more or command.is_substituted:
            raise _NotUnderstood(f'whether "{command.program.raw}" runs, and on what, is not certain')
        if command.wrappers or "/" in command.program.raw or command.directory is None:
            raise _NotUnderstood(f'"{command.program.raw}" is started in a way that is not understood')
        for each in command.assignments:
            if not _SETTINGS.match(each.name) or _MOVES_PACKAGES.match(each.name):
                raise _NotUnderstood(f"what {each.name} changes is not known")

    def _apt(self, command: Invocation) -> None:
        words = _texts(command)
        verb, rest = _verb(words, _APT_PLAIN, ("-o",))
        if verb in ("update", "clean", "autoclean", "autoremove", "upgrade", "dist-upgrade", "full-upgrade"):
            self._use("apt")
            self._upgrades = self._upgrades or "upgrade" in verb
            return
        _, packages = _split(rest, {*_APT_PLAIN, "--purge", "--auto-remove"}, ("-o",))
        if verb == "install":
            self._use("apt")
            if any("/" in package or (package.endswith(("-", "+")) and package != "g++") for package in packages):
                raise _NotUnderstood("a package is named in a way that is not understood")
            self._installed += packages
        elif verb in ("remove", "purge"):
            self._use("apt")
            self._removed.update(packages)
        else:
            raise _NotUnderstood(f'"{command.name} {verb}" is not understood')

    def _apk(self, command: Invocation) -> None:
        verb, rest = _verb(_texts(command), {"--no-cache", "-U", "--update"}, ())
        _, packages = _split(rest, {"--no-cache", "-U", "--update"}, ())
        if verb not in ("add", "update"):
            raise _NotUnderstood(f'"apk {verb}" is not understood')
        self._use("apk")
        if any(set(package) & set("<>~@/") for package in packages):
            raise _NotUnderstood("a package is named in a way that is not understood")
        self._installed += packages if verb == "add" else []

    def _use(self, manager: Manager) -> None:
        if self._manager not in (None, manager):
            raise _NotUnderstood("two package managers are used")
        self._manager = manager

    def _pip(self, command: Invocation) -> None:
        words = _texts(command)
        if command.name.startswith("python"):
            words = words[2:]
        verb, rest = _verb(words, _PLAIN, ("--cache-dir", "--timeout"))
        if verb == "cache" or (verb in ("check", "list", "--version", "freeze") and not command.redirects):
            return
        if verb != "install":
            raise _NotUnderstood(f'"pip {verb}" is not understood')
        options, names = _split(rest, _PLAIN, _VALUED)
        for option, value in options:
            if option in ("-r", "--requirement", "-c", "--constraint"):
                if "://" in value:
                    continue
                self._requirements.append(value)
            elif option in ("-f", "--find-links") and "://" not in value:
                self._installs_project = True
        for name in names:
            if "://" not in name and ("/" in name or name.startswith(".") or name.endswith((".whl", ".gz", ".zip"))):
                self._installs_project = True
            else:
                self._names.append(name)
        self._installs_python = True

    def _program(self, command: Invocation) -> None:
        """`python FILE …`: one whose text starts no other program."""
        words = _texts(command)
        if words[:3] == ["-m", "spacy", "download"] or words[:2] == ["-m", "nltk.downloader"]:
            self._makes_files = True
            return
        if not words or words[0].startswith("-") or not words[0].endswith(".py"):
            raise _NotUnderstood("what Python runs is not known")
        text = self._script(words[0])
        if text is None:
            raise _NotUnderstood(f'what "{words[0]}" does is not known')
        if _STARTS_OTHERS.search(text):
            raise _NotUnderstood(f'"{words[0]}" may start other programs')
        self._makes_files = True

    def _script(self, path: str) -> str | None:
        """The text of the one file of the context that has the name."""
        context = self._subject.context
        if context is None:
            return None
        found = [file for file in context.files() if posixpath.basename(file.path) == posixpath.basename(path)]
        return context.read(found[0].path) if len(found) == 1 else None


def _is_pip(command: Invocation) -> bool:
    if command.name.startswith("python"):
        return command.texts()[:2] == ("-m", "pip")
    return command.name in ("pip", "pip3")


def _texts(command: Invocation) -> list[str]:
    return [_known(word) for word in command.words]


def _known(word: Word) -> str:
    if word.text is None:
        raise _NotUnderstood(f'"{word.raw}" has no known value')
    if word.is_pattern and not word.text.startswith(_CACHES) and "[" not in word.text:
        raise _NotUnderstood(f'which files "{word.raw}" names is not known')
    return word.text


def _verb(words: list[str], plain: frozenset[str] | set[str], valued: tuple[str, ...]) -> tuple[str, list[str]]:
    """The first word that is no option, and all behind it."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        option = words[position].partition("=")[0]
        if words[position] == "--version":
            return "--version", []
        if option in valued and "=" not in words[position]:
            position += 1
        elif option not in plain and option not in valued:
            raise _NotUnderstood(f'the option "{option}" is not understood')
        position += 1
    if position >= len(words):
        raise _NotUnderstood("a command without a verb")
    return words[position], words[position + 1 :]


def _split(
    words: list[str], plain: frozenset[str] | set[str], valued: tuple[str, ...]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Options with their values, and the other words."""
    options: list[tuple[str, str]] = []
    others: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            others.append(word)
        elif word in plain:
            options.append((word, ""))
        elif name in valued and equals:
            options.append((name, value))
        elif word in valued and left:
            options.append((word, left.pop(0)))
        elif word[:2] in valued and len(word) > 2 and not word.startswith("--"):
            options.append((word[:2], word[2:]))
        else:
            raise _NotUnderstood(f'the option "{word}" is not understood')
    return options, others


def _removes_caches(command: Invocation) -> bool:
    paths = [word.shape for word in command.words if not word.shape.startswith("-")]
    return bool(paths) and all(path.startswith(_CACHES) for path in paths)
