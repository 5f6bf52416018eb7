"""What a Python source imports, read from its syntax tree. Nothing is imported, compiled to bytecode or run.

Everywhere in the file counts, functions too: libraries put imports there that run on the second request. What a source says by
strings counts where it can be read: `import_module("a.b")`, `import_module(f"a.{name}")` as anything below `a`, tables of lazy
loaders, groups of entry points. A computed name is noted as a place of which nothing is known.

Source: Python language reference, "The import statement"; typing.TYPE_CHECKING; PEP 562; scientific-python SPEC 1
(lazy_loader); transformers, `_LazyModule`; importlib.metadata, "Entry points".
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable

from slimstage.analyze.imports_text import imports_of_text
from slimstage.analyze.imports_values import Import, Imports

MOST_BYTES = 1 << 20
"""A larger source is only searched for lines that import."""
_MOST_MARKS = 200_000
"""Marks and ends of lines of a source that is parsed: each can be a node or two of its tree, of half a kilobyte. A megabyte of
written source has some 150,000; a megabyte of `a;` would take 900 MB.
"""
_MARKS = b";,()[]{}:+-*/%.=\n<>|&^~@!"
_MOST_IMPORTS = 20_000
_DEEPEST = 200
_CALLS = (
    b"import_module", b"__import__", b"entry_points(", b"attach(", b"attach_stub(", b"_structure(", b"run_module(",
    b"import_optional", b"optional_import", b"lazy_import",
)  # fmt: skip
"""A source without these words has imports in statements only: expressions need not be looked into."""
_OPTIONAL = frozenset({"import_optional_dependency", "optional_import", "import_optional", "lazy_import"})
"""What libraries call their own functions that import a module when they need it."""
_PLAIN = frozenset({ast.Expr, ast.Return, ast.Assert, ast.Raise, ast.Pass, ast.Delete, ast.Global, ast.Nonlocal})
"""Statements that hold no others."""
_CATCHES = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "AttributeError"})


def modules_of(source: bytes) -> Imports:
    """The imports of a source, in the order written. Raises: nothing.

    A source that cannot be parsed (another Python's, or a broken one) is searched by lines, with a fault that says so.
    """
    if b"import" not in source and b"__all__" not in source:
        return Imports()
    if len(source) > MOST_BYTES or len(source) - len(source.translate(None, _MARKS)) > _MOST_MARKS:
        return imports_of_text(source, "the source is too large to be parsed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the source's own texts: an escape that is none
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return imports_of_text(source, f"the source cannot be parsed: {str(error)[:100]}")
    reader = _Reader()
    reader.statements(tree.body, _Where(), 0)
    if any(word in source for word in _CALLS):
        reader.calls(tree)
    return reader.result()


class _Where:
    """In what an import stands."""

    __slots__ = ("is_deferred", "is_main", "is_optional", "is_typing")

    def __init__(
        self, optional: bool = False, typing: bool = False, deferred: bool = False, main: bool = False
    ) -> None:
        self.is_optional, self.is_typing, self.is_deferred, self.is_main = optional, typing, deferred, main

    def but(
        self, *, optional: bool = False, typing: bool = False, deferred: bool = False, main: bool = False
    ) -> _Where:
        return _Where(
            self.is_optional or optional,
            self.is_typing or typing,
            self.is_deferred or deferred,
            self.is_main or main,
        )


class _Reader:
    def __init__(self) -> None:
        self._found: list[Import] = []
        self._below: dict[tuple[str, int], None] = {}
        self._groups: dict[str, None] = {}
        self._dynamic: dict[int, None] = {}
        self._exported: tuple[str, ...] = ()
        self._faults: dict[str, None] = {}

    def result(self) -> Imports:
        return Imports(
            tuple(self._found),
            tuple(self._below),
            tuple(self._groups),
            tuple(self._dynamic),
            self._exported,
            tuple(self._faults),
        )

    # Statements

    def statements(self, body: Iterable[ast.stmt], where: _Where, depth: int) -> None:
        if depth > _DEEPEST:
            self._faults[f"blocks are nested deeper than {_DEEPEST} levels"] = None
            return
        for node in body:
            if node.__class__ in _PLAIN:
                continue
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._add(alias.name, 0, (), node.lineno, where)
            elif isinstance(node, ast.ImportFrom):
                names = tuple(alias.name for alias in node.names)
                self._add(node.module or "", node.level, names, node.lineno, where)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.statements(node.body, where.but(deferred=True), depth + 1)
            elif isinstance(node, ast.If):
                self._condition(node, where, depth)
            elif isinstance(node, ast.Try | ast.TryStar):
                optional = any(_catches_imports(handler.type) for handler in node.handlers)
                self.statements(node.body, where.but(optional=optional), depth + 1)
                for handler in node.handlers:
                    # What replaces a missing module is as optional: only one of them need be there.
                    self.statements(handler.body, where.but(optional=optional), depth + 1)
                self.statements(node.orelse, where.but(optional=optional), depth + 1)
                self.statements(node.finalbody, where, depth + 1)
            elif isinstance(node, ast.With | ast.AsyncWith):
                is_suppressed = any(_suppresses(item.context_expr) for item in node.items)
                self.statements(node.body, where.but(optional=is_suppressed), depth + 1)
            elif isinstance(node, ast.ClassDef):
                self.statements(node.body, where, depth + 1)
            elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
                self.statements(node.body, where, depth + 1)
                self.statements(node.orelse, where, depth + 1)
            elif isinstance(node, ast.Match):
                for case in node.cases:
                    self.statements(case.body, where, depth + 1)
            elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and depth == 0:
                self._assigned(node)

    def _condition(self, node: ast.If, where: _Where, depth: int) -> None:
        """Long rows of `elif` are a list here, not a recursion."""
        while True:
            typing = _is_type_checking(node.test)
            self.statements(node.body, where.but(typing=typing, main=_is_main(node.test)), depth + 1)
            if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
                node = node.orelse[0]
            else:
                self.statements(node.orelse, where, depth + 1)
                return

    def _assigned(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> None:
        """`__all__`, and the table of what transformers loads when it is asked for."""
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if "__all__" in names:
            self._exported = (*self._exported, *_texts(node.value))[:_MOST_IMPORTS]
        if "_import_structure" in names and isinstance(node.value, ast.Dict):
            for key in _texts(node.value):
                self._add(key, 1, (), node.lineno, _Where(deferred=True))

    def _add(self, module: str, level: int, names: tuple[str, ...], line: int, where: _Where) -> None:
        if len(self._found) >= _MOST_IMPORTS:
            self._faults[f"there are more than {_MOST_IMPORTS} imports"] = None
            return
        self._found.append(
            Import(
                module,
                level,
                names,
                line,
                is_optional=where.is_optional,
                is_typing=where.is_typing,
                is_deferred=where.is_deferred,
                is_main=where.is_main,
            )
        )

    # Calls

    def calls(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._call(node, _called(node.func))

    def _call(self, node: ast.Call, name: str) -> None:
        if name in ("import_module", "__import__", "run_module"):
            self._by_name(node)
        elif name in _OPTIONAL:
            text = _constant(node.args[0]) if node.args else None
            if text and _is_name(text):
                self._add(text, 0, (), node.lineno, _Where(optional=True, deferred=True))
        elif name in ("entry_points", "iter_entry_points"):
            group = next((each.value for each in node.keywords if each.arg == "group"), None)
            group = group or (node.args[0] if node.args else None)
            self._groups[_constant(group) or ""] = None
        elif name == "attach":
            for keyword in node.keywords:
                if keyword.arg in ("submodules", "submod_attrs"):
                    for text in _texts(keyword.value):
                        self._add(text, 1, (), node.lineno, _Where(deferred=True))
            for argument in node.args[1:3]:
                for text in _texts(argument):
                    self._add(text, 1, (), node.lineno, _Where(deferred=True))
        elif name in ("attach_stub", "define_import_structure"):
            self._below["", 1] = None  # what a file beside it says

    def _by_name(self, node: ast.Call) -> None:
        argument = (
            node.args[0] if node.args else next((each.value for each in node.keywords if each.arg == "name"), None)
        )
        text, is_whole = _beginning(argument)
        level = len(text) - len(text.lstrip("."))
        module = text[level:]
        if is_whole and _is_name(module or "x"):
            self._add(module, level, (), node.lineno, _Where(deferred=True))
        elif not is_whole and (module.endswith(".") or (level and not module)) and _is_name(module.rstrip(".") or "x"):
            self._below[module.rstrip("."), level] = None
        else:
            self._dynamic[node.lineno] = None


def _beginning(node: ast.expr | None) -> tuple[str, bool]:
    """(text that an expression begins with, whether that is all of it): of constants, f-strings, `+` and `%`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value, True
    parts: list[ast.expr] = []
    if isinstance(node, ast.JoinedStr):
        parts = [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return (_constant(node.left) or "").partition("%")[0], False
    else:
        while isinstance(node, ast.BinOp) and len(parts) < _DEEPEST:
            parts.append(node.right)
            node = node.left
        parts = [*([node] if node else []), *reversed(parts)]
    return _joined(parts)


def _joined(parts: list[ast.expr]) -> tuple[str, bool]:
    """What the parts of a text come to, up to the first that is not known. The own package is written as nothing: `.a` of
    `__package__ + ".a"` is a relative name."""
    text = ""
    for number, part in enumerate(parts):
        if number == 0 and _is_own_package(part):
            continue
        known = _constant(part)
        if known is None:
            return text, False
        text += known
    return text, bool(parts)


def _is_own_package(node: ast.expr) -> bool:
    """`__package__`, `__spec__.parent`, and `__name__`, which is the same in a package's own source."""
    if isinstance(node, ast.Attribute):
        return node.attr == "parent" and _called(node.value) == "__spec__"
    return isinstance(node, ast.Name) and node.id in ("__package__", "__name__")


def _texts(node: ast.expr | None) -> list[str]:
    """The texts of a list, tuple, set, or of a dictionary's keys, as far as they are literals."""
    parts: Iterable[ast.expr | None] = ()
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        parts = node.elts
    elif isinstance(node, ast.Dict):
        parts = node.keys
    return [text for part in parts if (text := _constant(part)) and _is_name(text)]


def _constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _called(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _is_name(text: str) -> bool:
    return len(text) < 512 and all(part.isidentifier() for part in text.split("."))


def _is_type_checking(test: ast.expr) -> bool:
    return _called(test) == "TYPE_CHECKING"


def _is_main(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and len(test.comparators) == 1
        and _constant(test.comparators[0]) == "__main__"
    )


def _catches_imports(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(_called(each) in _CATCHES for each in kinds)


def _suppresses(context: ast.expr) -> bool:
    return (
        isinstance(context, ast.Call)
        and _called(context.func) == "suppress"
        and any(_called(each) in _CATCHES for each in context.args)
    )


__all__ = ["MOST_BYTES", "Import", "Imports", "modules_of"]
