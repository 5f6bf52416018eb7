"""Images over HTTP: pull and push."""
