"""What is known of an image and of its build, as one self-contained page for a browser."""
