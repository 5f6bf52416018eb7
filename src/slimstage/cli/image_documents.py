"""Images as the documents and figures that commands show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slimstage.container.images import config_of
from slimstage.digest import Digest
from slimstage.oci.config import HealthConfig, ImageConfig
from slimstage.oci.manifest import Index, descriptor_fields, parse_index, platform_fields
from slimstage.oci.reference import familiar, parse_reference
from slimstage.store.images import StoredImage
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store


def image_size(image: StoredImage) -> int:
    """Bytes of all layers' uncompressed tars: what `docker images` calls the size, nearly."""
    return sum(layer.size_bytes for layer in image.layers)


def index_size(images: Iterable[StoredImage]) -> int:
    """The same of several images together: a layer that they share counts once."""
    return sum({layer.diff_id: layer.size_bytes for image in images for layer in image.layers}.values())


def short_names(image: StoredImage | StoredIndex) -> list[str]:
    """As people write them, with their tags."""
    return [familiar(name) for name in image.names]


def identity_of(image: StoredImage | StoredIndex) -> Digest:
    """What lists call its ID: the config's digest of an image, an index' own."""
    return image.digest if isinstance(image, StoredIndex) else image.id


def inspect_document(store: Store, image: StoredImage, index: StoredIndex | None = None) -> dict[str, Any]:
    """What `docker image inspect` prints of an image, under the same names.

    index: the index by whose name the image was found: it has names and digest then, and is described under `Manifests`.
    Source: Docker Engine API, "ImageInspect".
    """
    config = config_of(store, image.id)
    named = index or image
    digest = index.digest if index else image.manifest
    repositories = [parse_reference(name).repository_name for name in named.names]
    found: dict[str, Any] = {
        "Id": image.id,
        "RepoTags": short_names(named),
        "RepoDigests": [f"{familiar(name)}@{digest}" for name in dict.fromkeys(repositories)],
        "Created": config.created,
        "Author": config.author or "",
        "Architecture": config.architecture,
        "Variant": config.variant or "",
        "Os": config.os,
        "Size": image_size(image),
        "Config": _runtime(config),
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Descriptor": {"digest": digest},
    }
    if index is not None:
        raw = store.blobs.read(index.digest)
        document = parse_index(raw)
        found["Descriptor"] = {"mediaType": document.media_type, "digest": index.digest, "size": len(raw)}
        found["Manifests"] = [_manifest_summary(document, member) for member in index.members]
    return found


def _manifest_summary(document: Index, member: IndexMember) -> dict[str, Any]:
    """One image of an index. Source: Docker Engine API, "ImageManifestSummary"."""
    listed = next(each for each in document.manifests if each.digest == member.manifest)
    return {
        "ID": member.manifest,
        "Descriptor": descriptor_fields(listed),
        "Kind": "image",
        "ImageData": {"Platform": platform_fields(member.platform), "ConfigDigest": member.image},
    }


def _runtime(config: ImageConfig) -> dict[str, Any]:
    return {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Env": list(config.env),
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Volumes": {volume: {} for volume in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Labels": dict(config.labels) or None,
        "StopSignal": config.stop_signal,
        "Healthcheck": _health(config.healthcheck) if config.healthcheck else None,
        "OnBuild": list(config.on_build) or None,
        "Shell": None if config.shell is None else list(config.shell),
    }


def _health(health: HealthConfig) -> dict[str, Any]:
    return {
        "Test": list(health.test),
        "Interval": health.interval_ns,
        "Timeout": health.timeout_ns,
        "StartPeriod": health.start_period_ns,
        "StartInterval": health.start_interval_ns,
        "Retries": health.retries,
    }


def history_rows(store: Store, image: StoredImage) -> list[dict[str, Any]]:
    """Newest first: what made each entry, its layer's size (0 for none) and diff ID (None for none)."""
    config = config_of(store, image.id)
    layers = iter(image.layers)
    rows: list[dict[str, Any]] = []
    for entry in config.history:
        layer = None if entry.empty_layer else next(layers, None)
        rows.append(
            {
                "created": entry.created,
                "created_by": entry.created_by,
                "comment": entry.comment,
                "size_bytes": layer.size_bytes if layer else 0,
                "diff_id": layer.diff_id if layer else None,
            }
        )
    # An image without (enough) history still has its layers.
    rows += [
        {"created": None, "created_by": layer.created_by, "comment": "", "size_bytes": layer.size_bytes,
         "diff_id": layer.diff_id}
        for layer in layers
    ]  # fmt: skip
    return rows[::-1]
