"""analyze/imports.py: what a source imports, wherever it stands; sources that no parser reads."""

from __future__ import annotations

import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.imports import MOST_BYTES, modules_of
from slimstage.analyze.imports_text import imports_by_lines, imports_of_text
from slimstage.analyze.imports_values import Import, Imports


def read(source: str) -> Imports:
    return modules_of(textwrap.dedent(source).encode())


def only(source: str) -> Import:
    (found,) = read(source).imports
    return found


def test_both_forms_are_read_with_names_and_dots() -> None:
    found = read("import a, b.c as d\nfrom e.f import g as h, i\nfrom . import j\nfrom ...k import *\n")
    assert found.imports == (
        Import("a", line=1),
        Import("b.c", line=1),
        Import("e.f", 0, ("g", "i"), 2),
        Import("", 1, ("j",), 3),
        Import("k", 3, ("*",), 4),
    )


@pytest.mark.parametrize(
    ("source", "mark"),
    [
        ("try:\n    import a\nexcept ImportError:\n    a = None\n", "is_optional"),
        ("try:\n    x = 1\nexcept (KeyError, ModuleNotFoundError):\n    import a\n", "is_optional"),
        ("with contextlib.suppress(ImportError):\n    import a\n", "is_optional"),
        ("if TYPE_CHECKING:\n    import a\n", "is_typing"),
        ("if typing.TYPE_CHECKING:\n    from a import b\n", "is_typing"),
        ("def f():\n    import a\n", "is_deferred"),
        ("class C:\n    async def f(self):\n        for x in y:\n            import a\n", "is_deferred"),
        ("if __name__ == '__main__':\n    import a\n", "is_main"),
        ("importlib.import_module('a')\n", "is_deferred"),
        ("__import__('a')\n", "is_deferred"),
        ("import_optional_dependency('a')\n", "is_optional"),
        ("x = lazy.attach(__name__, submodules=['a'])\n# import\n", "is_deferred"),
        ("_import_structure = {'a': ['B']}\n# import\n", "is_deferred"),
    ],
)
def test_where_an_import_stands_is_told(source: str, mark: str) -> None:
    found = only(source)
    assert found.module == "a"
    assert getattr(found, mark)


def test_an_import_that_always_happens_has_no_mark() -> None:
    source = """
        class C:
            import a
        for x in y:
            import b
        if sys.version_info > (3, 12):
            import c
        else:
            import d
        while True:
            with x:
                import e
        try:
            import f
        except KeyError:
            import g
        finally:
            import h
        match x:
            case 1:
                import i
        """
    found = read(source).imports
    assert [each.module for each in found] == list("abcdefghi")
    assert not any(each.is_optional or each.is_typing or each.is_deferred or each.is_main for each in found)


def test_names_that_begin_with_a_text_may_be_anything_below_it() -> None:
    assert read("importlib.import_module(f'scipy.{name}')\n").below == (("scipy", 0),)
    assert read("import_module('a.b.' + name)\n").below == (("a.b", 0),)
    assert read("import_module('a.%s' % name)\n").below == (("a", 0),)
    assert read("import_module(f'.{name}', __package__)\n").below == (("", 1),)
    assert read("import_module(f'{__name__}.{name}')\n").below == (("", 1),)
    assert read("x, y = lazy.attach_stub(__name__, __file__)\n# import\n").below == (("", 1),)
    for own in ("__package__", "__spec__.parent", "__name__"):
        assert (only(f"__import__({own} + '.fft')\n").level, only(f"__import__({own} + '.fft')\n").module) == (1, "fft")


def test_names_that_are_computed_are_places_of_which_nothing_is_known() -> None:
    found = read("x = 1\nimport_module(name)\n__import__(f'{a}_{b}')\nimport_module('a' + b)\n")
    assert found.dynamic == (2, 3, 4)
    assert (found.imports, found.below) == ((), ())


def test_groups_of_entry_points_and_exports_are_read() -> None:
    source = (
        "from importlib.metadata import entry_points\nentry_points(group='a')\nentry_points(x)\n__all__ = ['b', 'c']\n"
    )
    found = read(source + "__all__ += ('d',)\n")
    assert found.groups == ("a", "")
    assert found.exported == ("b", "c", "d")


