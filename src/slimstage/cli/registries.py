"""`[registry."HOST:PORT"]` of all settings files: the project's, the user's own, the host's.

/etc/slimstage/slimstage.toml holds for everybody on the host, ~/.config/slimstage/slimstage.toml for one user, and the
project's slimstage.toml for the project; of one host's keys, the nearest file's count. The first two hold registries
only: what a build makes is to depend on the project, not on who builds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from slimstage.cli.settings import FILE_NAME, read_settings
from slimstage.errors import UsageError

SYSTEM_FILE = "/etc/slimstage/slimstage.toml"
VARIABLE = "SLIMSTAGE_CONFIG"
"""Names the user's file, wherever it is; empty: there is none."""

Registries = Mapping[str, Mapping[str, object]]


def user_settings_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Files that hold beyond one project, the farthest first."""
    yield SYSTEM_FILE
    named = environ.get(VARIABLE)
    if named is not None:
        if named:
            yield named
        return
    home = environ.get("HOME") or os.path.expanduser("~")
    configured = environ.get("XDG_CONFIG_HOME", "")
    # The XDG base directory specification: a relative path in the variable is to be ignored.
    base = configured if os.path.isabs(configured) else os.path.join(home, ".config")
    yield os.path.join(base, "slimstage", FILE_NAME)


def registries(project: Registries | None = None, environ: Mapping[str, str] | None = None) -> Registries:
    """What is set for each registry. project: of the project's file; None: of a slimstage.toml in the working directory.

    Raises UsageError with the place in the file: not readable, malformed, sections that only a project may have.
    """
    known = os.environ if environ is None else environ
    merged: dict[str, dict[str, object]] = {}
    for path in user_settings_files(known):
        if path != known.get(VARIABLE) and not os.path.lexists(path):
            continue
        settings = read_settings(path)
        for section, entries in (("build", settings.build), ("contexts", settings.contexts)):
            if entries:
                first = next(iter(entries.values()))
                raise UsageError(
                    f"[{section}] holds for one project only",
                    code="settings",
                    span=first.span,
                    hint=f"put it into the {FILE_NAME} of the project; here are registries only",
                )
        _add(merged, settings.registries)
    if project is None:
        project = read_settings(os.path.abspath(FILE_NAME)).registries if os.path.lexists(FILE_NAME) else {}
    _add(merged, project)
    return merged


def _add(merged: dict[str, dict[str, object]], more: Registries) -> None:
    for host, entries in more.items():
        merged.setdefault(host.lower(), {}).update(entries)
