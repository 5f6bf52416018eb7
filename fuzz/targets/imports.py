"""Python sources and trees of them: what they import, and what is reached; any text, any names, always an end."""

from __future__ import annotations

from fuzz.harness import Choices, interleaved, pumped
from slimstage.analyze.imports import modules_of
from slimstage.analyze.imports_text import imports_of_text
from slimstage.analyze.modules import Modules, site_paths
from slimstage.analyze.reach import reachable

MAX_BYTES = 2048
_WORDS = (
    "import ", "from ", "cimport ", "a", "b", ".", "..", ", ", " as c", "*", "\n", "\n    ", "(", ")", "try:",
    "except ImportError:",
    "if TYPE_CHECKING:", "if __name__ == '__main__':", "def f():", "class C:", "pass", "importlib.import_module(",
    "__import__(",
    "'a.b'", "f'a.{x}'", "__package__ + '.b'", "entry_points(group='g')", "__all__ = ['b', 'c']",
    "lazy.attach(__name__, ['b'])",
    "_import_structure = {'b': []}", "with suppress(ImportError):", "match x:", "case 1:", "else:", "elif x:", ";",
    "[", "]", "-",
    "\\", "'", '"""', "#", "\0", "é", "lambda: ", "1", "=", ":", " ", "\t", "import_optional_dependency('b')",
)  # fmt: skip
TOKENS = tuple(word.encode() for word in _WORDS)
_PATHS = (
    "app/a.py", "app/b/__init__.py", "app/b/c.py", "app/c/x.py", "s/site-packages/b/__init__.py",
    "s/site-packages/d.abi3.so",
    "s/site-packages/b/_e.abi3.so", "s/site-packages/b/_e.pyx", "app/g.pyc", "s/site-packages/x.pth",
)  # fmt: skip


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(4)
    if kind < 2:
        source = choices.rest() if kind == 0 else pumped(choices, _WORDS, 1 << 18).encode("utf-8", "replace")
        for found in (modules_of(source), imports_of_text(source)):
            assert all(each.level >= 0 and each.line >= 1 for each in found.imports)
            assert len(found.faults) < 4
        return
    files: dict[str, bytes] = {}
    while choices.left and len(files) < 8:
        files[choices.pick(_PATHS)] = "".join(choices.words(_WORDS, choices.below(60))).encode("utf-8", "replace")

    def names(directory: str) -> set[str]:
        return {path[len(directory) + 1 :].partition("/")[0] for path in files if path.startswith(f"{directory}/")}

    started = site_paths("s/site-packages", names, files.get)
    modules = Modules(["app", "s/site-packages", *started.directories], names)
    reached = reachable(
        ["a", "b.c", *started.started], modules, files.get, ["app/a.py"], plugins=lambda group: ("d", "a.b")
    )
    assert reached.certain <= set(reached.modules)
    assert reached.paths <= {*files, ""}
    for name in reached.modules:
        assert reached.chain(name)[-1:] == [name]


def seeds() -> list[bytes]:
    whole = [b"\0import a, b.c as d\nfrom . import e\ntry:\n    import f\nexcept ImportError:\n    pass\n"]
    made = [bytes([1 + step % 3, *[(step * 7 + at * 11 + at // 6) % 52 for at in range(90)]]) for step in range(40)]
    return interleaved(whole, made)
