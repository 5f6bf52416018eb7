"""The axes along which cost is measured: what is built at each size, and by which commands.

Everything is made here, by seed and from busybox: no network, no base image.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

BUSYBOX = "/bin/busybox"
Commands = Iterator[tuple[str, list[str]]]
_MIB = 1 << 20


@dataclass(frozen=True)
class Scaled:
    """Where one measured project lies: `context` is made anew for each size, `out` takes what is exported."""

    context: Path
    out: Path


@dataclass(frozen=True)
class Variant:
    """One line of a plot. make: the context of size n. commands: (scenario, arguments) in order, on one store."""

    name: str
    make: Callable[[Path, int], None]
    commands: Callable[[Scaled, int], Commands]
    most: float = float("inf")


@dataclass(frozen=True)
class Axis:
    """unit: what n counts."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    variants: tuple[Variant, ...]


# Commands --------------------------------------------------------------------------------------------------------


def _cold(project: Scaled, _: int) -> Commands:
    yield "cold", []


def _cold_and_noop(project: Scaled, _: int) -> Commands:
    yield "cold", []
    yield "noop", []


def _all(project: Scaled, _: int) -> Commands:
    yield "cold", []
    yield "noop", []
    yield "oci", ["--output", f"type=oci,dest={project.out},tar=false"]
    shutil.rmtree(project.out)


def _with_jobs(project: Scaled, n: int) -> Commands:
    yield "cold", ["--jobs", str(n)]


# Contexts --------------------------------------------------------------------------------------------------------


def _dockerfile(context: Path, lines: list[str]) -> None:
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")


def _files(per_directory: int) -> Callable[[Path, int], None]:
    def make(context: Path, n: int) -> None:
        """n files of up to 200 bytes, all different, so many in each directory; two stages."""
        chance = random.Random(n)
        for number in range(n):
            directory, first = context / "data" / f"{number // per_directory:04}", number % per_directory == 0
            if first:
                directory.mkdir(parents=True)
            fd = os.open(directory / f"file-{number:07}.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, b"%d %s\n" % (number, chance.randbytes(chance.randrange(90)).hex().encode()))
            os.close(fd)
        _dockerfile(
            context, ["FROM scratch AS first", "COPY data /data/", "FROM scratch", "COPY --from=first /data /srv"]
        )

    return make


def _stages_in_a_row(context: Path, n: int) -> None:
    """Each stage takes a file from the one before it and adds one of its own."""
    lines = ["FROM scratch AS s0", "COPY <<EOF /f", "0", "EOF"]
    for number in range(1, n):
        lines += [f"FROM scratch AS s{number}", f"COPY --from=s{number - 1} /f /before"]
        lines += ["COPY <<EOF /f", str(number), "EOF"]
    _dockerfile(context, lines)


def _stages_on_each_other(context: Path, n: int) -> None:
    """Each stage stands on the one before it: the last has as many layers as there are stages."""
    lines = []
    for number in range(n):
        lines += [f"FROM {f's{number - 1}' if number else 'scratch'} AS s{number}"]
        lines += [f"COPY <<EOF /f{number}", str(number), "EOF"]
    _dockerfile(context, lines)


def _stages_into_one(context: Path, n: int) -> None:
    """n stages that know nothing of each other, and one that takes a file from each."""
    lines = []
    for number in range(n):
        lines += [f"FROM scratch AS s{number}", "COPY <<EOF /f", str(number), "EOF"]
    lines += ["FROM scratch", *(f"COPY --from=s{number} /f /f{number}" for number in range(n))]
    _dockerfile(context, lines)


def _with_busybox(context: Path) -> list[str]:
    shutil.copy(BUSYBOX, context / "busybox")
    return ["FROM scratch", "COPY busybox /bin/busybox"]


def _run_steps(context: Path, n: int) -> None:
    """n RUN steps, each of which writes a file."""
    steps = [f'RUN ["/bin/busybox", "touch", "/f{number}"]' for number in range(n)]
    _dockerfile(context, [*_with_busybox(context), *steps])


def _copy_steps(context: Path, n: int) -> None:
    lines = [*_with_busybox(context)]
    for number in range(n):
        lines += [f"COPY <<EOF /d/f{number}", str(number), "EOF"]
    _dockerfile(context, lines)


def _big_file(context: Path, lines: list[str]) -> None:
    _dockerfile(context, ["FROM scratch AS first", "COPY big /big", "FROM scratch", "COPY --from=first /big /srv/"])


def _dense(context: Path, n: int) -> None:
    """n MiB that do not compress."""
    chance = random.Random(n)
    with (context / "big").open("wb") as file:
        for _ in range(n):
            file.write(chance.randbytes(_MIB))
    _big_file(context, [])


def _sparse(context: Path, n: int) -> None:
    """n MiB of hole, with 4 KiB of data in the middle and at the end."""
    with (context / "big").open("wb") as file:
        for at in (n * _MIB // 2, n * _MIB - 4096):
            file.seek(at)
            file.write(b"data" * 1024)
    _big_file(context, [])


def _busy_stages(context: Path, n: int) -> None:
    """Eight stages that compute for a second or so each, whatever n is: that is the number of jobs."""
    lines = [*_with_busybox(context)]
    lines[0] += " AS base"
    command = '["/bin/busybox", "sh", "-c", "/bin/busybox yes | /bin/busybox head -c 157286400 | /bin/busybox sha512sum >/sum"]'
    for number in range(8):
        lines += [f"FROM base AS s{number}", f"ENV N={number}", f"RUN {command}"]
    lines += ["FROM scratch", *(f"COPY --from=s{number} /sum /sum{number}" for number in range(8))]
    _dockerfile(context, lines)


_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

AXES = {
    axis.name: axis
    for axis in (
        Axis(
            "files",
            "files in the context",
            (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
            (
                Variant("1,000 in a directory", _files(1_000), _all),
                Variant("all in one", _files(1 << 30), _all, 300_000),
            ),
        ),
        Axis(
            "stages",
            "stages",
            (*_STEPS, 1_000),
            (
                Variant("in a row", _stages_in_a_row, _cold_and_noop),
                Variant("on each other", _stages_on_each_other, _cold_and_noop),
                Variant("into one", _stages_into_one, _cold_and_noop),
            ),
        ),
        Axis(
            "steps",
            "steps in a stage",
            _STEPS,
            (Variant("RUN", _run_steps, _cold_and_noop), Variant("COPY", _copy_steps, _cold_and_noop)),
        ),
        Axis(
            "size",
            "MiB of a file",
            (1, 10, 100, 1_000, 4_000, 20_000),
            (Variant("random bytes", _dense, _all, 4_000), Variant("sparse", _sparse, _all)),
        ),
        Axis("jobs", "jobs", (1, 2, 3, 4, 6, 8), (Variant("eight busy stages", _busy_stages, _with_jobs),)),
    )
}
