"""Batches of tiles: where their pixels come from, and the loaders that a trainer takes."""
