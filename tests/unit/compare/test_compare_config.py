"""What of two configs differs."""

from __future__ import annotations

from slimstage.compare.comparison import ConfigChange
from slimstage.compare.config import changed_config
from slimstage.oci.config import HealthConfig, HistoryEntry, ImageConfig
from slimstage.values import replace

CONFIG = ImageConfig("amd64", "linux", env=("PATH=/bin", "A=1"), labels=(("x", "1"),), cmd=("serve",))


def test_times_and_history_are_no_difference() -> None:
    other = replace(CONFIG, created="2026-01-01T00:00:00Z", history=(HistoryEntry(created_by="RUN x"),))
    assert list(changed_config(CONFIG, other)) == []


def test_each_difference_is_said_once_with_its_key() -> None:
    other = replace(
        CONFIG,
        env=("A=2", "PATH=/bin", "B=3"),
        labels=(),
        cmd=None,
        user="app",
        healthcheck=HealthConfig(("CMD", "true"), interval_ns=30_000_000_000, retries=2),
        exposed_ports=("80/tcp",),
    )
    assert list(changed_config(CONFIG, other)) == [
        ConfigChange("User", "", None, "app"),
        ConfigChange("Cmd", "", '["serve"]', None),
        ConfigChange("Healthcheck", "", None, '--interval=30s --retries=2 ["CMD", "true"]'),
        ConfigChange("Env", "A", "1", "2"),
        ConfigChange("Env", "B", None, "3"),
        ConfigChange("Labels", "x", "1", None),
        ConfigChange("ExposedPorts", "80/tcp", None, ""),
    ]
