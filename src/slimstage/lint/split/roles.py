"""What each RUN of a stage is for, as the split has to know it: all of it understood, or nothing.

`decide.py` asks; `read.py` answers from the shell text.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.values import dataclass

Manager: TypeAlias = Literal["apt", "apk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a RUN does.

    kept: system packages that the program needs while it runs: libraries that are installed as such, and those whose
    development packages are. tools: system packages that only building needs. manager: whose packages they are; None: none.
    installs_python: it installs Python packages with pip into the interpreter's own directory. requirements: files that it
    names with -r and -c, as written. installs_project: it installs a directory or an archive of the context.
    names: distributions that it names itself. provides_python: it installs the interpreter. lacks_venv: it does so without
    what makes virtual environments; the word that names the interpreter, behind which that package goes. upgrades: it brings
    the system's packages up to date, which the image must go on having.
    """

    kept: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    manager: Manager | None = None
    installs_python: bool = False
    requirements: tuple[str, ...] = ()
    installs_project: bool = False
    names: tuple[str, ...] = ()
    provides_python: bool = False
    lacks_venv: str | None = None
    upgrades: bool = False

    @property
    def is_neutral(self) -> bool:
        """It makes directories, users and the like, and stays where it is."""
        return self.manager is None and not self.installs_python


NEUTRAL = Role()
