"""The packed store: all tiles of a folder, decoded once, in one array."""
