"""Probabilities to tags, and the score; numpy only."""
