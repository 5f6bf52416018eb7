"""`slimstage analyze`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from slimstage.analyze.analysis import USER
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.diagnostics import did_you_mean, shown
from slimstage.errors import UsageError

if TYPE_CHECKING:
    from slimstage.analyze.analyse import Analysed
    from slimstage.analyze.budget import Budget

_EXAMPLES = """\
slimstage analyze iris                              of the store
slimstage analyze docker-archive:iris.tar           what docker save wrote
slimstage analyze --json docker://python:3.11-slim  of a registry, without pulling it
slimstage analyze --why scipy iris                  who needs it, and which layer brought it
slimstage analyze --entry app.serve iris            what that module can reach, beside CMD and ENTRYPOINT
slimstage analyze --budget 250MB iris               status 1 when it has more\
"""


@verb("analyze", examples=_EXAMPLES)
@click.argument("image", shell_complete=complete_images)
@option("--why", "why", metavar="NAME", help="Show only why that package is there: who needs it, and the layer.")
@option("--entry", "entries", multiple=True, metavar="MODULE|PATH", help="Another place that Python is started from.")
@option(
    "--exact-imports", is_flag=True, help="Find imports by syntax trees, not by lines: slower, and knows computed ones."
)
@option("--budget", metavar="SIZE", help="End with status 1 when the image has more bytes; overrides [budget] total.")
@option("--against", metavar="IMAGE", help="The image that [budget] growth is measured against.")
@option("--top", type=click.IntRange(1, 10_000), default=10, help="How many lines of each kind to show [default: 10].")
@option("--platform", metavar="OS/ARCH", help="Which image of an index [default: this host's].")
@json_option
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    image: str,
    why: str | None,
    entries: tuple[str, ...],
    exact_imports: bool,
    budget: str | None,
    against: str | None,
    top: int,
    platform: str | None,
    as_json: bool,
) -> None:
    """Show where an image's bytes are: layers, packages, purposes, waste; and what of them need not be there.

    IMAGE is one of the store, or a place as slimstage copy takes it: docker://NAME, oci:DIR, oci-archive:FILE,
    docker-archive:FILE; docker-daemon:NAME is one of a running Docker. Nothing of the image is executed, imported or
    unpickled. A slimstage.toml in the working directory may set limits in its table [budget].
    """
    limits, reference_name = _budget(budget, against)
    analysed = _analysed(session, image, platform, entries, is_exact=exact_imports)
    reference = None
    if limits.growth is not None and reference_name is not None:
        reference = _analysed(session, reference_name, platform).analysis
    if why is not None:
        _show_why(analysed, why, as_json)
        return
    from slimstage.analyze.budget import exceeded
    from slimstage.cli.budgets import excess_document, excess_text

    broken = exceeded(analysed.analysis, limits, reference)
    if as_json:
        from slimstage.analyze.document import document

        whole = document(analysed.analysis)
        if not limits.is_empty:
            whole["budget"] = {"exceeded": [excess_document(each) for each in broken]}
        print_json(whole)
    else:
        _show(session, analysed, top)
    for each in broken:
        for line in excess_text(each):
            note(line)
    ctx.exit(1 if broken else 0)


def _analysed(
    session: Session, image: str, platform: str | None, entries: tuple[str, ...] = (), *, is_exact: bool = False
) -> Analysed:
    from slimstage.analyze.analyse import analyse
    from slimstage.cli.analyzed_image import analyzed_image

    with analyzed_image(session, image, platform) as layers:
        return analyse(layers, entries, is_exact=is_exact)


def _budget(total: str | None, against: str | None) -> tuple[Budget, str | None]:
    """The limits of the command line and of the settings, and the image for growth."""
    from slimstage.cli.budgets import budget_of
    from slimstage.cli.settings import find_settings, read_settings

    path = find_settings(None, ".")
    setting = read_settings(path).budget if path else None
    if setting is None:
        return budget_of({}, total)[0], against
    with setting.located():
        limits, named = budget_of(setting.value, total, against)
    return limits, named


def _show(session: Session, analysed: Analysed, top: int) -> None:
    from slimstage.cli.analysis_text import AnalysisText
    from slimstage.cli.terminal import Paint, has_colour, is_terminal

    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 120
    is_plain = "utf" not in (sys.stdout.encoding or "").lower()
    text = AnalysisText(
        analysed.analysis, Paint(has_colour(sys.stdout, session.colour)), top=top, width=width, is_plain=is_plain
    )
    for line in text.lines():
        sys.stdout.write(line + "\n")
    for fault in analysed.analysis.faults:
        note(f"warning: {shown(fault)}")


def _show_why(analysed: Analysed, name: str, as_json: bool) -> None:
    from slimstage.analyze.needs import why

    owners = analysed.analysis.owners
    chains = why(analysed.installed, analysed.edges, name)
    if not chains:
        names = sorted({owner.name for owner in analysed.analysis.packages})
        raise UsageError(
            f'no package "{name}" in the image', code="no-such-package", hint=did_you_mean(name, names) or "see --json"
        )
    if as_json:
        print_json([_chain_document(analysed, chain) for chain in chains])
        return
    for chain in chains:
        for depth, link in enumerate(chain):
            owner = owners[link.owner]
            asked = f"  (as {link.asked})" if link.asked else ""
            line = f"{owner.kind} {owner.name} {owner.version}{asked}"
            sys.stdout.write(f"{'   ' * max(0, depth - 1)}{'└─ ' * bool(depth)}{shown(line)}\n")
        sys.stdout.write(shown(_brought(analysed, chain[-1].owner)) + "\n")
        imported = _imported(analysed, chain[-1].owner)
        if imported:
            sys.stdout.write(shown(f"imported: {' → '.join(imported)}") + "\n")


def _brought(analysed: Analysed, owner: int) -> str:
    """Where the last package of a chain comes from."""
    package = analysed.analysis.owners[owner]
    layers = analysed.analysis.layers
    if not 0 <= package.layer < len(layers):
        return "no layer has it"
    layer = layers[package.layer]
    where = f"line {layer.line}, " if layer.line else ""
    removed = "; a later layer removed it" if package.is_removed else ""
    text = " ".join(layer.created_by.split())
    return f"layer {layer.number} brought it ({where}{text or 'nobody says by what'}){removed}"


def _imported(analysed: Analysed, owner: int) -> list[str]:
    """The modules from what is started to the first of the package; empty where no import leads there."""
    python = analysed.python
    module = python.packages.get(owner - USER - 1)
    return python.reached.chain(module) if python.reached is not None and module is not None else []


def _chain_document(analysed: Analysed, chain: Any) -> dict[str, Any]:
    links = []
    for link in chain:
        owner = analysed.analysis.owners[link.owner]
        links.append(
            {
                "kind": owner.kind,
                "name": owner.name,
                "version": owner.version,
                "asked": link.asked,
                "layer": owner.layer if owner.layer >= 0 else None,
                "is_requested": owner.is_requested,
                "size_bytes": owner.size_bytes,
            }
        )
    owner = chain[-1].owner
    return {"chain": links, "brought_by": _brought(analysed, owner), "imported": _imported(analysed, owner)}
