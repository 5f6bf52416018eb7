"""Imports of a source that no parser here reads, by its lines: of another Python's syntax, too large, or of Cython. Pure.

More is found than there is (a line of a text can look like an import), which is the safe side: what is found is kept.
"""

from __future__ import annotations

from slimstage.analyze.imports_values import Import, Imports
from slimstage.regex import pattern

_MOST_IMPORTS = 20_000
_FROM = pattern(rb"[ \t]*from[ \t]+(\.*)[ \t]*([\w.]{0,500})[ \t]+c?import[ \t]*\(?([\w \t,*]{0,4000})")
_IMPORT = pattern(rb"[ \t]*c?import[ \t]+([\w., \t]{1,4000})")
_CALL = pattern(rb"(?:import_module|__import__)\([ \t]*['\"]([\w.]{1,500})['\"]")
_COMPUTED = pattern(rb"(?:import_module|__import__)\([ \t]*[^'\"\s)]")


def imports_by_lines(source: bytes) -> Imports:
    """As `imports_of_text`, of a source that is no worse than others: to be quick. Raises: nothing."""
    return imports_of_text(source) if b"import" in source else Imports()


def imports_of_text(source: bytes, fault: str = "") -> Imports:
    """The imports that lines look like. Names behind the first line of brackets are left out: their package is found."""
    found: list[Import] = []
    dynamic: list[int] = []
    for number, line in enumerate(source.split(b"\n"), 1):
        if b"import" not in line or len(found) >= _MOST_IMPORTS or len(line) > 10_000:
            continue
        is_deferred = line[:1] in b" \t"
        if match := _FROM.match(line):
            names = tuple(_name(word) for word in match[3].split(b",") if _name(word))
            found.append(Import(_text(match[2]), len(match[1]), names, number, is_deferred=is_deferred))
        elif match := _IMPORT.match(line):
            words = (_name(word) for word in match[1].split(b","))
            found += [Import(word, 0, (), number, is_deferred=is_deferred) for word in words if word]
        for call in _CALL.finditer(line):
            text = _text(call[1])
            level = len(text) - len(text.lstrip("."))
            found.append(Import(text[level:].rstrip("."), level, (), number, is_deferred=True))
        if _COMPUTED.search(line):
            dynamic.append(number)
    return Imports(tuple(found), dynamic=tuple(dynamic[:_MOST_IMPORTS]), faults=(fault,) if fault else ())


def _name(word: bytes) -> str:
    """`a.b as c` → `a.b`."""
    words = word.split()
    return _text(words[0]).strip(".") if words else ""


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
