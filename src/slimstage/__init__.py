"""slimstage builds small container images from multi-stage Dockerfiles, without a daemon."""
