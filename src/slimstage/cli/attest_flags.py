"""`--sbom`, `--provenance` and `--attest`, in buildx's words.

Source: Docker's reference of `docker buildx build --attest`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from slimstage.cli.values import one_of, parse_bool, split_csv, split_pair
from slimstage.errors import UsageError


def attested(
    attest: Sequence[str], sbom: str | None, provenance: str | None
) -> tuple[bool, Literal["min", "max"] | None]:
    """(bills of materials are asked for, the mode of the provenance that is). A flag of its own wins over `--attest`.

    Raises UsageError.
    """
    wanted: dict[str, str] = {}
    for text in attest:
        fields = dict(split_pair(field, "--attest") for field in split_csv(text, "--attest"))
        kind = one_of(fields.pop("type", ""), ("sbom", "provenance"), "--attest type")
        if parse_bool(fields.pop("disabled", "false"), "--attest disabled"):
            wanted.pop(kind, None)
        else:
            wanted[kind] = fields.pop("mode", "true")
            _no_generator(fields, "--attest")
    for kind, said in (("sbom", sbom), ("provenance", provenance)):
        if said is None:
            continue
        if "=" in said:
            fields = dict(split_pair(field, f"--{kind}") for field in split_csv(said, f"--{kind}"))
            wanted[kind] = fields.pop("mode", "true")
            _no_generator(fields, f"--{kind}")
        elif parse_bool(said, f"--{kind}"):
            wanted[kind] = "true"
        else:
            wanted.pop(kind, None)
    mode = wanted.get("provenance")
    if mode is None:
        return "sbom" in wanted, None
    return "sbom" in wanted, cast(
        'Literal["min", "max"]', one_of("min" if mode == "true" else mode, ("min", "max"), "mode")
    )


def _no_generator(fields: Mapping[str, str], flag: str) -> None:
    if "generator" in fields:
        raise UsageError(f"{flag}: slimstage makes bills of materials itself", hint="leave generator= out")
    for name in fields:
        if name not in ("builder-id", "inline-only", "version"):
            raise UsageError(f'{flag}: there is no "{name}"', hint="it takes mode=min or mode=max")
