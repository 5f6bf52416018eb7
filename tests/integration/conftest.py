"""Fixtures that several integration tests share."""

from support.base_image import busybox as busybox
from support.building import project as project
from support.fake_registry import other as other
from support.fake_registry import registry as registry
from support.in_process import run as run
