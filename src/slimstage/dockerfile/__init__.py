"""Text → instructions. Pure."""
