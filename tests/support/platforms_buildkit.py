"""What a build for several platforms gives, as plain data, and BuildKit's answer to it.

    BENCH_PATH=… BENCH_DOCKER_CONFIG=… python -m support.platforms_buildkit      (in tests/; writes the .json beside this)

asks a dockerd of its own (see `buildkit.py`), without attestations, which put further manifests into the index.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from support.packed import unpacked

PLATFORMS = "linux/amd64,linux/arm64,linux/arm/v6,linux/arm"
DOCKERFILE = """\
ARG TARGETARCH
FROM --platform=$BUILDPLATFORM base AS tools
RUN mkdir /t && echo tools > /t/tools
FROM --platform=$BUILDPLATFORM tools AS build
ARG TARGETPLATFORM
ARG TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDARCH BUILDVARIANT
RUN echo "$TARGETPLATFORM|$TARGETOS|$TARGETARCH|$TARGETVARIANT|$BUILDPLATFORM|$BUILDARCH|$BUILDVARIANT" > /t/said
FROM scratch AS variant-amd64
FROM scratch AS variant-arm64
COPY only-arm64 /only
FROM scratch AS variant-arm
ENV IS_ARM=yes
FROM variant-$TARGETARCH
ARG TARGETARCH
ARG TARGETVARIANT
ENV ARCH=$TARGETARCH$TARGETVARIANT
LABEL platform=$TARGETARCH
COPY --from=build /t /app
COPY --chmod=755 run /usr/bin/run-$TARGETARCH
WORKDIR /app/work
ENTRYPOINT ["/usr/bin/run"]
"""
FILES = {"only-arm64": "arm64\n", "run": "#!/bin/sh\n"}
ANSWERS = Path(__file__).with_suffix(".json")
_OWN = ("created", "rootfs", "history", "moby.buildkit.buildinfo.v1", "moby.buildkit.cache.v0")


def write_context(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "Dockerfile").write_text(DOCKERFILE)
    for name, text in FILES.items():
        (place / name).write_text(text)
        (place / name).chmod(0o644)


def observed(archive: Path) -> dict[str, Any]:
    """The shape of index.json and of the index, and each platform's config, history and layer trees."""
    blobs: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is not None:
                blobs[member.name] = stream.read()

    def blob(digest: str) -> bytes:
        data = blobs["blobs/" + digest.replace(":", "/")]
        assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
        return data

    outer = json.loads(blobs["index.json"])
    (entry,) = outer["manifests"]
    index = json.loads(blob(entry["digest"]))
    found: dict[str, Any] = {
        "index.json": {"keys": sorted(outer), "entry": sorted(entry), "mediaType": entry["mediaType"]},
        "index": {
            "keys": sorted(index),
            "mediaType": index["mediaType"],
            "manifests": [
                {"keys": sorted(each), "mediaType": each["mediaType"], "platform": each["platform"]}
                for each in index["manifests"]
            ],
        },
        "images": [],
    }
    for each in index["manifests"]:
        manifest = json.loads(blob(each["digest"]))
        config = json.loads(blob(manifest["config"]["digest"]))
        found["images"].append(
            {
                "manifest": sorted(manifest),
                "config": {key: value for key, value in config.items() if key not in _OWN},
                "history": [[entry["created_by"], entry.get("empty_layer", False)] for entry in config["history"]],
                "layers": [_tree(unpacked(blob(layer["digest"]))) for layer in manifest["layers"]],
                "types": [layer["mediaType"] for layer in manifest["layers"]],
            }
        )
    return found


def _tree(data: bytes) -> list[list[Any]]:
    lines = []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            content = hashlib.sha256(stream.read()).hexdigest() if stream else member.linkname
            kind = member.type.decode()
            lines.append([member.name.rstrip("/"), kind, oct(member.mode), member.uid, member.gid, content])
    return sorted(lines)


def main() -> None:
    from support.buildkit import Bases, BuildKit, short_home

    home = short_home()
    try:
        peer = BuildKit(home, Bases(home))
        try:
            write_context(home / "context")
            done = peer._docker(
                "build", "--progress=plain", "--network=none", "--provenance=false", "--platform", PLATFORMS,
                *peer.bases.options(), "-t", "app:1", "-o", f"type=oci,dest={home}/out.tar", str(home / "context"),
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr[-3000:])
            print(done.stderr)
            text = json.dumps({"version": peer.version, **observed(home / "out.tar")}, indent=1)
            ANSWERS.write_text(text + "\n")
        finally:
            peer.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
