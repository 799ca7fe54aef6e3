"""Batches of tiles: the sources of their pixels, and the loaders for a trainer."""
