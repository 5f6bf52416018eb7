"""What `doctor` finds out about the store, and its verdict on store and host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slimstage.errors import SlimstageError
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.cli.program import Session
    from slimstage.sandbox.host import Capability
    from slimstage.store.doctor import Finding


@dataclass(frozen=True, slots=True)
class StoreState:
    """`error`: why the store cannot be opened or examined; then `findings` is empty."""

    root: str
    findings: tuple[Finding, ...]
    error: str | None = None
    has_plain_copies: bool = False
    """Its file system takes no overlays: each RUN works on a copy of its tree."""


def examine_store(session: Session, *, repairs: bool, verifies_blobs: bool) -> StoreState:
    """What is wrong with the store; a store that cannot be opened is a finding of its own, not an exception."""
    from slimstage.store.doctor import examine

    root = str(session.root_path())
    try:
        store = session.store()
        findings = examine(store, repairs, verifies_blobs=verifies_blobs)
    except SlimstageError as error:
        return StoreState(root, (), error.message)
    try:
        has_plain_copies = store.snapshots.is_plain()
    except SlimstageError:
        has_plain_copies = False  # a full or read-only disk: nothing can be tried there
    return StoreState(root, tuple(findings), has_plain_copies=has_plain_copies)


def is_well(host: Sequence[Capability], state: StoreState) -> bool:
    """True when nothing essential is missing and nothing in the store is left broken."""
    return (
        all(each.is_available or not each.is_required for each in host)
        and state.error is None
        and all(finding.is_repaired for finding in state.findings)
    )
