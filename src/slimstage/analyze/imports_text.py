"""Imports of a source by what its lines look like, five times as fast as by its syntax tree, and of sources that no parser here
reads: of another Python's syntax, too large, or of Cython. Pure.

More is found than there is (a line of a text can look like an import), which is the safe side: what is found is kept. Whatever
is indented counts as deferred: in a function or in a `try`, that is not told apart. One pass each, linear in the source.
"""

from __future__ import annotations

import re

from slimstage.analyze.imports_values import Import, Imports
from slimstage.regex import pattern

_MOST_IMPORTS = 20_000
_START = (
    rb"^([ \t]*(?:(?:try|else|finally|(?:if|elif|except|with)\b[^\n:]{0,200})[ \t]*:[ \t]*)?|[^\n#'\"]{0,500};[ \t]*)"
)
_FROM = pattern(
    _START + rb"from\b[ \t]*(\.*)[ \t]*([\w.]{0,500})[ \t]*(?:\\\r?\n[ \t]*)?\bc?import\b[ \t]*"
    rb"(?:\(((?>[^)#]++|#[^\n]*+)*+)|((?>[^\n;#\\]|\\\r?\n)*+))",
    re.MULTILINE,
)
_IMPORT = pattern(_START + rb"c?import[ \t]+((?>[\w., \t]|\\\r?\n)++)", re.MULTILINE)
_MORE = pattern(rb";[ \t]*import[ \t]+([\w., \t]++)")
_COMMENT = pattern(rb"#[^\n]*+")
_CALL = pattern(
    rb"\b(?:import_module|__import__|run_module)\(\s*(?:name\s*=\s*)?"
    rb"((?:__package__|__name__|__spec__\.parent)\s*\+\s*)?([rRuUbB]?[fF]?[rR]?)(['\"])?([^'\"\n),]{0,300})(['\"]?\s*)(.?)"
)
_OPTIONAL = pattern(
    rb"\b(?:import_optional_dependency|optional_import|import_optional|lazy_import)\(\s*['\"]([\w.]{1,300})['\"]"
)
_OWN = (b"{__package__}", b"{__name__}", b"{__spec__.parent}")
_GROUPS = pattern(rb"\b(?:iter_)?entry_points\(([^()]{0,300})\)")
_GROUP = pattern(rb"(?:group\s*=\s*|^\s*)['\"]([^'\"]{1,200})['\"]")
_LISTS = pattern(
    rb"^__all__\b[^\n=]{0,40}=\s*[\[(]([^\])]*+)|^_import_structure\b[^\n=]{0,40}=\s*\{([^}]*+)", re.MULTILINE
)
_ATTACH = pattern(rb"\battach\(([^()]*+)\)|\b(attach_stub|define_import_structure)\(")
_QUOTED = pattern(rb"['\"]([A-Za-z_][\w.]{0,200})['\"]")
_KEYS = pattern(rb"['\"]([A-Za-z_][\w.]{0,200})['\"]\s*:")


def imports_by_lines(source: bytes) -> Imports:
    """As `imports_of_text`, of a source that is no worse than others: to be quick. Raises: nothing."""
    return imports_of_text(source) if b"import" in source or b"__all__" in source else Imports()


def imports_of_text(source: bytes, fault: str = "") -> Imports:
    """The imports that lines look like, lists over several lines included."""
    reader = _Reader(source)
    reader.statements()
    if b"import_module" in source or b"__import__" in source or b"run_module" in source:
        reader.calls()
    reader.tables()
    return Imports(
        tuple(sorted(reader.found[:_MOST_IMPORTS], key=lambda each: each.line)),
        tuple(reader.below),
        tuple(reader.groups),
        tuple(reader.dynamic),
        tuple(reader.exported[:_MOST_IMPORTS]),
        (fault,) if fault else (),
    )


