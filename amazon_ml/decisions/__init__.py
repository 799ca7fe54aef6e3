"""Probabilities to tags, and the score: arrays in, arrays out, without torch."""
