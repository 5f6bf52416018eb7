"""What a FROM names: a registry, the local store, an OCI layout, an archive, `debian://`; all become one `Base`."""
