"""What became of an image: two analyses, or the stages of one build, beside each other."""
