"""`inspect --verify`: an image of the store against every invariant of `oci/validate.py`, and its blobs' bytes."""