class _Reader:
    def __init__(self, source: bytes) -> None:
        self._source = source
        self.found: list[Import] = []
        self.below: dict[tuple[str, int], None] = {}
        self.groups: dict[str, None] = {}
        self.dynamic: list[int] = []
        self.exported: list[str] = []
        self._line, self._counted = 1, 0

    def _line_of(self, place: int) -> int:
        """Places come in order, but for a new kind of them."""
        if place < self._counted:
            self._line, self._counted = 1, 0
        self._line += self._source.count(b"\n", self._counted, place)
        self._counted = place
        return self._line

    def statements(self) -> None:
        source = self._source
        for match in _FROM.finditer(source):
            words = _COMMENT.sub(b"", match[4] if match[4] is not None else match[5] or b"")
            names = tuple(name for word in words.replace(b"\\", b" ").split(b",") if (name := _name(word)))
            line = self._line_of(match.end(1))
            self._add(_text(match[3]).strip("."), len(match[2]), names, line, _is_deferred(match[1]))
        for match in _IMPORT.finditer(source):
            line = self._line_of(match.end(1))
            words = match[2].replace(b"\\", b" ")
            end = source.find(b"\n", match.end())
            for more in _MORE.finditer(source, match.end(), len(source) if end < 0 else end):
                words += b"," + more[1]
            for word in words.split(b","):
                if name := _name(word):
                    self._add(name, 0, (), line, _is_deferred(match[1]))

    def _add(self, module: str, level: int, names: tuple[str, ...], line: int, deferred: bool) -> None:
        if len(self.found) < _MOST_IMPORTS and (module or level):
            self.found.append(Import(module, level, names, line, is_deferred=deferred))

    def calls(self) -> None:
        for match in _CALL.finditer(self._source):
            own, kind, quote, raw, _, after = match.groups()
            line = self._line_of(match.start())
            is_formatted = b"f" in kind.lower()
            if quote is None:
                self._unknown(line)
                continue
            for name in _OWN:
                if is_formatted and raw.startswith(name):
                    own, raw = name, raw[len(name) :]
            text = _text(raw)
            cut = min((at for mark in "{%" if (at := text.find(mark)) >= 0), default=len(text))
            is_whole = cut == len(text) and after in (b",", b")", b"") and not (is_formatted and b"{" in raw)
            text = text[:cut]
            level = len(text) - len(text.lstrip("."))
            module = text[level:]
            if is_whole and (module.replace(".", "").replace("_", "a").isalnum() or (own and not module)):
                self._add(module, level, (), line, True)
            elif not is_whole and (module.endswith(".") or (level and not module)):
                self.below[module.rstrip("."), level] = None
            else:
                self._unknown(line)

    def _unknown(self, line: int) -> None:
        if len(self.dynamic) < _MOST_IMPORTS:
            self.dynamic.append(line)

    def tables(self) -> None:
        """What a source says by lists of names."""
        source = self._source
        if b"optional" in source or b"lazy_import" in source:
            for match in _OPTIONAL.finditer(source):
                self._add(_text(match[1]), 0, (), self._line_of(match.start()), True)
        if b"entry_points(" in source:
            for match in _GROUPS.finditer(source):
                group = _GROUP.search(match[1])
                self.groups[_text(group[1]) if group else ""] = None
        if b"__all__" in source or b"_import_structure" in source:
            for match in _LISTS.finditer(source):
                if match[1] is not None:
                    self.exported += [_text(each) for each in _QUOTED.findall(match[1])]
                else:
                    for key in _KEYS.findall(match[2]):
                        self._add(_text(key), 1, (), self._line_of(match.start()), True)
        if b"attach" in source or b"define_import_structure" in source:
            for match in _ATTACH.finditer(source):
                if match[2]:
                    self.below["", 1] = None
                else:
                    for name in _QUOTED.findall(match[1] or b""):
                        self._add(_text(name), 1, (), self._line_of(match.start()), True)


def _is_deferred(before: bytes) -> bool:
    """True when something stands before it, or it is indented. What follows a `;` is as much of the line as what is before."""
    return before[:1] in (b" ", b"\t") or before.rstrip().endswith(b":")


def _name(word: bytes) -> str:
    """`a.b as c` → `a.b`."""
    words = word.split()
    return _text(words[0]).strip(".") if words else ""


def _text(word: bytes) -> str:
    return word.decode("utf-8", "replace")
