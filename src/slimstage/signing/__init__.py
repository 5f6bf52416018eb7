"""Signatures of images, in cosign's form: keys, what is signed, and the artifact that holds it."""