def test_a_source_that_cannot_be_parsed_is_searched_by_lines() -> None:
    found = read(
        """
        print "of another Python"
        import a, b.c as d
        from ..e import (f as g, h)
            import i
        importlib.import_module("j.k")
        importlib.import_module(name)
        """
    )
    assert [(each.module, each.level, each.names) for each in found.imports] == [
        ("a", 0, ()),
        ("b.c", 0, ()),
        ("e", 2, ("f", "h")),
        ("i", 0, ()),
        ("j.k", 0, ()),
    ]
    assert found.imports[3].is_deferred
    assert found.dynamic == (7,)
    assert "cannot be parsed" in found.faults[0]


@pytest.mark.parametrize(
    "source",
    [
        b"import a\0",
        b"import a\n" + b"(" * 100_000,
        b"import a\n" + b"-" * 200_000 + b"1",
        b"import a\nx = " + b"a." * 100_000 + b"b",
        b"import a\n" + b"if x:\n " * 3,
        b"import a\n" + b"x\n" * MOST_BYTES,
        b"import a\n" + b"x;" * 300_000,
        b"# -*- coding: nothing -*-\nimport a\n",
        b"import a\nx = '\\d'\n",
    ],
)
def test_hostile_sources_are_read_or_searched(source: bytes) -> None:
    assert [each.module for each in modules_of(source).imports] == ["a"]


LINES = """
import a, b.c as d; import e
from f import (  # (why)
    g,  # noqa
    h as i,
)
from .. import j, \\
    k
from l \\
    import m
try: import n
except ImportError: n = None
def o():
    from .p import *
importlib.import_module("q.r")
importlib.import_module(f"s.{x}"); import_module("t." + x)
__import__(__package__ + ".u"); import_module(f"{__name__}.v"); import_module(f".{x}", __name__)
import_module(x)
entry_points(group="w")
import_optional_dependency("y")
lazy.attach(__name__, ["z1"], submod_attrs={"z2": ["no"]})
__all__ = [
    "A", 'B']
_import_structure = {"C": ["no"],
    "D.E": []}
"""


def test_lines_tell_as_much_as_a_syntax_tree() -> None:
    tree, lines = modules_of(LINES.encode()), imports_by_lines(LINES.encode())

    def plain(found: Imports) -> set[tuple[str, int, tuple[str, ...]]]:
        return {(each.module, each.level, each.names) for each in found.imports}

    # A name of a table too many, and a continued line that looks like an import of its own.
    assert plain(lines) - plain(tree) == {("no", 1, ()), ("m", 0, ())}
    assert plain(tree) <= plain(lines)
    assert (lines.below, lines.groups, lines.exported) == (tree.below, tree.groups, tree.exported)
    assert lines.dynamic == tree.dynamic
    certain = {each.module for each in lines.imports if not each.is_deferred}
    assert certain == {"a", "b.c", "e", "f", "", "l"}
    by_line = {each.module: each.line for each in lines.imports}
    assert [by_line[name] for name in ("a", "f", "l", "n", "q.r")] == [2, 3, 9, 11, 15]


@pytest.mark.parametrize(
    "text",
    [
        "from . import (\n", "from a import b, \\\n", "import a;", "import_module(", "import_module(f'", "__all__ = [\n",
        "attach(", "from ", "import a\n", "entry_points(", "_import_structure = {\n", "try: ", ";", "import_module('a' +",
        "from . import a #(\n", "                 ", "__package__ + ", "if x:",
    ],
)  # fmt: skip
def test_a_text_that_is_repeated_takes_time_as_it_is_long(text: str) -> None:
    start = time.process_time()
    imports_of_text((text * (MOST_BYTES // len(text))).encode())
    assert time.process_time() - start < 4


def test_long_rows_of_conditions_are_no_recursion() -> None:
    rows = "".join(f"elif x == {number}:\n    import m{number}\n" for number in range(500))
    assert len(read(f"if x:\n    import a\n{rows}").imports) == 501


@given(st.text(alphabet="import from.a(*,)\n\\\"'#:\0 éxdef try ", max_size=200))
def test_any_text_is_read(text: str) -> None:
    for each in modules_of(text.encode()).imports:
        assert each.level >= 0
        assert each.line >= 1
