"""What invocations do, as values: installs, removals, clean-ups, compilations, changes of files, downloads."""
