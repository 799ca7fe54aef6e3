"""Generated tiles, to try the package without the data of the competition."""
