"""One stage written as two: a builder with all that building takes, and a final stage with the rest of the file."""
