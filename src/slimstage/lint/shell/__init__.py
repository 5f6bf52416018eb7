"""The shell text of a RUN as values: invocations with their words, each with its place in the Dockerfile."""
