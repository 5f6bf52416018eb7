"""Findings as documents for other tools. A format sees findings only, never a rule's workings."""
