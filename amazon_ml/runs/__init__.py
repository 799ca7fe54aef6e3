"""The run folder, and what happens to it."""
