"""Artifacts that belong to images of the store: kept with them, listed, written out and read back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.cli.main import main
from slimstage.digest import Digest
from slimstage.errors import BlobMissing, FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import parse_manifest
from slimstage.oci.referrer import build_artifact, fallback_tag, for_subject
from slimstage.store.archive import Archive
from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.layout import Layout
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink
from slimstage.store.source import Export
from slimstage.store.store import Store
from support.artifacts import SBOM, SIGNATURE, MemoryArtifact
from support.images import MemoryImage, memory_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "s"


def add_image(store: Store, image: MemoryImage, name: str = "app") -> StoredImage:
    for data in image.blobs.values():
        store.blobs.put(data)
    manifest = image.manifest()
    pairs = zip(image.config().diff_ids, manifest.layers, strict=True)
    layers = tuple(ImageLayer(diff_id, blob.size, blob, None) for diff_id, blob in pairs)
    stored = StoredImage(manifest.config.digest, manifest.digest, image.config().platform, layers, 1.0)
    store.images.put(stored, [name])
    return stored


def put(store: Store, artifact: MemoryArtifact) -> Descriptor:
    subject = artifact.manifest().subject
    assert subject is not None
    return store.referrers.put(subject.digest, artifact.manifest().raw, artifact.blobs.values())


def test_artifacts_are_listed_with_type_and_annotations_and_by_type(root: Path) -> None:
    image = memory_image()
    subject = image.manifest().descriptor()
    sbom = MemoryArtifact(subject, b"sbom", SBOM, {"tool": "t"})
    signature = MemoryArtifact(subject, b"signature", SIGNATURE)
    with Store.open(root) as store:
        add_image(store, image)
        listed = [put(store, sbom), put(store, signature)]
        assert [(d.artifact_type, dict(d.annotations)) for d in listed] == [(SBOM, {"tool": "t"}), (SIGNATURE, {})]
        assert put(store, sbom) == listed[0]
    with Store.open(root) as store:
        assert store.referrers.list(subject.digest) == listed
        assert store.referrers.list(subject.digest, SIGNATURE) == listed[1:]
        assert store.referrers.list(Digest("sha256:" + "0" * 64)) == []
        assert store.referrers.source(listed[0]).manifest() == sbom.manifest()
        assert store.referrers.remove(listed[0].digest)
        assert not store.referrers.remove(listed[0].digest)
        assert store.referrers.list(subject.digest) == listed[1:]


def test_an_artifact_of_something_else_or_with_a_blob_missing_is_refused(root: Path) -> None:
    image, other = memory_image({"a": b"1"}), memory_image({"b": b"2"})
    artifact = MemoryArtifact(other.manifest().descriptor())
    with Store.open(root) as store:
        with pytest.raises(FormatError, match="something else") as caught:
            store.referrers.put(image.manifest().digest, artifact.manifest().raw, artifact.blobs.values())
        assert caught.value.code == "wrong-subject"
        with pytest.raises(FormatError, match="got none"):
            store.referrers.put(image.manifest().digest, other.manifest().raw)
        with pytest.raises(BlobMissing):
            store.referrers.put(other.manifest().digest, artifact.manifest().raw)
        assert store.referrers.list(other.manifest().digest) == []


def test_prune_keeps_artifacts_with_their_image_and_takes_them_with_it(root: Path) -> None:
    image = memory_image()
    sbom = MemoryArtifact(image.manifest().descriptor(), b"sbom")
    about_sbom = MemoryArtifact(sbom.manifest().descriptor(), b"signature of the sbom", SIGNATURE)
    with Store.open(root) as store:
        stored = add_image(store, image)
        put(store, sbom)
        put(store, about_sbom)
    with Store.open(root) as store:
        assert prune(store, all_=True).removed == ()
        assert [s.digest for s in store.referrers.sources(stored.manifest)] == [
            sbom.manifest().digest,
            about_sbom.manifest().digest,
        ]
        assert examine(store) == []
        store.images.remove(stored.id)
    with Store.open(root) as store:
        assert {thing.kind for thing in prune(store, dry_run=True).removed} == {"blob"}
        prune(store)
        assert list(store.blobs.list()) == []
        assert store.database.query("SELECT * FROM referrers") == []


def test_prune_leaves_artifacts_alone_that_another_process_is_putting(root: Path) -> None:
    image = memory_image()
    sbom = MemoryArtifact(image.manifest().descriptor(), b"sbom")
    with Store.open(root) as writer:
        put(writer, sbom)  # its image comes in a moment
        program = (
            "import sys\nfrom pathlib import Path\nfrom slimstage.store.collect import prune\n"
            "from slimstage.store.store import Store\n"
            "with Store.open(Path(sys.argv[1])) as store: prune(store)\n"
        )
        subprocess.run([sys.executable, "-c", program, str(root)], check=True, timeout=60)
        stored = add_image(writer, image)
        assert [d.digest for d in writer.referrers.list(stored.manifest)] == [sbom.manifest().digest]


def test_a_prune_without_blobs_keeps_the_rows_of_artifacts(root: Path) -> None:
    sbom = MemoryArtifact(memory_image().manifest().descriptor())
    with Store.open(root) as store:
        put(store, sbom)
    with Store.open(root) as store:
        prune(store, filters=["layer"])
        assert store.referrers.list(memory_image().manifest().digest)


@pytest.mark.parametrize("form", ["layout", "oci", "docker"])
def test_outputs_carry_artifacts_beside_the_image_and_never_instead_of_it(tmp_path: Path, form: str) -> None:
    image = memory_image()
    # An artifact whose annotations would name an image.
    names = {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/app:1", "x": "y"}
    sbom = MemoryArtifact(image.manifest().descriptor(), b"sbom", SBOM, names)
    path = str(tmp_path / "out")
    sink = LayoutSink(path) if form == "layout" else ArchiveSink(path, is_docker=form == "docker")
    sink.write([Export(image, ("app:1",), platform=image.config().platform, referrers=(sbom,))])
    with Layout(path) if form == "layout" else Archive(path) as reader:
        found = reader.referrers(image.manifest().digest)
        platform = image.config().platform
        assert reader.image(platform).manifest() == reader.image(platform, name="app:1").manifest() == image.manifest()
        if form == "docker":
            assert found == []
            assert len(reader.index().manifests) == 1
            return
        assert [(d.digest, d.artifact_type) for d in found] == [(sbom.manifest().digest, SBOM)]
        assert [dict(d.annotations) for d in reader.index().manifests if d.artifact_type == SBOM] == [{"x": "y"}]
        assert reader.read_blob(sbom.manifest().layers[0]) == b"sbom"


def test_save_and_load_carry_artifacts_to_another_store(root: Path, tmp_path: Path) -> None:
    image = memory_image()
    sbom = MemoryArtifact(image.manifest().descriptor(), b"sbom")
    about_sbom = MemoryArtifact(sbom.manifest().descriptor(), b"signature", SIGNATURE)
    for artifact in (sbom, about_sbom):
        image.blobs |= artifact.blobs
    LayoutSink(str(tmp_path / "l")).write([Export(image, ("app:1",), referrers=(sbom, about_sbom))])
    assert main(["--root", str(root), "load", "-q", "-i", str(tmp_path / "l")]) == 0
    archive = str(tmp_path / "again.tar")
    assert main(["--root", str(root), "save", "--format", "oci", "-o", archive, "app:1"]) == 0
    assert main(["--root", str(tmp_path / "t"), "load", "-q", "-i", archive]) == 0
    with Store.open(tmp_path / "t") as store:
        assert [image.names for image in store.images.list()] == [("docker.io/library/app:1",)]
        assert len(store.referrers.sources(image.manifest().digest)) == 2
        assert examine(store) == []


def test_the_fallback_index_of_other_tools_is_read_and_spoofs_are_left_out(tmp_path: Path) -> None:
    image, other = memory_image({"a": b"1"}), memory_image({"b": b"2"})
    spoof = MemoryArtifact(other.manifest().descriptor(), b"spoof")
    sink = LayoutSink(str(tmp_path / "l"))
    sink.write([Export(image, ("app:1",), referrers=(spoof,))])
    with Layout(str(tmp_path / "l")) as layout:
        assert layout.referrers(image.manifest().digest) == []
        assert [d.digest for d in layout.referrers(other.manifest().digest)] == [spoof.manifest().digest]


def test_an_artifact_is_made_again_for_another_subject() -> None:
    one, two = (memory_image({name: b""}).manifest().descriptor() for name in "ab")
    made = build_artifact(SBOM, [Descriptor("application/json", two.digest, 3)], one, {"k": "v"})
    again = for_subject(made, two)
    assert (again.artifact_type, again.layers, again.annotations) == (SBOM, made.layers, {"k": "v"})
    assert again.subject is not None
    assert again.subject.digest == two.digest
    assert parse_manifest(again.raw) == again
    with pytest.raises(FormatError, match="at least one layer"):
        build_artifact(SBOM, [], one)


def test_the_fallback_tag_is_a_tag() -> None:
    assert fallback_tag(Digest("sha256:" + "a" * 64)) == "sha256-" + "a" * 64
    assert len(fallback_tag(Digest("sha512:" + "a" * 128))) == 7 + 64
