"""Files that name packages, as text → what they ask for: requirements.txt, environment.yml, pyproject.toml and their like.

Only what the file itself says: nothing is opened. Lock files are not read: their projects say what is meant.
Source: pip's "Requirements File Format"; conda's environment files; PEP 621, 735, 518; poetry's and Pipfile's tables; npm's
package.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slimstage.diagnostics import Source, Span
from slimstage.lint.commands.command import FileArgument, FileKind, Kind, Requested
from slimstage.lint.commands.conda import requested_text
from slimstage.lint.commands.distributions import normalised, requested
from slimstage.lint.shell.script import Word
from slimstage.regex import pattern
from slimstage.values import dataclass, field, replace

LARGEST = 4 * 1024 * 1024
"""Characters of a file that is read; of a larger one nothing is said."""

_OPTION = pattern(r"(--?[A-Za-z][A-Za-z-]*)(?:[ =]\s*|(?<=^-[recfi])(?=\S))(.*)")
_LINE_OPTIONS = pattern(r"\s+--(?:hash|config-settings?|global-option|install-option|build-option)[ =]\S+")
_COMMENT = pattern(r"(?:^|\s+)#.*$")
_EXACT = pattern(r"=*\s*v?\d[\w.+!-]*")


@dataclass(frozen=True, slots=True)
class Listed:
    """What a file asks for. packages: always. groups: extras and dependency groups by their normalised names; `dev` for
    packages of development. conda: those that conda brings. build: what is needed to build the project. files: further
    files that it names, relative to itself. Places are those in the file.
    """

    packages: tuple[Requested, ...] = ()
    groups: Mapping[str, tuple[Requested, ...]] = field(default_factory=dict)
    conda: tuple[Requested, ...] = ()
    build: tuple[Requested, ...] = ()
    files: tuple[FileArgument, ...] = ()
    index_urls: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Lines of a requirements file that set something (`--extra-index-url …`)."""
    python: str | None = None
    """What is said of Python's version, as written."""


NOTHING = Listed()


def read_listing(kind: FileKind, path: str, text: str) -> Listed:
    """What the file at a path asks for, by its kind and name. Raises: nothing; of what makes no sense nothing is said."""
    if len(text) > LARGEST:
        return NOTHING
    name = path.rpartition("/")[2]
    source = Source(path, text)
    if kind == "environment" or name.endswith((".yml", ".yaml")):
        return _environment(source)
    if name == "package.json":
        return _package_json(source)
    if name.endswith(".toml"):
        return _project(source)
    if name == "Pipfile":
        return _pipfile(source)
    if kind == "lock" and not name.endswith((".txt", ".in")):
        return NOTHING
    return read_requirements(source)


# requirements.txt -------------------------------------------------------------------------------------------------


def read_requirements(source: Source) -> Listed:
    """A requirements file of pip: `-r`, `-c`, `-e`, options of indexes, comments and continuations heeded."""
    packages: list[Requested] = []
    files: list[FileArgument] = []
    urls: list[str] = []
    options: list[str] = []
    for text, span in _logical_lines(source):
        option = _OPTION.fullmatch(text)
        if option is None:
            if text.startswith("-"):
                options.append(text)
            else:
                packages.append(requested(_LINE_OPTIONS.sub("", text).rstrip("\\ "), span, is_exact=False))
            continue
        name, value = option.group(1), option.group(2).strip()
        if name in ("-r", "--requirement", "-c", "--constraint"):
            files.append(
                FileArgument(value, "requirements" if name in ("-r", "--requirement") else "constraints", span)
            )
        elif name in ("-e", "--editable"):
            packages.append(replace(requested(value, span, is_exact=False), is_pinned=True))
        else:
            options.append(text)
            if name in ("-i", "--index-url"):
                urls.insert(0, value)
            elif name == "--extra-index-url":
                urls.append(value)
    return Listed(tuple(packages), files=tuple(files), index_urls=tuple(urls), options=tuple(options))


def _logical_lines(source: Source) -> Iterator[tuple[str, Span]]:
    """Lines without comments, continuations joined, with the place of their text."""
    kept: list[str] = []
    first = 0
    for number, raw in enumerate(source.text.split("\n"), 1):
        line = raw.rstrip("\r")
        first = first or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            kept.append(line[:-1])
            continue
        kept.append(line)
        text = _COMMENT.sub("", "".join(kept)).strip()
        if text:
            begin = source.line(first) or ""
            start = len(begin) - len(begin.lstrip()) + 1
            end = start + len(text) if first == number else len(begin) + 1
            yield text, Span(source, first, start, first, max(end, start + 1))
        kept, first = [], 0


# environment.yml --------------------------------------------------------------------------------------------------


