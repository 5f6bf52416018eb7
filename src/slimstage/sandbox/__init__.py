"""One command, confined."""
