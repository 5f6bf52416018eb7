"""A Python source → what it imports, which application it makes, which models it names. Parsed, never run. Pure."""

from __future__ import annotations

import ast

from slimstage.analyze.imports import modules_of
from slimstage.analyze.inventory import weights_format
from slimstage.scaffold.project import Code, Use

FRAMEWORKS = {
    "FastAPI": "fastapi",
    "Flask": "flask",
    "LitServer": "litserve",
    "Interface": "gradio",
    "Blocks": "gradio",
    "Service": "bentoml",
    "service": "bentoml",
}
"""What makes an application, and the module that it is of."""

_LEARNS = frozenset(("fit", "fit_transform", "backward", "train", "partial_fit"))


def read_code(path: str, text: str) -> Code:
    """What one source tells. Of a source that is no Python of today only the imports are said. Raises: nothing."""
    found = modules_of(text.encode("utf-8", "surrogateescape")).imports
    imports = tuple(sorted({each.module.partition(".")[0] for each in found if not each.level and not each.is_typing}))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Code(path, _by_name(path), imports)
    framework, application = "", ""
    learns = False
    routes: list[str] = []
    strings: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            if "\n" not in node.value and "." in node.value and weights_format(node.value):
                strings.add(node.value)
        elif isinstance(node, ast.Call):
            learns = learns or (isinstance(node.func, ast.Attribute) and node.func.attr in _LEARNS)
            made = FRAMEWORKS.get(_called(node), "")
            if made in imports:
                framework = framework or made
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "route") and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.startswith("/"):
                    routes.append(first.value)
    for top in tree.body:
        if not (isinstance(top, ast.Assign) and isinstance(top.value, ast.Call) and framework):
            continue
        target = top.targets[0]
        if isinstance(target, ast.Name) and FRAMEWORKS.get(_called(top.value)) == framework:
            application = application or target.id
    use = _by_name(path)
    if use != "test":
        use = "serve" if framework or "http" in imports else "train" if learns and use != "serve" else use
    plain = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    is_program = any(
        not isinstance(top, plain) and not (isinstance(top, ast.Expr) and isinstance(top.value, ast.Constant))
        for top in tree.body
    )
    return Code(path, use, imports, framework, application, tuple(routes), tuple(sorted(strings)), is_program)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _by_name(path: str) -> Use:
    parts = path.lower().split("/")
    name = parts[-1].removesuffix(".py")
    if name.startswith("test_") or name.endswith("_test") or name == "conftest" or {"test", "tests"} & set(parts[:-1]):
        return "test"
    if "train" in name or name == "fit":
        return "train"
    return "serve" if name in ("app", "serve", "server", "api", "service", "predict", "inference") else "other"
