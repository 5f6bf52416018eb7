"""Fuzzing of everything that reads what others wrote: one file per target, a harness, a committed corpus.

See docs/fuzzing.md. Nothing here is part of the package.
"""
