"""The purposes that a file of an image can have, and what each means. Pure; `purpose.py` tells which a file has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Purpose: TypeAlias = Literal[
    "application",
    "weights",
    "datasets",
    "interpreter",
    "library",
    "bytecode",
    "cuda",
    "build-tools",
    "headers",
    "static-libraries",
    "debug-symbols",
    "tests",
    "docs",
    "licences",
    "type-stubs",
    "sample-data",
    "locales",
    "package-managers",
    "package-metadata",
    "caches",
    "notebooks",
    "vcs",
    "system",
]

PURPOSES: Mapping[Purpose, str] = {
    "application": "the user's own files: all that lies where neither the system nor a package manager puts anything",
    "weights": "a model: parameters, and what a model hub's cache keeps with them",
    "datasets": "tables, records, archives and recordings of the user, of a mebibyte and more",
    "interpreter": "an interpreter or virtual machine of a language, with its standard library",
    "library": "what installed packages load when they run: Python and Node packages, shared libraries, commands of packages",
    "bytecode": "compiled Python beside its source, which starts without it, but slower",
    "cuda": "libraries and toolkits that are of use only with a GPU",
    "build-tools": "compilers, linkers, build systems, debuggers, version control and their data",
    "headers": "headers, and sources of compiled modules",
    "static-libraries": "archives and object files for a linker",
    "debug-symbols": "debug information in files of its own",
    "tests": "test suites of installed packages and of the standard library",
    "docs": "manuals, package documentation, change logs",
    "licences": "texts of licences, which go with what they are about",
    "type-stubs": "types for checkers and editors",
    "sample-data": "examples and sample data of packages",
    "locales": "translations and definitions of languages and countries",
    "package-managers": "pip, setuptools, conda, npm, apt, apk, rpm and the like, with their settings",
    "package-metadata": "what package managers noted about what is installed",
    "caches": "what programs keep to be faster or leave behind, and make again",
    "notebooks": "Jupyter notebooks",
    "vcs": "repositories of version control",
    "system": "all else of the operating system: programs, settings, certificates, time zones, fonts",
}
"""Every purpose and what it means, in one sentence."""
