"""Every output of one build, looked at by `tarfile` and, where they are installed, by skopeo, umoci and podman."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.base_image import write_busybox
from support.building import Image, Project, mounts_below
from support.rootfs import needs_sandbox

pytestmark = [*needs_sandbox, pytest.mark.xdist_group("outputs")]

DOCKERFILE = """\
FROM base AS make
RUN mkdir -p /out/deep/er && cd /out && echo one > file && ln file hard && ln -s file soft && ln -s /nowhere dangling \\
 && cp /bin/busybox tool && chmod 4755 tool && chown 1000:1000 deep && echo "ü" > "deep/na me ü" \\
 && mkfifo pipe && chmod 1777 deep/er
FROM base
COPY --from=make /out/ /data/
RUN rm /etc/group /data/dangling && rm -r /base && mkdir /base && echo new > /base/new && chmod 700 /home/app
ENV GREETING="hello world"
USER app
WORKDIR /home/app
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; echo $GREETING; cat /data/file; readlink /data/soft; ls /base; [ ! -e /etc/group ] && echo gone"]
LABEL org.example.key=value
"""
SAYS = "1000\nhello world\none\nfile\nnew\ngone\n"
EPOCH_S = 1_650_000_000

OUTPUTS = {
    "oci.tar": "type=oci,dest=oci.tar",
    "layout": "type=oci,tar=false,dest=layout",
    "docker.tar": "type=docker,dest=docker.tar",
    "local": "local",
    "flat.tar": "type=tar,dest=flat.tar",
    "zstd": "type=oci,tar=false,dest=zstd,compression=zstd,compression-level=9",
    "plain": "type=oci,tar=false,dest=plain,compression=uncompressed",
    "forced": "type=oci,tar=false,dest=forced,compression=zstd,force-compression=true",
    "clamped": "type=oci,tar=false,dest=clamped,rewrite-timestamp=true",
    "noted": "type=oci,tar=false,dest=noted,annotation.a.key=value,annotation-manifest-descriptor.b.key=other",
    "store": "type=image",
}
LAYOUTS = ("layout", "zstd", "plain", "forced", "clamped", "noted")


@dataclass(frozen=True)
class Built:
    project: Project
    out: Path
    document: dict[str, Any]

    def image(self, name: str) -> Image:
        return Image.of(self.out / name)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build with all outputs at once."""
    top = tmp_path_factory.mktemp("outputs")
    base = write_busybox(top / "base", None, [
        ("base", tarfile.DIRTYPE, 0o755, b""), ("base/old", tarfile.REGTYPE, 0o644, b"old\n"),
    ])  # fmt: skip
    (top / "out").mkdir()
    project = Project.new(top, base)
    project.dockerfile(DOCKERFILE)
    flags = [word for spec in OUTPUTS.values() for word in ("-o", spec)]
    document = project.document(
        "-t", "localhost/app:1", *flags, context=project.path, cwd=top / "out", env={"SOURCE_DATE_EPOCH": str(EPOCH_S)}
    )
    return Built(project, top / "out", document)


def command(*words: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"needs {tool}")


# What we wrote, by itself -----------------------------------------------------------------------------------------


