"""Has this step been done? Keys and records."""
