"""A store with something of everything in it, to be copied before each kill; and what has to be true of a copy afterwards."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slimstage.cli.image_source import ready_source
from slimstage.cli.push_source import pushed_manifest
from slimstage.container.records import Containers
from slimstage.digest import Digest
from slimstage.store.layout import Layout
from slimstage.store.store import Store
from slimstage.store.verify import verify_image
from support.building import Image, Project
from support.images import memory_image
from support.indexes import put_image
from support.killing import Commands, copy_store

NAMES = ("docker.io/library/made:1", "docker.io/library/other:1")
DOCKERFILE = """\
FROM base AS made
COPY files/ /files/
RUN --mount=type=cache,target=/cache mkdir /out && for i in $(seq 20); do echo $i > /out/$i; done; cp /out/1 /cache/
COPY --link files/1 /linked
FROM base AS other
COPY files/2 /files/3 /
"""
TO_PUSH = memory_image({"model": random.Random(1).randbytes(12 << 20)}, {"b": b"b" * 900_000}, is_gzip=False)
"""Its first layer is so large that it is sent while it is compressed."""
PULLED = memory_image({"a": bytes(range(256)) * 12_000}, {"b": b"b" * 900_000, "c/": b"", "c/d": b"d"})


@dataclass(frozen=True)
class Template:
    """root: the store. Beside it lie what `save` makes of it (`docker.tar`, `oci.tar`, `layout`, `one`), and the project."""

    top: Path
    project: Project
    manifests: Mapping[str, str]
    """By name."""
    registry: str = ""
    """Where `PULLED` is `app:1`."""

    @property
    def root(self) -> Path:
        return self.project.root

    def build(self, out: Path) -> list[str]:
        """Arguments of a build of `made` that writes everything that a build can write."""
        return [*self.build_args("made"), "-o", f"type=oci,tar=false,dest={out}/layout", "-o",
                f"type=docker,dest={out}/docker.tar", "-o", f"type=tar,dest={out}/flat.tar", "-o",
                f"type=local,dest={out}/files", "."]  # fmt: skip

    def build_args(self, name: str) -> list[str]:
        return ["build", "--build-context", f"base=oci-layout://{self.project.base}", "--reproducible",
                "--progress=plain", "--target", name, "-t", f"{name}:1"]  # fmt: skip

    def assert_images(self, root: Path, *, gone: Sequence[str] = (), perhaps: Sequence[str] = ()) -> None:
        """Every image is whole and has its manifest. gone, perhaps: names that must not, or need not, be there."""
        with Store.open(root) as store:
            names = set(store.images.names())
            for name, manifest in self.manifests.items():
                if name in gone or (name in perhaps and name not in names):
                    assert name not in names
                    continue
                image = store.images.find(name)
                assert image is not None, f"{name} is lost"
                assert image.manifest == manifest
                assert [str(fault) for fault in verify_image(ready_source(store, image))] == []


def make_template(top: Path, base: Path, commands: Commands, registry: str) -> Template:
    """Built, saved, and run once. registry: its host and port."""
    project = Project.new(top, base)
    project.dockerfile(DOCKERFILE.replace("files/2 /files/3 /", "files/2 /"))
    for number in range(30):
        project.write(f"files/{number}", f"file {number}\n" * number * 20)
    template = Template(top, project, {})
    for stage in ("made", "other"):
        commands.run(*template.build_args(stage), ".", root=project.root, cwd=project.path, status=0)
    save(commands, template.root, top)
    commands.run("save", "other:1", "--format=oci-dir", "-o", top / "one", root=project.root, cwd=top, status=0)
    commands.run("run", "--name=old", "made:1", "touch", "/new", root=project.root, cwd=top, status=0)
    with Store.open(project.root) as store:
        manifests = {name: str(image.manifest) for image in store.images.list() for name in image.names}
    assert set(manifests) == set(NAMES)
    return Template(top, project, manifests, registry)


def save(commands: Commands, root: Path, place: Path) -> None:
    """Both images in every form."""
    for form, name in (("docker", "docker.tar"), ("oci", "oci.tar"), ("oci-dir", "layout")):
        commands.run(
            "save", "made:1", "other:1", f"--format={form}", "-o", place / name, root=root, cwd=place, status=0
        )


def assert_layout(path: Path, names: Sequence[str]) -> None:
    """It holds these images, each whole, and nothing that is not."""
    with Layout(str(path)) as layout:
        for name in names:
            from slimstage.oci.descriptor import host_platform

            assert verify_image(layout.image(host_platform(), name=name)) == []
    assert sorted(os.listdir(path)) == ["blobs", "index.json", "oci-layout"]
    for blob in (path / "blobs/sha256").iterdir():
        assert len(blob.name) == 64


@dataclass(frozen=True)
class Case:
    """A command to be killed: its arguments, what it starts from, and what holds whether it was killed or not.

    prepare: called with (template, root, out) before each kill; without it, the store is a copy of the template.
    check: called with (template, root, out, whether the command has ended well).
    """

    args: Callable[[Template, Path], Sequence[object]]
    check: Callable[[Template, Path, Path, bool], None]
    prepare: Callable[[Template, Path, Path], None] = lambda template, root, out: copy_store(template.root, root)
    ends_with: int = 0


def _same_file(name: str) -> Callable[[Template, Path, Path, bool], None]:
    """The archive is not there, or equal to the one that nothing disturbed."""

    def check(template: Template, root: Path, out: Path, is_done: bool) -> None:
        template.assert_images(root)
        assert os.listdir(out) in ([name], [] if not is_done else [name])
        if (out / name).exists():
            assert (out / name).read_bytes() == (template.top / name).read_bytes()

    return check


def _new_layout(template: Template, root: Path, out: Path, is_done: bool) -> None:
    assert os.listdir(out) in (["layout"], [] if not is_done else ["layout"])
    if (out / "layout").exists():
        assert_layout(out / "layout", NAMES)


def _added(template: Template, root: Path, out: Path, is_done: bool) -> None:
    # What was there before can be read at any moment.
    assert_layout(out / "layout", NAMES if is_done else NAMES[1:])


def _with_layout(template: Template, root: Path, out: Path) -> None:
    copy_store(template.root, root)
    shutil.copytree(template.top / "one", out / "layout")


def _exported(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    assert set(os.listdir(out)) <= {"layout", "docker.tar", "flat.tar", "files"}
    if is_done or (out / "layout").exists():
        assert Image.of(out / "layout").config["rootfs"]["diff_ids"]
    if is_done or (out / "files").exists():
        assert (out / "files/out/20").read_text() == "20\n"
        assert len(os.listdir(out / "files/files")) == 30
    for name in ("docker.tar", "flat.tar"):
        if is_done or (out / name).exists():
            assert (out / name).read_bytes().endswith(bytes(1024)), "a tar without its end"


def _loaded(template: Template, root: Path, out: Path, is_done: bool) -> None:
    with Store.open(root) as store:
        for name in NAMES:
            image = store.images.find(name)
            assert image is not None or not is_done
            if image is not None:
                assert [str(fault) for fault in verify_image(ready_source(store, image))] == []


def _pulled(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    with Store.open(root) as store:
        image = store.images.find(f"{template.registry}/app:1")
        assert image is not None or not is_done
        if image is not None:
            assert image.manifest == PULLED.manifest().digest
            assert [str(fault) for fault in verify_image(ready_source(store, image))] == []


def _with_image_to_push(template: Template, root: Path, out: Path) -> None:
    copy_store(template.root, root)
    with Store.open(root) as store:
        put_image(store, TO_PUSH, f"{template.registry}/pushed:1")


def _pushed(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    with Store.open(root) as store:
        image = store.images.find(f"{template.registry}/pushed:1")
        assert image is not None
        assert image.id == TO_PUSH.manifest().config.digest
        # A kill may come before or behind the moment in which the store learns the compressed manifest.
        before, after = TO_PUSH.manifest().digest, _manifest_pushed()
        assert image.manifest == after or (image.manifest == before and not is_done)
        assert [str(fault) for fault in verify_image(ready_source(store, image))] == []


@cache
def _manifest_pushed() -> Digest:
    """Of the manifest that a whole push of the image sends."""
    with tempfile.TemporaryDirectory() as directory, Store.open(Path(directory) / "store") as store:
        put_image(store, TO_PUSH, "pushed:1")
        image = store.images.find("pushed:1")
        assert image is not None
        return pushed_manifest(store, image).digest


def _no_store(template: Template, root: Path, out: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)


def _pruned(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    assert [record.name for record in Containers(root).list()] == ["old"]
    if is_done:
        assert [path for path in (root / "caches").iterdir() if (path / "0").exists()] == []


def _removed(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root, perhaps=NAMES[1:], gone=NAMES[1:] if is_done else ())


def _tagged(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    with Store.open(root) as store:
        found = store.images.find("third:1")
        assert found is None if not is_done and found is None else found is not None
        assert found is None or found.manifest == template.manifests[NAMES[0]]


def _ran(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    for record in Containers(root).list():
        assert record.status in ("exited", "lost", "created"), record
        assert (root / "containers" / record.id / "upper").is_dir(), "half a container is seen"


def _container_gone(template: Template, root: Path, out: Path, is_done: bool) -> None:
    template.assert_images(root)
    names = [record.name for record in Containers(root).list()]
    assert names in ([], ["old"] if not is_done else [])


CASES: dict[str, Case] = {
    "save docker": Case(
        lambda t, out: ["save", "made:1", "other:1", "-o", out / "docker.tar"], _same_file("docker.tar")
    ),
    "save oci": Case(
        lambda t, out: ["save", "made:1", "other:1", "--format=oci", "-o", out / "oci.tar"], _same_file("oci.tar")
    ),
    "save into a new layout": Case(
        lambda t, out: ["save", "made:1", "other:1", "--format=oci-dir", "-o", out / "layout"], _new_layout
    ),
    "save into a layout": Case(
        lambda t, out: ["save", "made:1", "--format=oci-dir", "-o", out / "layout"], _added, _with_layout
    ),
    "export": Case(lambda t, out: t.build(out), _exported),
    "load docker": Case(lambda t, out: ["load", "-i", t.top / "docker.tar"], _loaded, _no_store),
    "load layout": Case(lambda t, out: ["load", "-i", t.top / "layout"], _loaded, _no_store),
    "pull": Case(lambda t, out: ["pull", "-q", f"{t.registry}/app:1"], _pulled),
    "push": Case(lambda t, out: ["push", "-q", f"{t.registry}/pushed:1"], _pushed, _with_image_to_push),
    "prune": Case(lambda t, out: ["prune", "--all"], _pruned),
    "rmi": Case(lambda t, out: ["rmi", "other:1"], _removed),
    "tag": Case(lambda t, out: ["tag", "made:1", "third:1"], _tagged),
    "run": Case(lambda t, out: ["run", "made:1", "sh", "-c", "echo 1 > /1; cat /out/*"], _ran),
    "run -d": Case(lambda t, out: ["run", "-d", "made:1", "sleep", "0.1"], _ran),
    "rm": Case(lambda t, out: ["rm", "old"], _container_gone),
}
