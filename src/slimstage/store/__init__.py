"""What stays on disk: blobs, layer directories, images, records."""
