"""The config of a built stage: diff IDs, history and times."""

from __future__ import annotations

from slimstage.build.assemble import LayerFact, assemble_config, timestamp
from slimstage.digest import digest_bytes
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.plan.graph import StageHistory, StagePlan

BASE = digest_bytes(b"base")
ONE, TWO = digest_bytes(b"1"), digest_bytes(b"2")
BASE_HISTORY = (HistoryEntry("2020-01-01T00:00:00Z", "ADD rootfs"), HistoryEntry(None, "CMD sh", empty_layer=True))


def stage(*history: StageHistory, base_history: tuple[HistoryEntry, ...] = BASE_HISTORY) -> StagePlan:
    return StagePlan(
        index=0, name="x", base="s0.0", steps=("s0.1", "s0.2"), last="s0.2", config=ImageConfig("amd64", "linux"),
        base_history=base_history, base_layers=1, history=history,
    )  # fmt: skip


HISTORY = (
    StageHistory("ENV a=b", None), StageHistory("RUN one", "s0.1"), StageHistory("LABEL x", None),
    StageHistory("COPY two", "s0.2"), StageHistory("CMD x", None),
)  # fmt: skip
LAYERS = {"s0.1": [LayerFact(ONE, 1000.5)], "s0.2": [LayerFact(TWO, 2000.0)]}


def test_every_entry_that_is_not_empty_has_its_diff_id() -> None:
    config = assemble_config(stage(*HISTORY), [BASE], LAYERS, epoch_s=None, fallback_s=9.0)
    assert config.diff_ids == (BASE, ONE, TWO)
    assert sum(not entry.empty_layer for entry in config.history) == 3
    assert [entry.created_by for entry in config.history[2:]] == ["ENV a=b", "RUN one", "LABEL x", "COPY two", "CMD x"]


def test_times_are_those_of_the_layers_and_not_now() -> None:
    config = assemble_config(stage(*HISTORY), [BASE], LAYERS, epoch_s=None, fallback_s=9.0)
    assert [entry.created for entry in config.history[2:]] == [
        "1970-01-01T00:16:40.5Z", "1970-01-01T00:16:40.5Z", "1970-01-01T00:16:40.5Z", "1970-01-01T00:33:20Z",
        "1970-01-01T00:33:20Z",
    ]  # fmt: skip
    assert config.created == "1970-01-01T00:33:20Z"


def test_the_epoch_replaces_all_times_but_the_bases() -> None:
    config = assemble_config(stage(*HISTORY), [BASE], LAYERS, epoch_s=5, fallback_s=9.0)
    assert config.history[:2] == BASE_HISTORY
    assert {entry.created for entry in config.history[2:]} == {"1970-01-01T00:00:05Z"}
    assert config.created == "1970-01-01T00:00:05Z"


def test_an_image_without_layers_has_the_fallback_time() -> None:
    config = assemble_config(stage(StageHistory("ENV a=b", None)), [], {}, epoch_s=None, fallback_s=9.0)
    assert config.created == "1970-01-01T00:00:09Z"


def test_an_image_without_layers_has_the_time_of_its_base() -> None:
    below = (HistoryEntry(created="2020-01-02T03:04:05Z"), HistoryEntry(empty_layer=True))
    config = assemble_config(
        stage(StageHistory("ENV a=b", None), base_history=below), [BASE], {}, epoch_s=None, fallback_s=9.0
    )
    assert config.created == config.history[-1].created == "2020-01-02T03:04:05Z"


def test_a_base_whose_history_lies_gets_one_that_fits() -> None:
    config = assemble_config(stage(*HISTORY, base_history=()), [BASE, BASE], LAYERS, epoch_s=None, fallback_s=9.0)
    assert sum(not entry.empty_layer for entry in config.history) == len(config.diff_ids) == 4


def test_timestamps_are_written_as_go_writes_them() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00Z"
    assert timestamp(1.25) == "1970-01-01T00:00:01.25Z"
