"""`--iidfile`, `--metadata-file`, and other files that a command writes whole.

Source: Docker's reference of `docker buildx build --metadata-file`; keys as buildx writes them.
"""

from __future__ import annotations

import json
import os

from slimstage.build.request import BuildResult
from slimstage.errors import UsageError
from slimstage.oci.reference import parse_reference


def check_writable(path: str, flag: str) -> None:
    """Raises UsageError before a long build rather than after it: the directory has to be there and writable."""
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise UsageError(f'{flag}: "{path}" is a directory')
    if not os.path.isdir(directory):
        raise UsageError(f'{flag}: the directory "{directory}" is not there')
    if not os.access(directory, os.W_OK):
        raise UsageError(f'{flag}: the directory "{directory}" is not writable')


def write_image_id(path: str, result: BuildResult) -> None:
    """The image ID and nothing else, no newline, as Docker writes it."""
    write_text(path, result.image_id)


def metadata(result: BuildResult) -> dict[str, object]:
    """The metadata document: digests, names and the descriptor of what was built."""
    found: dict[str, object] = {}
    if len(result.platforms) < 2:  # an index has no config
        found["containerimage.config.digest"] = result.image_id
    found["containerimage.digest"] = result.manifest_digest
    pushed = next((each for output in result.outputs for each in output.pushed), None)
    if pushed is not None:
        found["containerimage.digest"] = pushed.digest
        found["containerimage.descriptor"] = {
            "mediaType": pushed.media_type,
            "digest": pushed.digest,
            "size": pushed.size_bytes,
        }
    if result.tags:
        found["image.name"] = ",".join(str(parse_reference(tag).with_default_tag()) for tag in result.tags)
    return found


def write_metadata(path: str, result: BuildResult) -> None:
    write_text(path, json.dumps(metadata(result), indent=2) + "\n")


def write_text(path: str, text: str) -> None:
    """Whole or not at all: a reader that waits for the file never sees half of it. Raises UsageError.

    What is there and no regular file (a device, a pipe, `/dev/stdout`) is written to, not replaced.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        _write_to(path, text)
        return
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise UsageError(f'cannot write "{path}": {(error.strerror or "").lower()}') from error


def _write_to(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f'cannot write "{path}": {(error.strerror or "").lower()}') from error