def _environment(source: Source) -> Listed:
    """conda's environment file, by indentation: the lists `channels` and `dependencies`, and `pip` in it.

    Written here because this much of YAML needs no library: environment files are lists of plain words.
    """
    found: dict[str, list[tuple[str, Span]]] = {"channels": [], "dependencies": [], "pip": []}
    section, pip_indent = "", -1
    for number, raw in enumerate(source.text.split("\n"), 1):
        line = _COMMENT.sub("", raw.rstrip("\r")).rstrip()
        text = line.lstrip()
        if not text:
            continue
        indent = len(line) - len(text)
        is_item = text.startswith(("- ", "-\t")) or text == "-"
        if not is_item and indent == 0:
            key, _, rest = text.partition(":")
            section, pip_indent = key.strip("\"' "), -1
            for item in rest.strip().strip("[]").split(",") if rest.strip().startswith("[") else ():
                _add_item(found, section, item, source, number, 1)
            continue
        if not is_item:
            continue
        value = text[1:].strip()
        if section == "dependencies" and value.rstrip(" []").endswith(":") and value.rstrip(" :").strip("\"'") == "pip":
            pip_indent = indent
            continue
        if pip_indent >= 0 and indent <= pip_indent:
            pip_indent = -1
        name = "pip" if pip_indent >= 0 else section
        _add_item(found, name, value, source, number, indent + text.index(value) + 1 if value else 1)
    pip = [read_requirements(Source(source.name, text)) for text, _ in found["pip"]]
    packages = tuple(
        replace(package, span=span)
        for listed, (_, span) in zip(pip, found["pip"], strict=True)
        for package in listed.packages
    )
    conda = tuple(requested_text(text, Word(text, text, span)) for text, span in found["dependencies"])
    python = next((each.constraint for each in conda if each.name == "python"), None)
    return Listed(
        packages,
        conda=conda,
        files=tuple(each for listed in pip for each in listed.files),
        index_urls=tuple(url for listed in pip for url in listed.index_urls),
        channels=tuple(text for text, _ in found["channels"]),
        python=python,
    )


def _add_item(
    found: dict[str, list[tuple[str, Span]]], section: str, item: str, source: Source, line: int, column: int
) -> None:
    text = item.strip().strip("\"'").strip()
    if section in found and text:
        found[section].append((text, Span(source, line, column, line, column + len(item.strip()) or column + 1)))


# TOML and JSON ----------------------------------------------------------------------------------------------------


def _table(value: Any, *names: str) -> dict[str, Any]:
    """The table below these names; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _span_of(source: Source, text: str) -> Span:
    """Where a text first stands in the file; its beginning where it does not as such."""
    at = source.text.find(text)
    if at < 0:
        return Span(source, 1, 1, 1, 2)
    line = source.text.count("\n", 0, at) + 1
    column = at - source.text.rfind("\n", 0, at)
    return Span(source, line, column, line, column + max(1, len(text)))


def _all(source: Source, texts: list[str]) -> tuple[Requested, ...]:
    return tuple(requested(text, _span_of(source, text), is_exact=False) for text in texts)


def _loaded(source: Source) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(source.text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _project(source: Source) -> Listed:
    """pyproject.toml: PEP 621, dependency groups, and the tables of poetry, pdm and uv."""
    data = _loaded(source)
    project, poetry = _table(data, "project"), _table(data, "tool", "poetry")
    groups: dict[str, tuple[Requested, ...]] = {}
    extras = _table(project, "optional-dependencies")
    sets = {**_table(data, "dependency-groups"), **_table(data, "tool", "pdm", "dev-dependencies")}
    for name, value in (*extras.items(), *sets.items()):
        groups[normalised(name)] = _all(source, _strings(value))
    groups["dev"] = (
        *groups.get("dev", ()),
        *_all(source, _strings(_table(data, "tool", "uv").get("dev-dependencies"))),
    )
    packages = _all(source, _strings(project.get("dependencies")))
    packages += _poetry(source, _table(poetry, "dependencies"))
    groups["dev"] += _poetry(source, _table(poetry, "dev-dependencies"))
    for name, table in _table(poetry, "group").items():
        groups[normalised(name)] = (*groups.get(normalised(name), ()), *_poetry(source, _table(table, "dependencies")))
    python = project.get("requires-python") or _table(poetry, "dependencies").get("python")
    return Listed(
        packages,
        {name: value for name, value in groups.items() if value},
        build=_all(source, _strings(_table(data, "build-system").get("requires"))),
        python=python if isinstance(python, str) else None,
    )


def _poetry(source: Source, table: Mapping[str, Any]) -> tuple[Requested, ...]:
    """`name = "^1"`, `name = {version = "1", extras = […]}`."""
    made: list[Requested] = []
    for name, value in table.items():
        if name == "python":
            continue
        about = value if isinstance(value, dict) else {"version": value}
        version = about.get("version")
        constraint = version if isinstance(version, str) and version != "*" else ""
        is_pinned = bool(_EXACT.fullmatch(constraint)) or "rev" in about or ("path" in about and not version)
        extras = tuple(normalised(each) for each in _strings(about.get("extras")))
        span = _span_of(source, name)
        kind: Kind = "vcs" if "git" in about else "url" if "url" in about else "path" if "path" in about else "name"
        made.append(Requested(normalised(name), name, span, constraint, extras, is_pinned, kind, False))
    return tuple(made)


def _pipfile(source: Source) -> Listed:
    data = _loaded(source)
    dev = _poetry(source, _table(data, "dev-packages"))
    python = _table(data, "requires").get("python_version")
    return Listed(
        _poetry(source, _table(data, "packages")),
        {"dev": dev} if dev else {},
        python=python if isinstance(python, str) else None,
    )


def _package_json(source: Source) -> Listed:
    import json

    try:
        data = json.loads(source.text)
    except (ValueError, RecursionError):
        return NOTHING
    dev = _npm(source, _table(data, "devDependencies"))
    return Listed(_npm(source, _table(data, "dependencies")), {"dev": dev} if dev else {})


def _npm(source: Source, table: Mapping[str, Any]) -> tuple[Requested, ...]:
    made: list[Requested] = []
    for name, version in table.items():
        if isinstance(version, str):
            is_pinned = bool(_EXACT.fullmatch(version))
            span = _span_of(source, f'"{name}"')
            made.append(
                Requested(name.lower(), f"{name}@{version}", span, f"@{version}", (), is_pinned, is_exact=False)
            )
    return tuple(made)
