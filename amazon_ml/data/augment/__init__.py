"""Augmentation of training tiles, as a pure function of the seed, the epoch and the tile."""
