"""The build context: what a COPY picks, ignore files, remote sources."""
