"""The sections of the page, each readable without any script: report → markup, all of it escaped."""
