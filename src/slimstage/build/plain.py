"""A RUN where no overlay can be mounted: over a copy of its tree, whose changes become the layer.

The spec that was meant for overlays is given plain directories in their place; the sandbox makes no difference.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable

from slimstage.build.destination import disk_errors
from slimstage.errors import ContextError
from slimstage.sandbox.spec import Exit, HostPath, OverlayRoot, PlainRoot, SandboxSpec, StackPath
from slimstage.store.snapshots import Draft
from slimstage.tree.plain import PlainTree, copy_subtree
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.values import replace

_OURS = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf")


def run_on_copies(spec: SandboxSpec, draft: Draft, run: Callable[[SandboxSpec], Exit]) -> Exit:
    """Runs a spec with an overlay root on copies; after status 0 the draft has the changes.

    The copies are in the draft's work directory and go with it.
    Raises what `run` raises, and StoreError when the disk is full.
    """
    root = spec.root
    assert isinstance(root, OverlayRoot)
    place = os.path.join(draft.work, "tree")
    with disk_errors("the copy of the step's tree"):
        os.mkdir(place, 0o755)
        os.chmod(place, 0o755)
        tree = PlainTree(root.lowers, place)
        tree.fill()
        mounts = tuple(
            _copied(mount, f"{draft.work}/mount{number}", links=not spec.is_privileged)
            if isinstance(mount, StackPath)
            else mount
            for number, mount in enumerate(spec.mounts)
        )
    exit_ = run(replace(spec, root=PlainRoot(place), mounts=mounts))
    if exit_.status == 0:
        with disk_errors("the step's layer"):
            tree.changes_into(draft.path, _parents(spec))
    return exit_


def _copied(mount: StackPath, place: str, *, links: bool) -> HostPath:
    """The path as a directory or file of its own; what is written to it goes with the step. Raises ContextError."""
    os.mkdir(place, 0o700)
    shown = os.path.join(place, "it")
    with UnionTree(mount.lowers) as tree:
        path = tree.resolve(mount.path.lstrip("/"))
        entry = tree.lstat(path)
        if entry is None:
            raise ContextError(f'"{mount.path}" is not in the stage that is mounted', code="mount-source-missing")
        links = links and not mount.is_writable
        if entry.kind == "dir":
            os.mkdir(shown, 0o700)
            with TreeWriter(shown) as writer:
                writer.directory(replace(entry, path=""))
                copy_subtree(tree, path, writer, links=links)
                writer.finish()
        else:
            with TreeWriter(place) as writer:
                fd = tree.open(path)
                try:
                    writer.file(replace(entry, path="it"), fd)
                finally:
                    os.close(fd)
    return HostPath(mount.target, shown, is_readonly=not mount.is_writable)


def _parents(spec: SandboxSpec) -> frozenset[str]:
    """Directories in which mount points may have been made and removed, as paths of a tree."""
    targets = [*_OURS, *(mount.target for mount in spec.mounts), posixpath.join("/", spec.cwd)]
    found = set()
    for target in targets:
        path = posixpath.normpath(target).strip("/")
        while path:
            path = path.rpartition("/")[0]
            found.add(path)
    return frozenset(found)
