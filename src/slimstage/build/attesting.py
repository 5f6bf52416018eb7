"""What is attested of an image: its bill of materials and its provenance, as artifacts that belong to its manifest.

Each document is a blob, each artifact a manifest with the image's as `subject`; both are kept in the store beside the image
and go along to layouts and registries.
Source: OCI image-spec v1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from slimstage.analyze.bill import CYCLONEDX, SPDX, Subject, cyclonedx, spdx
from slimstage.analyze.inventory import Inventory, take_inventory
from slimstage.build.image import BuiltImage
from slimstage.build.preparation import ImagePlan, Prepared
from slimstage.build.provenance import PREDICATE, STATEMENT, Facts, statement
from slimstage.digest import digest_bytes
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest
from slimstage.oci.reference import parse_reference
from slimstage.oci.referrer import build_artifact
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.tree.union import UnionTree

CREATED = "org.opencontainers.image.created"
PREDICATE_TYPE = "in-toto.io/predicate-type"


class Attestor:
    """Attests the images of one build."""

    def __init__(
        self, prepared: Prepared, store: Store, dockerfile: str, names: Sequence[str], started_s: float
    ) -> None:
        """dockerfile: its text. names: of the image, in any form. started_s: when the build began, since 1970."""
        self._prepared, self._store, self._dockerfile = prepared, store, dockerfile
        self._names = tuple(str(parse_reference(name).with_default_tag()) for name in names)
        self._started_s = started_s
        self._inventories: dict[tuple[LayerId, ...], Inventory] = {}

    def attest(self, image: BuiltImage, manifest: Manifest) -> tuple[Descriptor, ...]:
        """Keeps what the request asks for with the manifest, which is in the store; the artifacts' descriptors."""
        request = self._prepared.request
        done: list[Descriptor] = []
        if request.sbom:
            subject = Subject(
                self._names[0] if self._names else "", manifest.digest, image.platform.architecture, self._time_s(image)
            )
            inventory = self._inventory(image)
            for media_type, document in ((SPDX, spdx(inventory, subject)), (CYCLONEDX, cyclonedx(inventory, subject))):
                done.append(self._keep(manifest, media_type, document, {CREATED: subject.created}))
        if request.provenance is not None:
            epoch = request.source_date_epoch_s
            times = (self._started_s, time.time()) if epoch is None else (epoch, epoch)
            facts = Facts(self._names, manifest.digest, *times)
            plan = self._plan(image)
            document = statement(
                self._prepared,
                plan,
                facts,
                self._store,
                self._dockerfile,
                "max" if request.provenance == "max" else "min",
            )
            done.append(self._keep(manifest, STATEMENT, document, {PREDICATE_TYPE: PREDICATE}))
        return tuple(done)

    def _keep(self, manifest: Manifest, media_type: str, document: Any, annotations: dict[str, str]) -> Descriptor:
        data = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=False).encode("utf-8", "replace")
        layer = Descriptor(media_type, digest_bytes(data), len(data), annotations=annotations)
        artifact = build_artifact(media_type, [layer], manifest.descriptor(), annotations)
        return self._store.referrers.put(manifest.digest, artifact.raw, [data])

    def _inventory(self, image: BuiltImage) -> Inventory:
        """Of the image's tree; outputs with other compressions share it."""
        layers = tuple(dict.fromkeys(layer.layer for layer in image.layers if layer.layer is not None))
        if layers not in self._inventories:
            self._store.snapshots.bring(layers)
            with UnionTree(self._store.snapshots.paths(layers)) as tree:
                self._inventories[layers] = take_inventory(tree)
        return self._inventories[layers]

    def _plan(self, image: BuiltImage) -> ImagePlan:
        plans = self._prepared.plans
        return next((plan for plan in plans if str(plan.platform) == str(image.platform)), plans[0])

    def _time_s(self, image: BuiltImage) -> int:
        epoch = self._prepared.request.source_date_epoch_s
        return int(self._started_s) if epoch is None else epoch
