"""File trees ↔ layer tars."""
