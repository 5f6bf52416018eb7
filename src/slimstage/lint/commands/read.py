"""A script → what it does, in order: each invocation is read by the module of its family."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slimstage.lint.commands import compile as compiling
from slimstage.lint.commands import conda, download, files, node, projects, python, system
from slimstage.lint.commands.command import Command
from slimstage.lint.shell.script import Invocation, Script, Word
from slimstage.values import replace


def commands_of(script: Script) -> tuple[Command, ...]:
    """What the script does, as far as it is understood; of the rest nothing is said. In the order in which it runs."""
    return tuple(command for invocation in script.commands for command in read_invocation(invocation))


def read_invocation(invocation: Invocation) -> Iterator[Command]:
    """What one invocation does."""
    name = invocation.name
    reader = _READERS.get(name)
    if reader is not None:
        yield from reader(invocation)
    elif python.IS_PIP.fullmatch(name):
        yield from python.pip(invocation, invocation.words)
    elif python.IS_PYTHON.fullmatch(name):
        yield from _python(invocation)
    elif compiling.is_compiler(name):
        yield from compiling.compiler(invocation)


def _python(invocation: Invocation) -> Iterator[Command]:
    """Python itself, and the managers that it runs as modules."""
    shapes = invocation.texts()
    for name, reader in (
        ("uv", projects.uv),
        ("poetry", projects.poetry),
        ("pdm", projects.pdm),
        ("pipenv", projects.pipenv),
    ):
        if shapes[:2] == ("-m", name):
            yield from reader(invocation, invocation.words[2:])
            return
    yield from python.python(invocation)


def _find(invocation: Invocation) -> Iterator[Command]:
    found: list[Word] = []
    names = [
        invocation.words[at + 1] for at, word in enumerate(invocation.words[:-1]) if word.shape in ("-name", "-iname")
    ]
    for word in invocation.words:
        if word.shape.startswith(("-", "(", "!")):
            break
        shape = f"{word.shape.rstrip('/')}/**/{names[0].shape if len(names) == 1 else '*'}"
        found.append(replace(word, shape=shape, is_pattern=True, is_exact=False))
    yield from files.find(invocation, found)


_READERS: dict[str, Callable[[Invocation], Iterator[Command]]] = {
    "pipx": lambda each: python.pipx(each, each.words),
    "uv": lambda each: projects.uv(each, each.words),
    "uvx": lambda each: iter(()),
    "poetry": lambda each: projects.poetry(each, each.words),
    "pdm": lambda each: projects.pdm(each, each.words),
    "pipenv": lambda each: projects.pipenv(each, each.words),
    "conda": lambda each: conda.conda(each, each.words),
    "mamba": lambda each: conda.conda(each, each.words),
    "micromamba": lambda each: conda.conda(each, each.words),
    "apt-get": system.apt,
    "apt": system.apt,
    "aptitude": system.apt,
    "dpkg": system.dpkg,
    "apk": system.apk,
    "dnf": system.dnf,
    "dnf5": system.dnf,
    "yum": system.dnf,
    "microdnf": system.dnf,
    "tdnf": system.dnf,
    "zypper": system.dnf,
    "npm": lambda each: node.node("npm", each),
    "yarn": lambda each: node.node("yarn", each),
    "pnpm": lambda each: node.node("pnpm", each),
    "bun": lambda each: node.node("bun", each),
    "go": compiling.go,
    "cargo": compiling.cargo,
    "make": compiling.make,
    "gmake": compiling.make,
    "cmake": compiling.cmake,
    "rm": files.rm,
    "rmdir": files.rm,
    "unlink": files.rm,
    "find": _find,
    "chown": lambda each: files.change("chown", each),
    "chgrp": lambda each: files.change("chgrp", each),
    "chmod": lambda each: files.change("chmod", each),
    "strip": lambda each: files.change("strip", each),
    "mv": lambda each: files.change("mv", each),
    "cp": lambda each: files.change("cp", each),
    "touch": lambda each: files.change("touch", each),
    "tar": files.tar,
    "bsdtar": files.tar,
    "unzip": files.unzip,
    "curl": download.curl,
    "wget": download.wget,
    "git": download.git,
    "git-lfs": download.git,
    "hf": download.hub,
    "huggingface-cli": download.hub,
    "aws": download.store,
    "gsutil": download.store,
    "gcloud": download.store,
    "azcopy": download.store,
    "gdown": download.store,
}
