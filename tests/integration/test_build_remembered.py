"""What the store keeps of how an image was built: it goes with the image, and a build that finds all cached tells no less."""

from __future__ import annotations

import os
from pathlib import Path

from slimstage.store.builds import StoredBuild
from slimstage.store.store import Store
from support.building import Project
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS train
WORKDIR /w
RUN head -c 50000 /dev/zero > model && head -c 9000 /dev/zero > log

FROM train AS test
RUN test -s model

FROM base
COPY --from=train /w/model /srv/
"""


def remembered(project: Project, name: str = "app") -> StoredBuild | None:
    with Store.open(project.root) as store:
        image = store.images.find(name)
        return store.builds.of(image.id) if image else None


def test_stages_steps_and_copies_are_known_afterwards(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    document = project.document("-t", "app")
    build = remembered(project)
    assert build is not None
    assert (build.dockerfile, build.target) == ("Dockerfile", 2)
    train, test, final = build.stages
    assert [stage.status for stage in build.stages] == ["built", "skipped", "built"]
    assert (train.name, train.line, train.base, train.base_stage) == ("train", 1, "base", None)
    assert test.why
    (copy,) = final.copies
    assert (copy.stage, copy.source, copy.line, copy.paths, copy.size_bytes) == (0, "train", 9, ("/w/model",), 50000)
    assert final.size_bytes == document["size_bytes"]
    assert build.stayed_behind_bytes == document["stayed_behind"]["size_bytes"]
    run = next(step for step in build.steps if step.title.startswith("RUN"))
    assert (run.stage, run.line, run.status, run.layer_bytes) == (0, 3, "run", 59000)
    assert 0 < run.started_s < run.started_s + run.duration_s < build.duration_s
    with Store.open(project.root) as store:
        files = set()
        for layer in store.snapshots.paths(build.stack(0)):
            files |= set(os.listdir(Path(layer) / "w")) if (Path(layer) / "w").is_dir() else set()
    assert files == {"model", "log"}


def test_a_build_that_finds_all_cached_tells_no_less(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.build("-t", "app")
    first = remembered(project)
    project.build("-t", "app")
    assert remembered(project) == first
    assert first is not None
    assert first.has_run()
    project.dockerfile(DOCKERFILE.replace("9000", "9001"))
    project.build("-t", "app")
    later = remembered(project)
    assert later is not None  # another image, but for its layers the same
    assert {step.status for step in later.steps if step.title.startswith("RUN")} == {"run"}


def test_it_goes_with_the_image_and_a_broken_one_is_none(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.build("-t", "app")
    with Store.open(project.root) as store:
        image = store.images.find("app")
        assert image is not None
        with store.database.transaction() as connection:
            connection.execute("UPDATE builds SET document = '{\"stages\":3}'")
        assert store.builds.of(image.id) is None
    project.run("rmi", "app")
    with Store.open(project.root) as store:
        assert store.database.query("SELECT count(*) FROM builds") == [(0,)]


def test_an_output_that_is_no_image_of_the_store_leaves_nothing(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.build("-o", f"type=oci,dest={project.path.parent}/out.tar")
    with Store.open(project.root) as store:
        assert store.database.query("SELECT count(*) FROM builds") == [(0,)]
