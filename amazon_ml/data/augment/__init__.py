"""Changes of training tiles, each a pure function of the seed, the epoch and the tile."""
