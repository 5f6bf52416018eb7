"""System packages of Debian, Ubuntu and Alpine: which only building needs, and what of them a program needs when it runs.

Source: the Depends of the packages of Debian 12 and 13, Ubuntu 22.04 and 24.04, Alpine 3.20; names that differ between
these are left out, so that nothing is installed by a wrong name.
"""

from __future__ import annotations

from slimstage.lint.split.roles import Manager
from slimstage.regex import pattern

_TOOLS = pattern(
    r"(?:build-essential|dpkg-dev|gcc|g\+\+|cpp|clang|llvm|lld|binutils|gfortran|make|automake|autoconf|libtool|libtool-bin"
    r"|cmake|ninja-build|ninja|meson|pkg-config|pkgconf|pkgconfig|patchelf|swig|bison|flex|nasm|yasm|ccache|patch|m4|rustc|cargo"
    r"|golang|golang-go|go|git|mercurial|subversion|build-base|gcompat-dev|linux-headers|musl-dev|libc6-dev|libc-dev|libstdc\+\+-dev"
    r"|cython3|python3-(?:dev|pip|setuptools|wheel|venv|full|distutils)|python-dev|python-dev-is-python3|py3-(?:pip|setuptools|wheel)"
    r"|python3\.\d+-(?:dev|venv|distutils))(?:-\d+(?:\.\d+)?)?\Z"
)
_COMPILERS = pattern(r"(?:build-essential|build-base|gcc|g\+\+|clang)(?:-\d+)?\Z")
_PYTHON_LIBRARY = pattern(r"(?:python3-|py3-)(?!dev|pip|setuptools|wheel|venv|full|distutils|minimal)")

_RUN_TIME: dict[Manager, dict[str, tuple[str, ...]]] = {
    "apt": {
        # What the interpreter itself needs is there wherever it is.
        **dict.fromkeys(
            ("libffi-dev", "libssl-dev", "zlib1g-dev", "libbz2-dev", "liblzma-dev", "libsqlite3-dev", "libexpat1-dev"),
            (),
        ),
        **dict.fromkeys(("libreadline-dev", "libncurses-dev", "libncurses5-dev", "libncursesw5-dev", "uuid-dev"), ()),
        "libpq-dev": ("libpq5",),
        "libxml2-dev": ("libxml2",),
        "libxslt1-dev": ("libxslt1.1",),
        "libxslt-dev": ("libxslt1.1",),
        "libopenblas-dev": ("libopenblas0",),
        "libsndfile1-dev": ("libsndfile1",),
        "libsndfile-dev": ("libsndfile1",),
        "libyaml-dev": ("libyaml-0-2",),
        "libmariadb-dev": ("libmariadb3",),
        "libgl1-mesa-dev": ("libgl1",),
        "libgomp1": ("libgomp1",),
        "portaudio19-dev": ("libportaudio2",),
    },
    "apk": {
        **dict.fromkeys(
            ("libffi-dev", "openssl-dev", "zlib-dev", "bzip2-dev", "xz-dev", "sqlite-dev", "expat-dev"), ()
        ),
        **dict.fromkeys(("readline-dev", "ncurses-dev", "python3-dev", "util-linux-dev"), ()),
        "postgresql-dev": ("libpq",),
        "libpq-dev": ("libpq",),
        "libxml2-dev": ("libxml2",),
        "libxslt-dev": ("libxslt",),
        "openblas-dev": ("openblas",),
        "mariadb-dev": ("mariadb-connector-c",),
        "mariadb-connector-c-dev": ("mariadb-connector-c",),
        "jpeg-dev": ("libjpeg-turbo",),
        "libjpeg-turbo-dev": ("libjpeg-turbo",),
        "freetype-dev": ("freetype",),
        "yaml-dev": ("yaml",),
    },
}


def is_tool(name: str) -> bool:
    """True of a package that only building needs. name: without a version."""
    return _TOOLS.match(name) is not None or name.endswith(("-dev", "-devel"))


def is_python_library(name: str) -> bool:
    """True of a Python package that the system's package manager installs: a virtual environment does not see it."""
    return _PYTHON_LIBRARY.match(name) is not None


def run_time_of(name: str, manager: Manager) -> tuple[str, ...] | None:
    """What a tool's products need when they run; None: not known."""
    if name in _RUN_TIME[manager]:
        return _RUN_TIME[manager][name]
    if _COMPILERS.match(name):
        # OpenMP: wheels such as that of lightgbm use the system's as well.
        return ("libgomp1",) if manager == "apt" else ("libgomp", "libstdc++")
    if name.startswith("gfortran"):
        return ("libgfortran5",) if manager == "apt" else ("libgfortran",)
    return () if _TOOLS.match(name) else None
