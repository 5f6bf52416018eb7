"""An image, running: config and snapshot become a sandbox spec."""
