"""Fixtures that several tests of transfers share."""

from support.fake_registry import registry as registry
