"""Regular expressions of modules, compiled when they are first used.

Python compiles each in 0.1 to 1 ms, in Python; a build that finds everything cached needs few of the hundred that its
modules have. After the first use nothing stands between the caller and the compiled one's own methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from re import compile as pattern
else:
    import re

    _USED = ("match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer", "pattern", "groupindex")

    class _Pattern:
        __slots__ = ("_flags", "_text", *_USED)

        def __init__(self, text, flags):
            self._text, self._flags = text, flags

        def __getattr__(self, name):
            """Called where a slot is empty still: fills them all."""
            compiled = re.compile(self._text, self._flags)
            for each in _USED:
                setattr(self, each, getattr(compiled, each))
            return getattr(compiled, name)

    def pattern(text, flags=0):
        """What `re.compile` gives, made when it is first used. A wrong expression raises `re.error` then."""
        return _Pattern(text, flags)


__all__ = ["pattern"]
