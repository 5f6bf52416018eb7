"""Where Python is started from in an image: what CMD and ENTRYPOINT come to, as modules and scripts. Nothing is run.

Command lines are followed as far as they can be read: through a shell's `-c`, wrappers such as `env` and `tini`, scripts of a
shell, console scripts. What a server is given as `app.main:app` counts as started, too.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Iterator, Sequence

from slimstage.analyze.contents import Contents
from slimstage.regex import pattern
from slimstage.values import dataclass

_SCRIPT_BYTES = 256 << 10
_MOST_STARTS = 50
_DEEPEST = 4
"""Scripts that start scripts."""
_PYTHON = pattern(r"(?:python|pypy)[\d.]*t?\Z")
_SHELL = pattern(r"(?:ba|da|a|k|z|bu)?sh\Z|busybox\Z")
_ASSIGNMENT = pattern(r"[A-Za-z_]\w*=")
_APPLICATION = pattern(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*(?:\(.*\))?\Z")
_MODULE = pattern(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")
_WRAPPERS = frozenset(
    {
        "env", "exec", "nohup", "nice", "ionice", "time", "timeout", "tini", "tini-static", "dumb-init", "catatonit", "gosu",
        "su-exec", "setpriv", "stdbuf", "xvfb-run", "opentelemetry-instrument", "ddtrace-run", "newrelic-admin",
        "command", "then",
    }
)  # fmt: skip
_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_MODULE_OPTIONS = frozenset({"-A", "--app", "-m", "--module", "-k", "--worker-class"})
"""Of programs beside python: the word behind them may be a module."""


@dataclass(frozen=True, slots=True)
class Start:
    """kind: a module by its name, a script by its path below the root, or code of `-c`. shown: as a person would write it."""

    kind: str
    name: str

    @property
    def shown(self) -> str:
        return {"module": f"-m {self.name}", "script": f"/{self.name}", "code": "-c …"}[self.kind]


def is_script(path: str, size: int) -> bool:
    """True for what a command line may name beside files that end in `.py`."""
    if size > _SCRIPT_BYTES:
        return False
    return "bin/" in path or path.endswith(".sh") or "/" not in path or "entrypoint" in path


def find_starts(contents: Contents, given: Iterable[str] = ()) -> tuple[Start, ...]:
    """What is started, each once: what was `given` (a module's name, or a path) first, then by the image's config."""
    finder = _Finder(contents)
    found: dict[Start, None] = {}
    for text in given:
        is_path = "/" in text or text.endswith(".py")
        found[Start("script", finder.absolute(text)) if is_path else Start("module", text.partition(":")[0])] = None
    config = contents.image.config
    for start in finder.command((*(config.entrypoint or ()), *(config.cmd or ())), 0):
        if len(found) >= _MOST_STARTS:
            break
        found[start] = None
    return tuple(found)


class _Finder:
    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        config = contents.image.config
        self._directory = config.working_dir or "/"
        environment = dict(text.partition("=")[::2] for text in config.env)
        self._path = environment.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":")
        self._seen: set[str] = set()

    def absolute(self, path: str) -> str:
        """Below the root, from the working directory."""
        return posixpath.normpath(posixpath.join("/", self._directory, path)).lstrip("/")

    def command(self, words: Sequence[str], depth: int) -> Iterator[Start]:
        """What one command line starts."""
        if depth > _DEEPEST:
            return
        words = _unwrapped(words)
        if not words:
            return
        name = posixpath.basename(words[0])
        if _PYTHON.match(name):
            yield from self._python(words[1:])
            return
        if _SHELL.match(name):
            yield from self._shell(words[1:], depth)
            return
        yield from self._program(words[0], depth)
        yield from self._arguments(words[1:], depth)

    def _python(self, words: Sequence[str]) -> Iterator[Start]:
        at = 0
        while at < len(words):
            word = words[at]
            if word in _WITH_VALUE:
                at += 2
                continue
            if word.startswith("-") and word != "-":
                flags = word[1:] if not word.startswith("--") else ""
                for flag in "mc":
                    if flag in flags:
                        value = flags.partition(flag)[2] or (words[at + 1] if at + 1 < len(words) else "")
                        if flag == "m" and _MODULE.match(value):
                            yield Start("module", value)
                            rest = words[at + (1 if flags.partition(flag)[2] else 2) :]
                            yield from self._arguments(rest, _DEEPEST)
                        elif flag == "c" and value:
                            yield Start("code", value)
                        return
                at += 1
                continue
            yield Start("script", self.absolute(word))
            return

    def _shell(self, words: Sequence[str], depth: int) -> Iterator[Start]:
        for at, word in enumerate(words):
            if word.startswith("-") and not word.startswith("--") and "c" in word:
                if at + 1 < len(words):
                    yield from self._text(words[at + 1], depth)
                return
            if not word.startswith("-"):
                yield from self._program(word if "/" in word else f"./{word}", depth, is_shell=True)
                yield from self._arguments(words[at + 1 :], depth)
                return

    def _text(self, text: str, depth: int) -> Iterator[Start]:
        """The commands of a shell's text, as far as words tell: control flow is not looked at."""
        for line in text.replace("\\\n", " ").splitlines():
            for part in _commands(line):
                yield from self.command(part, depth + 1)

    def _program(self, name: str, depth: int, *, is_shell: bool = False) -> Iterator[Start]:
        """A script of Python is a start; one of a shell is looked into. is_shell: a shell was told to read it."""
        places = [name] if "/" in name else [f"{directory}/{name}" for directory in self._path]
        for place in places:
            position = self._contents.find(self.absolute(place))
            if position is None:
                continue
            path = self._contents.files.paths[position]
            data = self._contents.read(position, _SCRIPT_BYTES)
            if data is None or path in self._seen or not (is_shell or data.startswith(b"#!")):
                return
            self._seen.add(path)
            first, _, rest = data.decode("utf-8", "replace").partition("\n")
            words = first[2:].split()
            if is_shell:
                yield from self._text(f"{first}\n{rest}", depth)
            elif "python" in first or (words and _PYTHON.match(posixpath.basename(words[-1]))):
                yield Start("script", path)
            elif "exec' " in rest[:400] and "python" in rest[:400]:
                yield Start("script", path)  # pip's way round a long path: a shell that starts Python on the same file
            else:
                yield from self._text(rest, depth)
            return

    def _arguments(self, words: Sequence[str], depth: int) -> Iterator[Start]:
        """What a program is told to load: `app.main:app`, `-A worker`, `serve.py`; or another command behind it."""
        previous = ""
        for at, word in enumerate(words):
            if match := _APPLICATION.match(word):
                yield Start("module", match[1])
            elif previous in _MODULE_OPTIONS and _MODULE.match(word):
                yield Start("module", word)
            elif word.endswith(".py") and self._contents.find(self.absolute(word)) is not None:
                yield Start("script", self.absolute(word))
            elif depth < _DEEPEST and (_PYTHON.match(posixpath.basename(word)) or word == "--"):
                yield from self.command(words[at + (word == "--") :], depth + 1)
                return
            previous = word


def _unwrapped(words: Sequence[str]) -> Sequence[str]:
    """Without assignments, and without programs that start another one."""
    at = 0
    while at < len(words):
        name = posixpath.basename(words[at])
        if _ASSIGNMENT.match(words[at]):
            at += 1
        elif name in _WRAPPERS:
            at += 1
            while at < len(words) and (
                words[at].startswith("-") or (name in _TAKING and not _looks_like_program(words[at]))
            ):
                at += 1
        else:
            break
    return words[at:]


_TAKING = frozenset({"timeout", "gosu", "su-exec", "nice", "newrelic-admin"})
"""Wrappers with a word of their own before the command: a time, a user."""


def _looks_like_program(word: str) -> bool:
    name = posixpath.basename(word)
    return "/" in word or bool(_PYTHON.match(name) or _SHELL.match(name)) or name in ("uvicorn", "gunicorn")


def _commands(line: str) -> list[list[str]]:
    """The commands of a line, each as its words; [] where quotes do not close."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word and not word.strip("();<>|&"):
                found.append([])
            else:
                found[-1].append(word)
    except ValueError:
        return []
    return [words for words in found if words]
