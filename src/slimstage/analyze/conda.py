"""What conda installed: one JSON document for each package in `conda-meta` of an environment. Pure.

Source: conda, `conda.models.records.PrefixRecord`; the documents are named NAME-VERSION-BUILD.json.
"""

from __future__ import annotations

from slimstage.analyze.record import below_root
from slimstage.errors import FormatError
from slimstage.oci.document import read_object
from slimstage.values import dataclass

DIRECTORY = "conda-meta"
LIMIT_BYTES = 64 << 20
"""Of one document: each file has some 300 bytes in `paths_data`."""
_MOST_FILES = 500_000


@dataclass(frozen=True, slots=True)
class CondaPackage:
    """One installed package. files: below the environment's directory, in the order written, none above it.

    depends: names without versions; virtual packages (`__glibc`) among them. channel: as written. faults: what could not be
    read, one sentence each; a document that cannot be read at all has a name of "".
    """

    name: str
    version: str
    build: str
    files: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    channel: str = ""
    is_requested: bool = False
    faults: tuple[str, ...] = ()


def read_meta(data: bytes) -> CondaPackage:
    """The package that a document of conda-meta describes. Raises: nothing."""
    faults: list[str] = []
    try:
        document = read_object(data, "conda-meta", LIMIT_BYTES)
        name, version = document.needed_text("name"), document.text("version") or ""
        build = document.text("build_string") or document.text("build") or ""
        written = document.texts("files") or ()
        depends = document.texts("depends") or ()
        specs = document.values.get("requested_specs") or document.values.get("requested_spec")
        channel = document.text("channel") or ""
    except FormatError as error:
        return CondaPackage("", "", "", faults=(error.message,))
    if len(written) > _MOST_FILES:
        faults.append(f"there are {len(written)} files, of which {_MOST_FILES} are read")
    files: dict[str, None] = {}
    for file in written[:_MOST_FILES]:
        path = None if file.startswith("/") else below_root(file, "")
        if path is not None:
            files[path] = None
        elif len(faults) < 20:
            faults.append(f"a file is outside of the environment: {file[:80]!r}")
    needs = dict.fromkeys(spec for line in depends if (spec := _name(line)))
    return CondaPackage(name, version, build, tuple(files), tuple(needs), channel, bool(specs), tuple(faults))


def _name(spec: str) -> str:
    """`conda-forge::numpy >=1.19,<2.0a0` → `numpy`. Source: conda, "Package match specifications"."""
    word = spec.strip().partition(" ")[0].rpartition("::")[2]
    end = min((at for mark in "<>=!~[" if (at := word.find(mark)) > 0), default=len(word))
    return word[:end].lower()