def test_every_output_is_in_the_document(built: Built) -> None:
    assert [each["type"] for each in built.document["outputs"]] == [
        "oci", "oci", "docker", "local", "tar", "oci", "oci", "oci", "oci", "oci", "image",
    ]  # fmt: skip
    assert sorted(os.listdir(built.out)) == sorted(set(OUTPUTS) - {"store"})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_a_sound_image_with_the_same_config(name: str, built: Built) -> None:
    image = built.image(name)
    config = image.config["config"]
    assert (config["User"], config["WorkingDir"], config["Labels"]) == (
        "app",
        "/home/app",
        {"org.example.key": "value"},
    )
    assert config["Env"] == ["PATH=/usr/bin:/bin", "GREETING=hello world"]
    assert image.config["created"].startswith("2022-04-15T05:20:00")
    filled = [entry for entry in image.config["history"] if not entry.get("empty_layer")]
    assert len(filled) == len(image.config["rootfs"]["diff_ids"]) == len(image.manifest["layers"])
    (entry,) = json.loads((built.out / name / "index.json").read_text())["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "1"


@pytest.mark.parametrize(
    ("name", "base", "own"),
    [
        ("layout", "tar+gzip", "tar+gzip"),
        ("zstd", "tar+gzip", "tar+zstd"),
        ("plain", "tar+gzip", "tar"),
        ("forced", "tar+zstd", "tar+zstd"),
    ],
)
def test_layers_are_compressed_as_asked_and_the_bases_stay_as_they_came(
    name: str, base: str, own: str, built: Built
) -> None:
    image, original = built.image(name), Image.of(built.project.base)
    types = [
        layer["mediaType"].removeprefix("application/vnd.oci.image.layer.v1.") for layer in image.manifest["layers"]
    ]
    assert types == [base] * 2 + [own] * (len(types) - 2)
    assert image.config["rootfs"]["diff_ids"][:2] == original.config["rootfs"]["diff_ids"]
    assert image.config["history"][:2] == original.config["history"]
    if name != "forced":
        assert image.manifest["layers"][:2] == [
            {key: layer[key] for key in ("mediaType", "digest", "size")} for layer in original.manifest["layers"]
        ]


def test_another_compression_is_the_same_image(built: Built) -> None:
    ids = {name: built.image(name).manifest["config"]["digest"] for name in LAYOUTS if name != "clamped"}
    assert set(ids.values()) == {built.document["image_id"]}
    assert built.image("clamped").manifest["config"]["digest"] != built.document["image_id"]


def test_annotations_are_where_they_were_asked_for(built: Built) -> None:
    assert built.image("noted").manifest["annotations"] == {"a.key": "value"}
    (entry,) = json.loads((built.out / "noted/index.json").read_text())["manifests"]
    assert entry["annotations"]["b.key"] == "other"
    assert "annotations" not in built.image("layout").manifest


def test_only_rewrite_timestamp_lowers_times_and_only_of_own_layers(built: Built) -> None:
    def latest(name: str) -> tuple[float, float]:
        layers = built.image(name).layers()
        return tuple(max(m.mtime for layer in part for m in layer.values()) for part in (layers[:2], layers[2:]))  # type: ignore[return-value]  # two parts

    assert latest("clamped") == (1_700_000_000, EPOCH_S)
    base, own = latest("layout")
    assert base == 1_700_000_000
    assert own > 1_700_000_000


def test_layers_say_exactly_what_changed(built: Built) -> None:
    _, _, copied, ran = built.image("layout").layers()[:4]
    assert sorted(copied) == [
        "data", "data/dangling", "data/deep", "data/deep/er", "data/deep/na me ü", "data/file", "data/hard", "data/pipe",
        "data/soft", "data/tool",
    ]  # fmt: skip
    assert copied["data/hard"].islnk() != copied["data/file"].islnk()
    assert copied["data/tool"].mode == 0o4755
    assert (copied["data/deep"].uid, copied["data/deep"].gid) == (1000, 1000)
    assert copied["data/pipe"].isfifo()
    assert copied["data/deep/er"].mode == 0o1777
    assert {"etc/.wh.group", "data/.wh.dangling", "base/.wh..wh..opq", "base/new"} <= set(ran) or {
        "etc/.wh.group", "data/.wh.dangling", "base/.wh.old", "base/new",
    } <= set(ran)  # fmt: skip
    assert ran["home/app"].mode == 0o700
    assert not any(name.startswith(("proc", "sys", "dev/", "etc/resolv", "etc/hosts", "run/")) for name in ran)


def test_the_flat_tar_and_the_directory_are_the_whole_tree(built: Built) -> None:
    with tarfile.open(built.out / "flat.tar") as tar:
        members = {member.name: member for member in tar}
        assert [member.name for member in tar] == sorted(members, key=os.fsencode)
    assert {"data/file", "base/new", "bin/busybox"} <= set(members)
    assert not {"etc/group", "base/old", "data/dangling"} & set(members)
    assert not any(".wh." in name for name in members)
    assert members["data/deep"].uid == 1000
    local = built.out / "local"
    found = {str(path.relative_to(local)) for path in local.rglob("*")}
    assert found == set(members)
    assert (local / "data/hard").samefile(local / "data/file")
    assert os.readlink(local / "data/soft") == "file"
    assert stat.S_ISFIFO((local / "data/pipe").lstat().st_mode)
    assert (local / "data/deep/na me ü").read_text() == "ü\n"
    assert {path.lstat().st_uid for path in local.rglob("*")} == {os.geteuid()}


def test_an_archive_holds_the_same_image_as_a_layout(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.out / "oci.tar") as tar:
        tar.extractall(tmp_path / "oci", filter="fully_trusted")
    assert Image.of(tmp_path / "oci").digest == built.image("layout").digest


def test_a_docker_archive_is_what_docker_load_reads(built: Built) -> None:
    with tarfile.open(built.out / "docker.tar") as tar:

        def read(name: str) -> bytes:
            stream = tar.extractfile(name)
            assert stream is not None
            return stream.read()

        (image,) = json.loads(read("manifest.json"))
        assert image["RepoTags"] == ["localhost/app:1"]
        config = read(image["Config"])
        assert "sha256:" + hashlib.sha256(config).hexdigest() == built.document["image_id"]
        assert len(image["Layers"]) == len(json.loads(config)["rootfs"]["diff_ids"])
        for name, diff_id in zip(image["Layers"], json.loads(config)["rootfs"]["diff_ids"], strict=True):
            data = read(name)
            data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            assert "sha256:" + hashlib.sha256(data).hexdigest() == diff_id


def test_the_image_of_the_store_is_valid_and_runs(built: Built) -> None:
    assert built.project.run("inspect", "--verify", "localhost/app:1").err == "localhost/app:1: valid\n"
    assert built.project.run("run", "--rm", "localhost/app:1").out == SAYS
    assert mounts_below(built.project.root) == []


def test_a_second_build_into_a_layout_adds_and_replaces(built: Built, tmp_path: Path) -> None:
    place = tmp_path / "layout"
    for tag in ("one", "two", "one"):
        built.project.build("-t", f"localhost/app:{tag}", "-o", f"type=oci,tar=false,dest={place}")
    entries = json.loads((place / "index.json").read_text())["manifests"]
    assert sorted(entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries) == ["one", "two"]


# What others make of it -------------------------------------------------------------------------------------------


@needs("skopeo")
@pytest.mark.parametrize("name", [*LAYOUTS, "oci.tar", "docker.tar"])
def test_skopeo_reads_it(name: str, built: Built, tmp_path: Path) -> None:
    kind = {"oci.tar": "oci-archive", "docker.tar": "docker-archive"}.get(name, "oci")
    where = f"{kind}:{built.out / name}"
    config = json.loads(command("skopeo", "inspect", "--config", where))
    assert config["config"]["Env"] == ["PATH=/usr/bin:/bin", "GREETING=hello world"]
    command("skopeo", "copy", "-q", where, f"oci:{tmp_path}/copy:x")
    copy = Image.of(tmp_path / "copy")
    assert copy.config["rootfs"] == built.image("clamped" if name == "clamped" else "layout").config["rootfs"]


@needs("umoci")
def test_umoci_unpacks_the_tree_that_we_mean(built: Built, tmp_path: Path) -> None:
    command("umoci", "unpack", "--image", f"{built.out / 'layout'}:1", tmp_path / "bundle")
    with tarfile.open(built.out / "flat.tar") as tar:
        meant = {
            member.name: _fact(
                member.isdir(), member.mode, member.uid, member.gid, member.linkname if member.issym() else ""
            )
            for member in tar
        }
    rootfs = tmp_path / "bundle/rootfs"
    found = {}
    for path in rootfs.rglob("*"):
        facts = path.lstat()
        link = os.readlink(path) if path.is_symlink() else ""
        mode = 0o777 if link else stat.S_IMODE(facts.st_mode)
        found[str(path.relative_to(rootfs))] = _fact(path.is_dir() and not link, mode, facts.st_uid, facts.st_gid, link)
    assert found == meant
    assert (rootfs / "data/hard").samefile(rootfs / "data/file")
    assert (rootfs / "data/file").read_text() == "one\n"


def _fact(is_dir: bool, mode: int, uid: int, gid: int, link: str) -> tuple[object, ...]:
    return is_dir, mode, uid, gid, link


@dataclass(frozen=True)
class Podman:
    words: tuple[str, ...]

    def __call__(self, *more: object) -> str:
        return command(*self.words, *more)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """podman on places of its own, taken down at the end; podman allows 50 characters for one of their paths."""
    top = Path(tempfile.mkdtemp(prefix="podman-"))
    runtime = ("--runtime", "runc") if shutil.which("runc") else ()
    podman = Podman(("podman", "--root", f"{top}/root", "--runroot", f"{top}/run", "--tmpdir", f"{top}/tmp",
                     "--storage-driver", "vfs", *runtime))  # fmt: skip
    probe = subprocess.run([*podman.words, "info"], check=False, capture_output=True, text=True)
    if probe.returncode:
        shutil.rmtree(top, ignore_errors=True)
        pytest.skip(f"podman does not work on this host: {probe.stderr.strip().splitlines()[-1]}")
    yield podman
    subprocess.run([*podman.words, "rmi", "--all", "--force"], check=False, capture_output=True)
    shutil.rmtree(top, ignore_errors=True)


@needs("podman")
@pytest.mark.parametrize("name", ["docker.tar", "oci.tar"])
def test_podman_loads_and_runs_it(name: str, built: Built, podman: Podman) -> None:
    podman("load", "-q", "-i", built.out / name)
    assert podman("inspect", "--format", "{{.Id}}", "localhost/app:1").strip() == built.document["image_id"][7:]
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
    words = [*podman.words, "run", "--rm", "--network", "none", *limits, "localhost/app:1"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode and ("cgroup" in done.stderr or "not permitted" in done.stderr):
        pytest.skip(f"this host does not let podman run a container: {done.stderr.strip().splitlines()[-1]}")
    assert done.stdout == SAYS, done.stderr


# Destinations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_an_output_replaces_a_symlink_and_does_not_write_through_it(kind: str, project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    project.write("f", "f")
    precious = project.write("../precious", "mine")
    (project.path / "out.tar").symlink_to(precious)
    project.build("-o", f"type={kind},dest=out.tar")
    assert precious.read_text() == "mine"
    assert not (project.path / "out.tar").is_symlink()
    assert tarfile.is_tarfile(project.path / "out.tar")


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_a_fifo_at_the_destination_does_not_hang(kind: str, project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    project.write("f", "f")
    os.mkfifo(project.path / "out.tar")
    done = project.build("-o", f"type={kind},dest=out.tar", status=None, timeout_s=60)
    assert done.status in (0, 2)
    assert done.status == 2 or tarfile.is_tarfile(project.path / "out.tar")


@pytest.mark.parametrize("kind", ["oci", "docker", "tar"])
def test_a_device_is_written_to_and_stays_one(kind: str, project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    project.write("f", "f")
    null = project.path / "null"
    os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    project.build("-o", f"type={kind},dest=null")
    assert stat.S_ISCHR(null.lstat().st_mode)


def test_a_failing_build_keeps_the_output_of_the_last_one(project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    project.write("f", "f")
    places = ("out.tar", "layout", "local")
    flags = ("-o", "type=oci,dest=out.tar", "-o", "type=oci,tar=false,dest=layout", "-o", "local")
    project.build(*flags)

    def state() -> list[object]:
        top = [project.path / place for place in places]
        every = [path for place in top for path in (place, *place.rglob("*"))]
        return [(path, path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in sorted(every)]

    before = state()
    project.dockerfile("FROM base\nCOPY f /f\nRUN exit 3\n")
    project.build(*flags, status=1)
    assert state() == before
    assert sorted(os.listdir(project.path)) == ["Dockerfile", "f", *sorted(places)]


def test_a_local_output_beside_other_files_keeps_them(project: Project) -> None:
    project.dockerfile("FROM scratch\nCOPY f /dir/f\n")
    project.write("f", "new")
    project.write("out/dir/f", "old")
    project.write("out/mine", "mine")
    precious = project.write("../precious/f", "precious")
    project.build("-o", "out")
    assert (project.path / "out/dir/f").read_text() == "new"
    assert (project.path / "out/mine").read_text() == "mine"
    shutil.rmtree(project.path / "out/dir")
    (project.path / "out/dir").symlink_to(precious.parent)
    project.build("-o", "out", status=None)
    assert precious.read_text() == "precious"
