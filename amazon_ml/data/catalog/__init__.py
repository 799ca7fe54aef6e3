"""The catalog of a folder of tiles: its layout, its tag table and its files."""
