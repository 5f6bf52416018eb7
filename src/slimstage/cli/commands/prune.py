"""`slimstage prune`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import click

from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json, print_table
from slimstage.cli.units import size_text
from slimstage.cli.values import one_of, parse_duration, parse_size, split_pair
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.container.records import Containers
from slimstage.store.collect import Kind, PruneReport, prune

_EXAMPLES = """\
slimstage prune                       what nothing needs: cached steps stay
slimstage prune --older-than 7d       also cached steps not used for a week
slimstage prune --keep-storage 20g    also cached steps, oldest first, until 20 GB are left
slimstage prune --all                 every cached step and every cache mount\
"""
KINDS: tuple[Kind, ...] = ("image", "record", "layer", "blob", "cache", "temporary")
_SAID = {
    "image": "images without a name",
    "record": "cached steps",
    "layer": "layers",
    "blob": "blobs",
    "cache": "cache mounts",
    "temporary": "leftovers of processes that are gone",
    "container": "containers that have ended",
}


@verb("prune", examples=_EXAMPLES)
@option("-a", "--all", "takes_all", is_flag=True, help="Every cached step and cache mount.")
@option("--older-than", metavar="AGE", help="Cached steps and cache mounts not used for AGE (24h, 7d).")
@option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=AGE, as --older-than; type=KIND, only these."
)
@option("--keep-storage", "--max-used-space", metavar="SIZE", help="Cached steps, longest unused first, down to SIZE.")
@option("--containers", "takes_containers", is_flag=True, help="Also containers that have ended.")
@option("-n", "--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@option("-f", "--force", is_flag=True, hidden=True, help="As in docker; nothing is asked here.")
@json_option
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    takes_all: bool,
    older_than: str | None,
    filters: tuple[str, ...],
    keep_storage: str | None,
    takes_containers: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Remove what nothing needs any more.

    Named images, containers, and whatever a running build or container uses, stay always.
    """
    age, kinds = _filters(filters)
    if older_than is not None:
        age = parse_duration(older_than, "--older-than")
    keep = None if keep_storage is None else parse_size(keep_storage, "--keep-storage")
    ended = _ended(session, takes_all=takes_containers)
    if ended and not dry_run:
        containers = Containers(session.root_path())
        for record in ended:
            containers.remove(record.id)
    report = prune(session.store(), age, keep, takes_all, kinds, dry_run=dry_run)
    _tell(report, [record.name for record in ended], dry_run=dry_run, as_json=as_json)


def _filters(texts: Iterable[str]) -> tuple[float | None, frozenset[Kind] | None]:
    age: float | None = None
    kinds: set[Kind] = set()
    for text in texts:
        key, value = split_pair(text, "--filter")
        if one_of(key, ("until", "type"), "--filter") == "until":
            age = parse_duration(value, "--filter until")
        else:
            kinds.add(cast(Kind, one_of(value, KINDS, "--filter type")))
    return age, frozenset(kinds) or None


def _ended(session: Session, *, takes_all: bool) -> list[Any]:
    """Containers that have ended; without `--containers` only those that were to remove themselves and were killed."""
    records = Containers(session.root_path()).list()
    if not takes_all:
        return [record for record in records if record.status == "lost" and record.removes_itself]
    return [record for record in records if record.status in ("exited", "lost")]


def _tell(report: PruneReport, containers: list[str], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "bytes": report.bytes, "containers": containers, "removed": report.removed,
                    "kept_in_use": report.kept_in_use})  # fmt: skip
        return
    rows = []
    counts: dict[str, tuple[int, int]] = {"container": (len(containers), 0)} if containers else {}
    for thing in report.removed:
        count, size = counts.get(thing.kind, (0, 0))
        counts[thing.kind] = count + 1, size + thing.size_bytes
    for kind in ("container", *KINDS):
        if kind in counts:
            count, size = counts[kind]
            rows.append((_SAID[kind], str(count), size_text(size)))
    if rows:
        print_table(("WHAT", "COUNT", "SIZE"), rows, right=(1, 2))
    verb_word = "would free" if dry_run else "freed"
    note(f"{verb_word} {size_text(report.bytes, ' ')}")
    if report.kept_in_use:
        note(f"{report.kept_in_use} layers and blobs stay because something runs that uses them")
