"""Generated Dockerfiles, built by a real BuildKit and by slimstage: `python -m differential.search`, `.steps`."""
