"""Installed Python packages: RECORD, METADATA and their neighbours; never an error, never a path above the root."""

from __future__ import annotations

from fuzz.harness import Choices, decoded, interleaved
from slimstage.analyze.distribution import Distribution, normalised, read_distribution
from slimstage.analyze.record import Recorded, below_root, read_installed_files, read_record

MAX_BYTES = 4096
_WORDS = (
    "a", "b", "/", "..", ".", ",", "\n", "\r\n", '"', '""', "sha256=", "47DEQpj8HBSa-_TImW5JCeuQeRkm5NMpJWZG3hSuFU",
    "=", "0", "12",
    "../../../bin/x", "/etc/passwd", "Name: ", "Version: ", "Requires-Dist: ", "Provides-Extra: ",
    "Requires-Python: ", ": ", " ",
    "\n  ", "a>=1", "numpy (>=1.0)", "; extra == 'x'", "; python_version < '3'", " and ", " or ", "(", ")", "[x]",
    " @ https://u:p@h/x",
    "[console_scripts]\n", "[", "]", ":", "a.b:c.d", "a = b:c [x]", "#", ";", "{", "}",
    '"url"', '"dir_info"', '"vcs_info"',
    '"editable"', "true", "null", '"a"', "é", "\udcff", "\x00", "\x85", "\ufeff", "9" * 20, "~=", "!=", "*",
    "-", "_", "\t", "\\",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)
_FILES = (
    "RECORD",
    "METADATA",
    "entry_points.txt",
    "top_level.txt",
    "direct_url.json",
    "INSTALLER",
    "installed-files.txt",
    "PKG-INFO",
    "requires.txt",
)


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(6)
    if kind < 2:
        text = choices.rest() if kind else _text(choices)
        _check_recorded(read_record(text, "usr/lib/python3/site-packages"))
        _check_recorded(read_installed_files(text, "usr/lib/python3/site-packages/a.egg-info"))
        path = below_root(decoded(text), "a/b")
        assert path is None or not {"", ".", ".."} & set(path.split("/"))
        return
    directory = choices.pick(("usr/lib/a-1.dist-info", "a.egg-info", ""))
    files: dict[str, bytes] = {}
    while choices.left and len(files) < 6:
        name = choices.pick(_FILES)
        files[name] = choices.take(choices.below(2000)) if kind == 2 else _text(choices)
    _check_distribution(read_distribution(directory, files.get))


def _text(choices: Choices) -> bytes:
    text = "".join(choices.words(_WORDS, choices.below(200)))
    text *= 1 << choices.below(8) * (choices.byte() > 240)
    return text.encode("utf-8", "surrogateescape")


def _check_recorded(recorded: Recorded) -> None:
    for file in recorded.files:
        assert bool(file.path) != file.is_outside
        assert not file.path.startswith("/")
        assert ".." not in file.path.split("/")
        assert file.size_bytes is None or file.size_bytes >= 0
        assert (file.algorithm is None) == (file.digest is None)
    paths = [file.path for file in recorded.files if not file.is_outside]
    assert len(set(paths)) == len(paths)
    assert len(recorded.faults) < 30


def _check_distribution(found: Distribution) -> None:
    _check_recorded(Recorded(found.files or ()))
    assert found.key == normalised(found.key)
    assert len(found.faults) < 60
    for requirement in found.requires:
        assert str(requirement)
        assert normalised(requirement.name)
    assert all(entry.group and entry.name for entry in found.entry_points)
    assert found.origin is None or "://u:p@" not in found.origin.url


def seeds() -> list[bytes]:
    record = b"\1a/__init__.py,sha256=47DEQpj8HBSa-_TImW5JCeuQeRkm5NMpJWZG3hSuFU,12\n../../../bin/a,,\na-1.dist-info/RECORD,,\n"
    metadata = (
        b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\nRequires-Dist: b>=1; extra == 'x'\nProvides-Extra: x\n\nbody\n"
    )
    whole = bytes([2, 0, 1, *len(metadata).to_bytes(2, "big")]) + metadata
    made = []
    for step in range(40):
        words = [(step * 5 + at * 7 + at // 8) % len(_WORDS) for at in range(60)]
        made.append(bytes([3 + step % 3, step % 3, step % 9, 60, *words, 0, 0, 2, 40, *range(30)]))
    return interleaved([record, whole], made)
