"""The version of this package, in one place: read by the build of the wheel and by `slimstage --version`."""

__version__ = "0.1.0"
