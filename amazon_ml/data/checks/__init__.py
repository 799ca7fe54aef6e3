"""Look before you train: all that is wrong with a folder of tiles, at once."""
