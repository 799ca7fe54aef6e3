"""Tiles and their tags, from files on disk to batches."""
