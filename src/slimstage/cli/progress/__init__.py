"""Progress of a build on stderr: readers of the engine's events."""
