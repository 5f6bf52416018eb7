"""A browser of an image in the terminal: layers, files, purposes, packages, findings."""
