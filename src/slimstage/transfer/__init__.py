"""Images from one place to another, byte for byte: registries, the store, layouts and archives; and their signatures."""
