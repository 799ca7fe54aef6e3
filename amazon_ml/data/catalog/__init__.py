"""A folder of tiles: its layout, its table of tags, its files, and the catalog of all three."""
