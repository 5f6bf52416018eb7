"""Fixtures that several tests of registries share."""

from support.fake_registry import other as other
from support.fake_registry import registry as registry
from support.uploading import pusher as pusher
from support.uploading import waits as waits
