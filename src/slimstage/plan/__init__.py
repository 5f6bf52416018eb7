"""Instructions → graph of steps, pruned to the target. Pure."""
