"""`slimstage doctor`."""

from __future__ import annotations

import click

from slimstage.cli.examination import StoreState, examine_store, is_well
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json, print_table
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.diagnostics import shown
from slimstage.sandbox.emulation import EVERY_HINT
from slimstage.sandbox.host import Capability, examine

_PLATFORM = "run "
"""How the names of what runs programs of an architecture begin."""

_EXAMPLES = """\
slimstage doctor               what this host allows, and whether the store is sound
slimstage doctor --repair      put right what can be
slimstage doctor --quick       without reading every blob\
"""


@verb("doctor", examples=_EXAMPLES)
@option("--repair", is_flag=True, help="Remove leftovers and what is damaged; it can be built or pulled again.")
@option("--quick", is_flag=True, help="Do not verify the digests of blobs.")
@json_option
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, repair: bool, quick: bool, as_json: bool) -> None:
    """Say what this host allows and what to do about what it does not; check the store.

    Exit status: 0 all is well, 3 something essential is missing or the store is damaged.
    """
    host = examine()
    state = examine_store(session, repairs=repair, verifies_blobs=not quick)
    well = is_well(host, state)
    if as_json:
        print_json({"is_well": well, "host": host, "store": state})
    else:
        _print(host, state, is_repairing=repair)
    ctx.exit(0 if well else 3)


def _print(host: list[Capability], state: StoreState, *, is_repairing: bool) -> None:
    print_table(("HOST", "THERE", "WHAT IT IS"), [(each.name, _word(each), each.detail) for each in host])
    emulators = [each for each in host if each.name.startswith(_PLATFORM) and not each.is_available]
    if emulators:
        click.echo("  hint: to run what is built for other architectures: " + shown(EVERY_HINT))
    for each in host:
        if not each.is_available and each.hint and each not in emulators:
            click.echo(f"  hint: {each.name}: {shown(each.hint)}")
    if state.error is not None:
        click.echo(f"\nstore {state.root}: {shown(state.error)}")
        return
    word = "sound" if not state.findings else f"{len(state.findings)} findings"
    click.echo(f"\nstore {state.root}: {word}")
    if state.has_plain_copies:
        click.echo("  its file system takes no overlays: each RUN works on a copy of its tree, which is slow")
        click.echo("  hint: a store on ext4, xfs, btrfs or tmpfs (--root, SLIMSTAGE_ROOT) does without")
    for finding in state.findings:
        repaired = " (repaired)" if finding.is_repaired else ""
        click.echo(f"  {finding.code}: {shown(finding.what)}{repaired}")
    if not is_repairing and any(not finding.is_repaired for finding in state.findings):
        note("to put right what can be: slimstage doctor --repair")


def _word(capability: Capability) -> str:
    if capability.is_available:
        return "yes"
    return "NO" if capability.is_required else "no"
