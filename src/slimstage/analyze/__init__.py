"""What an image is made of: the readers of files found in it, and what they say about bytes."""
