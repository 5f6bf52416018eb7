"""The formats: descriptors, references, configs, manifests, indexes. Pure."""
