"""Generated tiles, for trying everything without the competition's data."""
